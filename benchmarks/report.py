"""One document of everything that was measured, and its table."""

import importlib.util
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from feltone.lab import provenance
from feltone.machine import cores
from feltone_benchmarks.recognition import measure_recognition
from feltone_benchmarks.startup import measure_start

OnTurn = Callable[[int, int], object]
Document = dict[str, Any]

ISA = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8")
SIBLINGS = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
PACKAGES = (*provenance.PACKAGES, "librosa", "opensmile", "transformers", "openvino")
TOLERATED_ELSEWHERE = 0.1  # of the machine's time
HEADLINES = {
    "recognition": {
        "ms_per_clip_one_core": "ms per 4-s clip on one core, fp32",
        "ms_per_clip_one_core_int8": "ms per 4-s clip on one core, int8",
        "ratio_to_plain": "× plain, fp32",
        "ratio_to_plain_int8": "× plain, int8",
        "scaling_two_cores": "× clips per second on two cores",
    },
    "start": {"import_ms": "ms `import feltone`", "predict_ms": "ms `feltone predict FILE`"},
    "training": {
        "stage1_ratio": "× plain, stage 1",
        "stage23_ratio": "× plain, stages 2 and 3",
        "total_ratio": "× plain, the whole run",
    },
}
"""The numbers that are asked of every part, in words."""


def measure_training(on_turn: OnTurn) -> Document:
    """The training part, where the laboratory is installed."""
    if importlib.util.find_spec("torch") is None:
        missing = "needs torch: pip install 'feltone[train]'"
        return dict.fromkeys(HEADLINES["training"]) | {"sides": {"training": {"missing": missing}}}
    from feltone_benchmarks import training

    return training.measure_training(on_turn)


PARTS: dict[str, Callable[[int, OnTurn], Document]] = {
    "recognition": measure_recognition,
    "start": measure_start,
    "training": lambda rounds, on_turn: measure_training(on_turn),  # its rounds are its own
}


def measure(parts: Sequence[str], rounds: int, on_turn: Callable[[str, int, int], object]) -> Document:
    """Measure some of `PARTS`; `on_turn` is told of (part, done, total)."""
    measured = {part: watched(part, rounds, partial(on_turn, part)) for part in parts}
    origin = provenance.origin()
    return {"machine": machine()} | origin | measured


def watched(part: str, rounds: int, on_turn: OnTurn) -> Document:
    """Measure a part, with `busy_elsewhere`: the share of the machine's time that others took; None if unknown."""
    with elsewhere() as found:
        measured = PARTS[part](rounds, on_turn)
    return found | measured


@contextmanager
def elsewhere() -> Iterator[Document]:
    """What happens meanwhile, when it is over: `busy_elsewhere`, as `watched` says it."""
    before, found = _processor_seconds(), Document()
    yield found
    everything, busy, ours = (now - then for now, then in zip(_processor_seconds(), before, strict=True))
    found["busy_elsewhere"] = round(max(0, busy - ours) / everything, 3) if everything else None


def _processor_seconds() -> tuple[float, float, float]:
    """Of all cores: since the machine's start; of these busy; of these with us and processes that we waited for."""
    ours = sum(os.times()[:4])
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0, 0, ours
    user, nice, system, idle, waiting, *rest = (int(ticks) for ticks in stat.read_text().splitlines()[0].split()[1:9])
    busy, tick = user + nice + system + sum(rest), 1 / os.sysconf("SC_CLK_TCK")
    return (busy + idle + waiting) * tick, busy * tick, ours


def machine() -> Document:
    """The machine and the versions at hand."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.is_file() else set()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "device": provenance.device(),
        "cores": cores(),
        "threads_per_core": len(re.split("[,-]", SIBLINGS.read_text())) if SIBLINGS.is_file() else None,
        "isa": [name for name in ISA if name in flags],
        "memory_gb": round(memory / 1e9, 1),
        "os": platform.platform(),
        "versions": {"python": platform.python_version()} | dict(_versions()),
    }


def missing(document: Document) -> dict[str, str]:
    """Sides without a timing, and why."""
    return {
        name: row["missing"]
        for part in PARTS
        for name, row in document.get(part, {}).get("sides", {}).items()
        if "missing" in row
    }


def complete(document: Document) -> bool:
    """Whether every number that is asked of the measured parts is there."""
    return all(document[part][key] is not None for part in PARTS if part in document for key in HEADLINES[part])


def markdown(document: Document) -> str:
    """The document as tables: per part the numbers that are asked of it, and all sides."""
    text = [place(document)]
    for part in PARTS:
        if part in document:
            text += [f"## {part}", asked(part, document[part]), table(document[part]["sides"])]
    return "\n\n".join(text)


def place(document: Document) -> str:
    """Where and when a document was measured, in a line."""
    facts = [document["machine"]["device"], " ".join(document["machine"]["isa"]), document["commit"], document["date"]]
    return ", ".join(fact for fact in facts if fact)


def asked(part: str, measured: Document) -> str:
    """The numbers that are asked of a part, in a line."""
    text = [f"{number(measured[key])} {words}" for key, words in HEADLINES[part].items()]
    if "predict_loads" in measured:
        text.append(f"`predict` loads {', '.join(measured['predict_loads'])}")
    if disturbed(measured):
        text.append(f"**{measured['busy_elsewhere']:.0%} of the machine was busy elsewhere: measure again**")
    return "; ".join(text)


def disturbed(measured: Document) -> bool:
    """Whether others took so much of the machine that the times of a part say little."""
    return (measured.get("busy_elsewhere") or 0) > TOLERATED_ELSEWHERE


def table(sides: Mapping[str, Document]) -> str:
    """Sides as a Markdown table; a missing one says why."""
    lines = ["| side | median ms | 10–90 % | × plain | peak MB | |", "|---|--:|--:|--:|--:|---|"]
    for name, row in sides.items():
        what = row.get("what", "")
        if "missing" in row:
            cells = ["–"] * 4 + ["; ".join(filter(None, [what, f"missing: {row['missing']}"]))]
        else:
            spread = f"{number(row['low_ms'])}–{number(row['high_ms'])}"
            ratio = number(row.get("ratio_to_plain"))
            cells = [number(row["median_ms"]), spread, ratio, f"{row['peak_mb']:,.0f}", what]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Three significant digits, and no exponent.

    >>> number(4068.2), number(10.04), number(0.5), number(None)
    ('4,068', '10.0', '0.500', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
