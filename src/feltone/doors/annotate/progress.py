"""How far a run is, on standard error: a line that changes on a terminal, a line every half minute elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from feltone.doors import console
from feltone.doors.annotate.ledger import Ledger

EVERY_SECONDS = 30.0


class Progress:
    """Rate, time left and errors so far."""

    def __init__(self, entries: int, ledger: Ledger, live: Live | None) -> None:
        self._entries, self._ledger, self._live = entries, ledger, live
        self._begun, self._before, self._said = time.monotonic(), self._done, time.monotonic()

    @property
    def _done(self) -> float:
        return self._ledger.total.get("entries", 0)

    def show(self) -> None:
        """Say how far it is, where that is due."""
        now = time.monotonic()
        if self._live:
            self._live.update(Text(self.line(now)))
        elif now - self._said >= EVERY_SECONDS:
            console.say(self.line(now))
            self._said = now

    def line(self, now: float) -> str:
        """How far it is at a time."""
        done, errors = self._done, self._ledger.total.get("errors", 0)
        rate = (done - self._before) / max(now - self._begun, 1e-6)
        left = console.duration((self._entries - done) / rate) if rate else "unknown"
        return f"{done:,.0f} of {self._entries:,} · {rate:,.1f} a second · {left} left · {errors:,.0f} errors"


@contextmanager
def progress(entries: int, ledger: Ledger) -> Iterator[Progress]:
    """Progress over so many entries, those in the ledger being done."""
    if not console.err.is_terminal:
        yield Progress(entries, ledger, None)
        return
    with Live(console=console.err, transient=True, refresh_per_second=4) as live:
        yield Progress(entries, ledger, live)
