"""How a training ends before its end: by a signal, or because the process that leads it is gone.

Within the steps a signal is noticed and answered after the step that is under way, with a checkpoint; elsewhere there
is nothing to be kept that is not kept already, and it is answered at once.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only

from feltone.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = "the same command continues"
_LEADER = "FELTONE_LEADER"  # variable with its process number
_PARENT_DEATH = 1  # Linux' PR_SET_PDEATHSIG


class Request:
    """The signal that asked to stop, once one has come."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as `signal` calls it
        """Notice a signal; a second one of its kind acts at once."""
        self.signal = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)

    def stopped(self, reached: str) -> Stopped:
        """What to tell, with what was reached."""
        assert self.signal is not None
        return Stopped(self.signal, f"stopped by {self.signal.name} {reached}; {AGAIN}")


@contextmanager
def noticed() -> Iterator[Request]:
    """Notice SIGINT and SIGTERM instead of obeying them, where this is the thread that gets them."""
    request = Request()
    if threading.current_thread() is not threading.main_thread() or is_helper():
        yield request
        return
    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def obeyed() -> Iterator[None]:
    """Let SIGTERM end what is done here in one line, as SIGINT does already."""

    def obey(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as `signal` calls it
        raise Stopped(number, f"stopped by {signal.Signals(number).name}; {AGAIN}")

    if threading.current_thread() is not threading.main_thread() or is_helper():
        yield
        return
    before = signal.signal(signal.SIGTERM, obey)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def is_helper() -> bool:
    """Whether this process helps another one with its batches, which writes and decides."""
    return bool(rank_zero_only.rank)


def is_forsaken(fault: RuntimeError) -> bool:
    """Whether a fault says that another process of the training is not there any more."""
    return isinstance(fault, torch.distributed.DistError) or "gloo" in str(fault)


def lead() -> None:
    """Let the helpers that this process will start know whom they follow."""
    if not is_helper():
        os.environ[_LEADER] = str(os.getpid())


def follow() -> bool:
    """Let a helper end when the process that leads it does, and not before; whether this is a helper."""
    if not is_helper():
        return False
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)
        if os.environ.get(_LEADER) != str(os.getppid()):  # it is gone already
            sys.exit(1)
    return True
