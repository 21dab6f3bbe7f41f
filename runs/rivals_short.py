"""Do the rivals learn? A few training steps of AST and SepTr, of their full size, on real EmoDB images.

    FELTONE_DATA=... .venv/bin/python runs/rivals_short.py [ast] [septr]

writes results/rivals_short_run.json: the loss of every step, its seconds, the machine. The steps go round and round
over a handful of clips, one of every emotion before the second of any. That the loss falls there shows that gradients
arrive where they should; it says nothing of how well a rival hears.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from feltone.features import DEFAULT
from feltone.files import write_json
from feltone.lab import corpora, dataset, provenance
from feltone.lab.models import build, variant
from feltone.lab.models.cost import parameters
from feltone.lab.protocols import Sample
from feltone.lab.recipes import recipe
from feltone.lab.training.machine import Machine
from feltone.lab.training.step import Single, TrainingData
from feltone.labels import LabelSet

FILE = Path(__file__).parents[1] / "results" / "rivals_short_run.json"
CLIPS = {"ast": 12, "septr": 4}  # a SepTr costs thirty times as much
STEPS = {"ast": 24, "septr": 8}
BATCH = {"ast": 4, "septr": 2}  # the recipe's is 4; of a SepTr that takes 15 GB


def main() -> None:
    """Run what is asked for, and keep what the file says of the others."""
    found: dict[str, Any] = json.loads(FILE.read_text()) if FILE.is_file() else {}
    for name in sys.argv[1:] or CLIPS:
        found[name] = short_run(name, CLIPS[name], STEPS[name], BATCH[name])
        write_json(FILE, found)
        losses = found[name]["loss_per_step"]
        print(name, *(f"{loss:.3f}" for loss in losses), f"{found[name]['seconds_per_step']} s a step")


def short_run(name: str, clips: int, steps: int, batch: int) -> dict[str, Any]:
    """The loss of every step of a rival's recipe on so many clips."""
    (stage,), data = recipe(name).stages, images(clips)
    machine = Machine(precision="32-true", compiled=False)
    network = build(variant(stage.learner), int(data.targets.max()) + 1, seed=0)
    step = Single(stage, network, data, fabric=machine.fabric())
    losses, begun, before = [], time.monotonic(), 0.0
    for number in range(steps):
        step(np.arange(number * batch, (number + 1) * batch) % clips)
        losses.append(round(step.totals[0].loss - before, 4))
        before = step.totals[0].loss
    return {
        "corpus": "emodb",
        "clips": clips,
        "batch": batch,
        "learning_rate": stage.learning_rate,
        "loss_per_step": losses,
        "loss_first_round": round(float(np.mean(losses[: clips // batch])), 4),
        "loss_last_round": round(float(np.mean(losses[-clips // batch :])), 4),
        "seconds_per_step": round((time.monotonic() - begun) / steps, 2),
        "parameters": parameters(network),
        "weights": network.config.weights,
        "precision": machine.precision,
        "device": provenance.device(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "command": f"FELTONE_DATA=... python runs/rivals_short.py {name}",
        "date": provenance.today(),
    }


def images(count: int) -> TrainingData:
    """Images of so many clips, the first of every emotion, then the second."""
    clips = corpora.read("emodb", Path(os.environ["FELTONE_DATA"]))
    labels = LabelSet.of(clip.label for clip in clips)
    by_label = {label: [clip for clip in clips if clip.label == label] for label in labels}
    rounds = zip(*by_label.values(), strict=False)
    chosen = [Sample(clip) for one in rounds for clip in one][:count]
    loaded = dataset.load(chosen, labels, DEFAULT, 0, dataset.cache_folder())
    return TrainingData(loaded.images, loaded.targets)


if __name__ == "__main__":
    main()
