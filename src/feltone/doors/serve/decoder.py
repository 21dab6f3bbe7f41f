"""The process that decodes uploads, bounded in memory and time: what a recording does to a decoder, it does here.

    <- {"rate": 16000, "end": 4.0}, then the bytes of the file     on standard input; without `end`, all of it in chunks
    -> samples, float32                                            on standard output, any number of times
    -> the end, or {"fault": …}                                    once

A message is one letter, the length of what follows, and that. Nothing in it is ever executed, in either direction.
"""

import json
import math
import os
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import IO, Any

from feltone import audio
from feltone.errors import FeltoneError, MissingExtraError
from feltone.features import Waveform

ORDER, CONTENT, SAMPLES, END, FAULT, MEMORY = (letter.encode() for letter in "OCSEFM")
HEAD = struct.Struct("<cI")


def send(pipe: IO[bytes], kind: bytes, content: bytes | memoryview = b"") -> None:
    """Write a message."""
    pipe.write(HEAD.pack(kind, len(content)))
    pipe.write(content)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """Read a message: its kind and its content; `EOFError` where the other side is gone."""
    head = pipe.read(HEAD.size)
    if len(head) < HEAD.size:
        raise EOFError
    kind, size = HEAD.unpack(head)
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return kind, content


def main() -> None:
    """Decode what comes until nothing comes any more: memory in bytes and seconds of processor time are arguments."""
    memory, seconds = int(sys.argv[1]), float(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is the service's, which drains
    for name in ("soundfile", "soxr", "av"):  # before memory is bounded: libraries are no part of a recording
        with suppress(ImportError):
            import_module(name)
    # Decoders in C say what they think on the descriptors 1 and 2.
    answers, nowhere = os.fdopen(os.dup(1), "wb"), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    bound_memory(memory)
    with suppress(EOFError, BrokenPipeError):
        while True:
            _, order = receive(sys.stdin.buffer)
            _, content = receive(sys.stdin.buffer)
            bound_time(seconds)
            answer(answers, content, **json.loads(order))


def answer(answers: IO[bytes], content: bytes, rate: int, end: float | None) -> None:
    """Decode one recording."""
    try:
        for chunk in _decoded(content, rate, end):
            send(answers, SAMPLES, chunk.data.cast("B"))
    except MissingExtraError as fault:
        send(answers, FAULT, _json(fault=str(fault), lacks=[fault.purpose, fault.extra]))
    except FeltoneError as fault:
        send(answers, FAULT, _json(fault=str(fault)))
    except MemoryError:
        send(answers, MEMORY)
    else:
        send(answers, END)


def _decoded(content: bytes, rate: int, end: float | None) -> Iterator[Waveform]:
    if end is None:
        yield from audio.stream(content, rate)
    else:
        yield audio.load(content, rate, end=end)


def bound_memory(size: int) -> None:
    """At most `size` bytes more than there are now, where the system can hold us to it (Linux)."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as status:  # noqa: PTH123 - no file like others
            now = int(status.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + size, now + size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def bound_time(seconds: float) -> None:
    """From now on at most `seconds` of processor time, rounded up; beyond, the system ends this process."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = math.ceil(used.ru_utime + used.ru_stime + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


if __name__ == "__main__":
    main()
