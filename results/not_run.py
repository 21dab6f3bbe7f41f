"""What of the evidence is not there yet, and what it would cost: used by render.py alone.

pace.json   every row that is asked for, and seconds per step on a machine (runs/pace.py)
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "pace.json"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Per recipe and corpus: what is missing under which protocol, about how long it takes, and the command."""
    found = json.loads(FILE.read_text())
    done = {(row["recipe"], row["corpus"], row["protocol"]): len(row["folds_run"]) * len(row["seeds"]) for row in rows}
    missing: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for task in found["tasks"]:
        here = done.get((task["recipe"], task["corpus"], task["protocol"]), 0)
        if here < task["runs"]:
            share = 1 - here / task["runs"]
            hours = share * sum(found["seconds_per_step"][name] * n for name, n in task["steps"].items()) / 3600
            words = f"{task['protocol']} ({here} of {task['runs']})" if here else f"{task['protocol']} ({task['runs']})"
            missing.setdefault((task["recipe"], task["corpus"]), []).append((words, hours))
    lines = ["| recipe | corpus | not run (runs) | hours, about | command |", "|---|---|---|--:|---|"]
    for (recipe, corpus), parts in missing.items():
        command = f"feltone reproduce all --recipe {recipe} --corpus {corpus}"
        names, hours = ", ".join(words for words, _ in parts), sum(one for _, one in parts)
        lines.append(f"| {recipe} | {corpus} | {names} | {hours:,.0f} | `{command}` |")
    how = "compiled" if found["compiled"] else "uncompiled"
    note = (
        f"Hours on {found['device']} ({found['precision']}, {how}, one run at a time), from a step that was measured "
        f"there on {found['date']}; nothing else is extrapolated."
    )
    return "\n".join([*lines, "", note])
