"""What strangers may ask for, how it was fuzzed and what decoding apart costs, as Markdown for render.py."""

import json
from pathlib import Path

from feltone import limits

RESULTS = Path(__file__).parent
REGRESSIONS = RESULTS.parent / "tests" / "regressions"


def tables() -> dict[str, str]:
    """The tables of docs/reliability.md about input, by name."""
    return {"limits": allowed(), "fuzz": fuzzed(), "decoding": decoding()}


def allowed() -> str:
    """The declared limits."""
    lowest, highest = limits.RATES_HZ
    rows = {
        "sampling rate of a recording": f"{lowest:,} to {highest:,} Hz",
        "channels of a recording": f"{limits.CHANNELS}",
        "length of a recording that is read piece by piece": f"{limits.SECONDS // 3600} hours",
        "decoded samples kept together": size(limits.HELD_BYTES),
        "samples decoded at once, over all channels": f"{limits.BLOCK_SAMPLES:,}",
        "a table of recordings": size(limits.TABLE_BYTES),
        "a model's graph": size(limits.GRAPH_BYTES),
        "a model's description, and the header of its weights": size(limits.DESCRIPTION_BYTES),
        "values of a model's front end": f"{limits.IMAGE_VALUES:,}",
    }
    return "\n".join(["| what a file asks for | at most |", "|---|--:|", *(f"| {k} | {v} |" for k, v in rows.items())])


def size(count: int) -> str:
    """Bytes, in the largest binary unit that leaves a whole number."""
    return f"{count >> 30} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def fuzzed() -> str:
    """The last run of each target, from fuzz.json, and the inputs that are replayed."""
    found = json.loads((RESULTS / "fuzz.json").read_text())["targets"]
    lines = ["| target | inputs | seconds | branches reached | escaped | kept and replayed | commit |"]
    lines.append("|---|--:|--:|--:|--:|--:|---|")
    for name, row in found.items():
        kept = len(list((REGRESSIONS / name).glob("*")))
        figures = f"{row['inputs']:,} | {row['seconds']:,} | {row['covered']} | {row['crashes']} | {kept}"
        lines.append(f"| {name} | {figures} | {row['commit']} |")
    machines = sorted({f"{row['engine']}, {row['machine']}, {row['date']}" for row in found.values()})
    return "\n".join([*lines, "", f"{'; '.join(machines)}. Again: `make fuzz`."])


def decoding() -> str:
    """What decoding apart costs, from decoding.json."""
    found = json.loads((RESULTS / "decoding.json").read_text())
    lines = ["| clip of 4 s | here, ms | apart, ms | processor time here, ms | apart, both processes, ms |"]
    lines.append("|---|--:|--:|--:|--:|")
    for row in found["rows"]:
        figures = [row[f"{side}_{unit}"] for unit in ("ms", "cpu_ms") for side in ("here", "apart")]
        lines.append(f"| {row['clip']} | {' | '.join(f'{figure:.2f}' for figure in figures)} |")
    told = f"{found['machine']}, load {found['load']:.1f}, {found['date']}; again: `{found['command']}`"
    return "\n".join([*lines, "", f"{told}. Times on the wall mean something on a quiet machine alone."])
