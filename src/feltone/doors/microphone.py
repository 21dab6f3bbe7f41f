"""Microphones, through PortAudio: which there are, and what one of them hears."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from feltone.doors import console
from feltone.errors import AudioError, ConfigError, FeltoneError, MissingExtraError
from feltone.features import Waveform

BLOCK_SECONDS = 0.02  # of sound that arrive together
KEPT_SECONDS = 10  # of sound that wait for a listener who is busy; what comes after is lost
PATIENCE_SECONDS = 5.0  # without any sound, silence included, after which a microphone is gone


def list_microphones(*, as_json: bool) -> int:
    """Print every microphone with its number, the default one marked; the exit code.

    Raises:
        FeltoneError: as `microphone`.
    """
    sounddevice = _sounddevice()
    found = [device for device in sounddevice.query_devices() if device["max_input_channels"]]
    default = sounddevice.default.device[0]
    rows = [
        {
            "device": device["index"],
            "name": device["name"],
            "sample_rate": round(device["default_samplerate"]),
            "default": device["index"] == default,
        }
        for device in found
    ]
    if as_json:
        console.document(rows)
    elif rows:
        shown = [[str(row["device"]), row["name"], str(row["sample_rate"]), "*" * row["default"]] for row in rows]
        console.table(["device", "name", "Hz", "default"], shown, numeric=(0, 2))
    else:
        console.say("no microphone was found")
    return 0


@contextmanager
def microphone(device: str | None) -> Iterator[tuple[int, Iterator[Waveform]]]:
    """An open microphone: its sampling rate in Hz, and what it hears, mono, all that came since the last look.

    Args:
        device: its number or a part of its name; None for the system's default.

    Raises:
        ConfigError: there is no such microphone.
        AudioError: it cannot be opened, or falls silent for good.
        MissingExtraError: `feltone[live]` is not installed.
        FeltoneError: PortAudio, a library of the system, is not installed.
    """
    sounddevice = _sounddevice()
    chosen = _chosen(sounddevice, device)
    rate = round(chosen["default_samplerate"])  # what it does by itself; not every driver resamples
    heard = _Heard()
    try:
        # As integers: whatever a driver delivers is then a sample, never NaN.
        stream = sounddevice.InputStream(
            rate, round(rate * BLOCK_SECONDS), chosen["index"], 1, "int16", callback=heard.arrive
        )
        with stream:
            yield rate, heard.blocks(chosen["name"])
    except sounddevice.PortAudioError as fault:
        reason = " ".join(str(fault).split())
        raise AudioError(f"microphone '{chosen['name']}': {reason}; is another program using it?") from None


class _Heard:
    """What comes in on PortAudio's thread, until it is fetched on ours."""

    def __init__(self) -> None:
        # `Queue` is written in Python: Ctrl-C within it leaves its lock taken, and PortAudio's thread waiting for it.
        self._arrived: queue.SimpleQueue[Waveform] = queue.SimpleQueue()
        self._lost = False

    def arrive(self, samples: Any, _count: int, _times: Any, status: Any) -> None:
        """PortAudio's callback: int16 samples, shape (count, 1), in memory that is reused."""
        full = self._arrived.qsize() * BLOCK_SECONDS >= KEPT_SECONDS
        if not full:
            self._arrived.put(samples[:, 0] / np.float32(1 << 15))
        self._lost = self._lost or full or status.input_overflow

    def blocks(self, name: str) -> Iterator[Waveform]:
        """All that has arrived, each time; waits for something to arrive."""
        told = False
        while True:
            try:
                blocks = [self._arrived.get(timeout=PATIENCE_SECONDS)]
            except queue.Empty:
                raise AudioError(
                    f"microphone '{name}': heard nothing for {PATIENCE_SECONDS:g} s; is it gone?"
                ) from None
            blocks += [self._arrived.get() for _ in range(self._arrived.qsize())]
            if self._lost and not told:
                console.say("the microphone overflowed: some sound was lost; does the machine have too much to do?")
                told = True
            yield np.concatenate(blocks)


def _chosen(sounddevice: Any, device: str | None) -> Any:
    try:
        return sounddevice.query_devices(int(device) if device and device.isdecimal() else device, "input")
    except (ValueError, sounddevice.PortAudioError):
        if device is None:
            raise ConfigError("no microphone was found; plug one in, or play a recording with --input") from None
        remedy = "feltone listen --list-devices shows what there is"
        raise ConfigError(f"device '{device}': no microphone, or several, of that name or number; {remedy}") from None


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError:
        raise MissingExtraError("feltone listen", "live") from None
    except OSError as fault:
        raise FeltoneError(f"feltone listen: {fault}; on Debian: apt-get install libportaudio2") from None
    return sounddevice
