"""`feltone bench`: this machine's speed beside what a user would take instead."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from feltone.doors import console
from feltone.errors import ConfigError
from feltone.files import write_json
from feltone_benchmarks import report

DONE, IN_PART = 0, 3  # exit codes


def bench(only: str | None, rounds: int, out: Path | None, *, as_json: bool) -> int:
    """Measure, print the table or the document, and write it; returns the exit code."""
    parts = chosen(only)
    if out:
        check_writable(out)
    with turns() as on_turn:
        document = report.measure(parts, rounds, on_turn)
    if out:
        write_json(out, document)
    if as_json:
        console.document(document)
    else:
        sys.stdout.write(report.markdown(document) + "\n")
    for side, reason in report.missing(document).items():
        console.say(f"feltone: {side}: {reason}")
    console.say(next_step(document, out))
    return DONE if report.complete(document) else IN_PART


def chosen(only: str | None) -> list[str]:
    """The parts named in a list with commas, in the order of the report; all without one."""
    named = [name.strip() for name in only.split(",")] if only is not None else list(report.PARTS)
    for name in named:
        if name not in report.PARTS:
            raise ConfigError(f"part '{name}' is not known; known: {', '.join(report.PARTS)}")
    return [part for part in report.PARTS if part in named]


def check_writable(out: Path) -> None:
    """Find out before the measurement, not after it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigError(f"{out}: cannot be written ({fault.strerror}); choose another file") from None
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise ConfigError(f"{out}: cannot be written; choose another file")


def next_step(document: report.Document, out: Path | None) -> str:
    """What to do with the numbers."""
    if any(report.disturbed(document[part]) for part in report.PARTS if part in document):
        return "next: measure again when the machine is idle; others took so much of it that these times say little"
    if any("pip install" in reason for reason in report.missing(document).values()):
        return "next: pip install 'feltone[bench]' brings every side, then measure again"
    if out:
        return f"next: {out} holds the numbers; commit it beside the code that it measured"
    return "next: feltone bench --out results/speed/NAME.json keeps the numbers"


@contextmanager
def turns() -> Iterator[Callable[[str, int, int], None]]:
    """Progress on standard error: a bar per part on a terminal, elsewhere a line when a part is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.err, disable=not console.err.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def on_turn(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = bar.add_task(part, total=total)
            bar.update(tasks[part], completed=done, total=total)
            if done == total and not console.err.is_terminal:
                console.say(f"{part}: measured in {total} turns")

        yield on_turn
