"""What a newcomer met on the way to a row of Table 3: used by render.py alone.

newcomer.json   what was installed, run, killed and reached (runs/newcomer.py)
"""

import json
from pathlib import Path

from feltone.lab.evidence_tables import DAGGER, TITLES, markdown

FILE = Path(__file__).parent / "newcomer.json"


def table() -> str:
    """Step by step, with what each took."""
    told = json.loads(FILE.read_text())
    lines = [["clone, install", _minutes(told["install_seconds"]), "`" + "`, `".join(told["install"]) + "`"]]
    for number, one in enumerate(told["sittings"]):
        had, reached = one["epochs"]
        begun = "the command" if number == 0 else "the same command"
        what = f"{begun}: from epoch {had} to {reached} of {told['epochs']}, {one['ended']}"
        lines.append([f"sitting {number + 1}", _minutes(one["seconds"]), what])
    scores = "; ".join(f"{one['model']} {100 * one['wa']:.1f} / {100 * one['uar']:.1f}" for one in told["rows"])
    of = f"{TITLES[told['corpus']]} under `paper` †, WA / UAR %: {scores}"
    lines.append(["in all", _minutes(told["seconds"]), of])
    origin = f"`{told['run']}` on {told['device']}, {told['date']}."
    return f"{markdown(['', 'minutes', ''], lines, left=1)}\n\n{DAGGER}\n\n{origin}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"
