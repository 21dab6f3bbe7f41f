"""What a newcomer meets on a CPU, from an empty folder to a row of Table 3, killed once in the middle:
results/newcomer.json. Needs FELTONE_DATA; takes an hour of two cores that multiply in bf16, and six of others.

    FELTONE_DATA=~/corpora python runs/newcomer.py FOLDER
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from feltone.files import write_json
from feltone.lab import provenance
from feltone.lab.recipes import recipe

ROOT = Path(__file__).parents[1]
RECIPE, CORPUS = "paper", "emodb"
INSTALL = ("python3.11 -m venv .venv", ".venv/bin/pip install -q -c constraints.txt '.[train]'")
COMMAND = f"feltone reproduce table3 --corpus {CORPUS} --protocol paper --recipe {RECIPE} --seeds 1 --results mine"
POLL_SECONDS = 1
MORE_SECONDS = 7  # after the epoch at half: somewhere in the next one


def epochs(clone: Path) -> int:
    """Epochs that the run says it has done."""
    return sum(len(file.read_text().splitlines()) for file in clone.glob("runs/**/history.jsonl"))


def sitting(clone: Path, until: int | None) -> dict[str, Any]:
    """Give the command; when `until` epochs are done, SIGKILL it and whatever it began."""
    had, begun = epochs(clone), time.monotonic()
    process = subprocess.Popen(shlex.split(f".venv/bin/{COMMAND}"), cwd=clone, start_new_session=True)
    while until and process.poll() is None:
        time.sleep(POLL_SECONDS)
        if epochs(clone) >= until:
            time.sleep(MORE_SECONDS)
            os.killpg(process.pid, signal.SIGKILL)
            break
    ended = process.wait()
    told = "killed by SIGKILL" if ended == -signal.SIGKILL else f"exit status {ended}"
    return {"seconds": round(time.monotonic() - begun), "epochs": [had, epochs(clone)], "ended": told}


def main() -> None:
    """Clone, install, train, be killed, train on; write what it took and what came out."""
    clone, commit, begun = Path(sys.argv[1]), provenance.commit(), time.monotonic()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    for line in INSTALL:
        subprocess.run(shlex.split(line), cwd=clone, check=True)
    installed = round(time.monotonic() - begun)
    whole = sum(stage.epochs for stage in recipe(RECIPE).stages)
    sittings = [sitting(clone, whole // 2), sitting(clone, None)]
    if sittings[-1]["ended"] != "exit status 0":
        sys.exit(f"{clone}: the second sitting ended with {sittings[-1]['ended']}; nothing is written")
    rows = [json.loads(file.read_text()) for file in sorted((clone / "mine").glob("*.json"))]
    told = {
        "corpus": CORPUS,
        "device": provenance.device(),
        "install": list(INSTALL),
        "install_seconds": installed,
        "run": COMMAND,
        "epochs": whole,
        "sittings": sittings,
        "seconds": round(time.monotonic() - begun),
        "rows": [{"model": row["model"], "wa": row["wa"]["pooled"], "uar": row["uar"]["pooled"]} for row in rows],
    }
    origin = {"command": "python runs/newcomer.py", "commit": commit, "date": provenance.today()}
    write_json(ROOT / "results" / "newcomer.json", told | origin)


if __name__ == "__main__":
    main()
