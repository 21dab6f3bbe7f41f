"""How much at once: places that are taken and given back, counted in all and per client."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from feltone.doors.serve.faults import Fault, busy


class Places:
    """At most `limit` of something at once, and of it at most `limit_each` by one client."""

    def __init__(self, limit: int, code: str, what: str, limit_each: int | None = None) -> None:
        self.limit, self._code, self._what = limit, code, what
        self._limit_each = limit_each or limit
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Places that are in use."""
        return self._taken.total()

    @property
    def full(self) -> bool:
        """Whether the next one will be refused."""
        return self.taken >= self.limit

    def check(self) -> None:
        """Raise the `Fault` that `take` would, for whoever asks before doing something costly."""
        if self.full:
            raise self._refusal(f"{self.limit} {self._what}")

    @contextmanager
    def take(self, client: str = "") -> Iterator[None]:
        """A place for as long as the block runs; raises a `Fault` (429) when there is none."""
        self.check()
        if self._taken[client] >= self._limit_each:
            raise self._refusal(f"{self._limit_each} {self._what} from your address")
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]  # or every client there ever was would be remembered

    def _refusal(self, message: str) -> Fault:
        return busy(self._code, message)
