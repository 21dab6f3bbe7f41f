"""What the command line prints: answers to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# A table in a pipe or file is not folded to an imagined terminal.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for the person at the terminal, not for the program after the pipe."""
    err.print(text, markup=False)


def document(value: Any) -> None:
    """One JSON document, alone on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> None:
    """A table on standard output; columns in `numeric` are aligned to the right."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column, header in enumerate(headers):
        drawn.add_column(header, justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    out.print(drawn)


def duration(seconds: float) -> str:
    """A time in two units.

    >>> duration(59.6), duration(3_700), duration(200_000)
    ('1 min 0 s', '1 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    for size, name, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // below} {small}"
    return f"{whole} s"


@contextmanager
def progress(what: str, total: int) -> Iterator[Any]:
    """A bar on standard error that is advanced by calling what is yielded; silent where nobody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal or total < 2) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


class TrainingProgress:
    """Bars with loss, WA and time left on a terminal; a line per epoch in a log."""

    def __init__(self, title: str, tensorboard: Path | None = None) -> None:
        self.title = title
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=err, disable=not err.is_terminal)
        self._tasks: dict[str, TaskID] = {}  # stage -> its bar
        self._writer = summary_writer(tensorboard) if tensorboard else None

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._writer:
            self._writer.close()

    def __call__(self, tick: Any) -> None:
        """Show a `Tick` of the training loop."""
        text = f"{self.title} {tick.stage} {tick.epoch}/{tick.epochs} loss {tick.loss:.3f} WA {tick.accuracy:.1%}"
        if tick.stage not in self._tasks:
            self._tasks[tick.stage] = self._bar.add_task(text, total=tick.epochs * tick.steps)
        done = (tick.epoch - 1) * tick.steps + tick.step
        self._bar.update(self._tasks[tick.stage], description=text, completed=done)
        if tick.step == tick.steps:
            if not err.is_terminal:
                say(text)
            if self._writer:
                self._writer.add_scalar(f"{tick.stage}/loss", tick.loss, tick.epoch)
                self._writer.add_scalar(f"{tick.stage}/WA", tick.accuracy, tick.epoch)


def summary_writer(folder: Path) -> Any:
    """TensorBoard's writer; raises `MissingExtraError` without `feltone[tensorboard]`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        from feltone.errors import MissingExtraError

        raise MissingExtraError("writing curves for TensorBoard", "tensorboard") from None
    return SummaryWriter(str(folder))
