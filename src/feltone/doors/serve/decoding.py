"""Uploads are decoded in processes of their own, each for one recording at a time, bounded in memory and time.

Decoders are C and read what strangers send: one that hangs, asks for all memory or breaks down takes its process with
it and nothing else; the request is answered, and another process takes the place. Two counts of processes: the first
seconds of a recording are quickly decoded and must not wait until somebody's hour is.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import IO

import numpy as np

from feltone import audio
from feltone.doors.serve import decoder
from feltone.doors.serve.settings import TOKENS, Settings
from feltone.errors import AudioError, MissingExtraError
from feltone.features import Waveform

PIPE_BYTES = 1 << 18  # four seconds of samples pass at once; not more, for a user may have few larger pipes
FAREWELL_SECONDS = 5.0  # that a process has to end once nothing comes any more
NAME = audio.name_of(b"")  # what messages of a decoder call the recording
# One thread and one heap: what is decoded is sequential, and each further heap would claim its own part of the bound.
# The heap is kept between recordings (glibc): fresh memory costs more than what is decoded into it.
LEAN = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
LEAN |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}


class Decoder:
    """One process. `load` and `stream` are `audio.load` and `audio.stream` of a file's bytes, done there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._late, self._idle = False, True
        environment = {name: value for name, value in os.environ.items() if name != TOKENS}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", decoder.__name__, str(settings.decode_bytes), str(settings.decode_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=PIPE_BYTES,
            env=environment | LEAN,
        )

    @property
    def usable(self) -> bool:
        """Whether the process runs and has nothing left of the last recording."""
        return self._idle and self._process.poll() is None

    def load(self, content: bytes, rate: int, *, end: float) -> Waveform:
        """As `audio.load`; raises `AudioError` also where decoding takes too much memory or time."""
        (samples,) = self._answers(content, rate, end)
        return samples

    def stream(self, content: bytes, rate: int) -> Iterator[Waveform]:
        """As `audio.stream`; raises as `load`."""
        return self._answers(content, rate, None)

    def give_up(self) -> None:
        """End the process because it takes too long; whoever waits for it is told."""
        self._late = True
        self._process.kill()

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._stdin.close()
        if not self._idle:
            self._process.kill()
        try:
            self._process.wait(FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def _answers(self, content: bytes, rate: int, end: float | None) -> Iterator[Waveform]:
        self._idle = False
        try:
            decoder.send(self._stdin, decoder.ORDER, json.dumps({"rate": rate, "end": end}).encode())
            decoder.send(self._stdin, decoder.CONTENT, content)
            while True:
                kind, answer = decoder.receive(self._stdout)
                if kind != decoder.SAMPLES:
                    break
                yield np.frombuffer(answer, np.float32)
        except (EOFError, BrokenPipeError):
            raise self._refusal() from None
        if kind == decoder.MEMORY:
            raise AudioError(f"{NAME}: needs more than {self._settings.decode_bytes >> 20} MiB of memory to be decoded")
        self._idle = True
        if kind == decoder.FAULT:
            told = json.loads(answer)
            raise MissingExtraError(*told["lacks"]) if "lacks" in told else AudioError(told["fault"])

    def _refusal(self) -> AudioError:
        code = self._process.wait()
        if self._late or code == -getattr(signal, "SIGXCPU", 0):
            return AudioError(f"{NAME}: takes longer than {self._settings.decode_seconds:g} s to be decoded")
        return AudioError(f"{NAME}: broke its decoder; it is damaged, or made to do harm")

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout


class Decoders:
    """At most `limit` processes, begun as they are needed and kept; the first is begun with the service."""

    def __init__(self, limit: int, settings: Settings) -> None:
        self._settings, self._places = settings, asyncio.Semaphore(limit)
        self._idle: list[Decoder] = []

    async def __aenter__(self) -> "Decoders":
        self._idle.append(Decoder(self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().close()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Decoder]:
        """A decoder for one recording."""
        async with self._places:
            one = self._idle.pop() if self._idle else Decoder(self._settings)
            try:
                yield one
            finally:
                if one.usable:
                    self._idle.append(one)
                else:
                    one.close()
