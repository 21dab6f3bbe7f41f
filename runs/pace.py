"""What the evidence asks for, and how long a step of every network takes here: results/pace.json, from which RESULTS.md
says what the rows that were not run would cost. SepTr's step takes a minute and some 8 GB.

    FELTONE_DATA=~/corpora python runs/pace.py
"""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from feltone.files import write_json
from feltone.lab import provenance, reproduce
from feltone.lab.models.cost import cost
from feltone.lab.pace import step_seconds
from feltone.lab.recipes import recipe
from feltone.lab.training.machine import Machine

RESULTS = Path(__file__).parents[1] / "results"


def asked() -> list[dict[str, Any]]:
    """Every task with its runs and the steps of each network in them."""
    planned, _ = reproduce.plan(reproduce.tasks("all"), Path(os.environ["FELTONE_DATA"]), RESULTS / "accuracy")
    found: dict[reproduce.Task, list[reproduce.Planned]] = {}
    for one in planned:
        found.setdefault(one.task, []).append(one)
    told = []
    for task, jobs in found.items():
        steps: Counter[str] = Counter()
        for one in jobs:
            steps.update(one.steps)
        names = {"recipe": task.recipe, "corpus": task.corpus, "protocol": task.protocol}
        told.append(names | {"runs": len(jobs), "steps": dict(steps), "command": task.command})
    return told


def main() -> None:
    """Measure and write."""
    machine = Machine.of("cpu", 1, "auto", compiled=False, threads=None)
    stages = {stage.learner: stage for name in reproduce.ORDER for stage in recipe(name).stages}
    seconds = {}
    for learner, stage in stages.items():
        seconds[learner] = round(step_seconds(stage, machine, cost(learner).macs), 4)
        print(f"{learner}: {seconds[learner]} s a step", flush=True)
    told = {"device": provenance.device(), "precision": machine.precision, "compiled": machine.compiled}
    origin = {"command": "python runs/pace.py", "commit": provenance.commit(), "date": provenance.today()}
    write_json(RESULTS / "pace.json", told | {"seconds_per_step": seconds} | origin | {"tasks": asked()})


if __name__ == "__main__":
    main()
