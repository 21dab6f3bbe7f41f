"""That training fast costs no accuracy: the three stages by `plain.py` and by `feltone train`, over several seeds.

    FELTONE_DATA=... python -m feltone_benchmarks.equal_accuracy --out results/speed/equal-accuracy.json

Both sides see the same images of EmoDB's `clean` fold and make equally many steps: few, since plain is slow, so the
scores are those of networks that have only begun to learn, and no accuracy to quote. Plain's initial weights and the
order of its samples are torch's own; what two seeds of one side differ by is the measure of what two sides may. An
interrupted measurement continues at the seed and side it had reached.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from feltone.files import write_json
from feltone.lab import corpora, dataset, protocols, provenance
from feltone.lab.dataset import Dataset
from feltone.lab.protocols import Fold
from feltone.lab.recipes import Recipe, recipe
from feltone.lab.training.machine import Machine
from feltone.lab.training.run import train
from feltone.labels import LabelSet
from feltone_benchmarks import plain, report

SEEDS = (0, 1, 2)
CORPUS, PROTOCOL = "emodb", "clean"
BATCH = 32  # test images at once

Scores = dict[str, float]  # network -> WA on the test part, 0-1


def main() -> None:
    """Measure what is missing, and write after every side of every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2, help="of each of the three stages")
    parser.add_argument("--threads", type=int, default=None)
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    clips = corpora.read(CORPUS, Path(os.environ["FELTONE_DATA"]))
    (fold,) = protocols.split(PROTOCOL, clips)
    labels = LabelSet.of(clip.label for clip in clips)
    found: dict[str, Any] = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    runs: dict[str, dict[str, Scores]] = found.get("runs", {side: {} for side in SIDES})
    for seed in SEEDS:
        for side, trained in SIDES.items():
            if str(seed) not in runs[side]:
                runs[side][str(seed)] = trained(fold, labels, seed, asked.epochs, asked.threads)
                write_json(asked.out, document(runs, asked.epochs))
                print(f"{side}, seed {seed}: {runs[side][str(seed)]}", flush=True)


def document(runs: dict[str, dict[str, Scores]], epochs: int) -> dict[str, Any]:
    """What was measured and where, with mean and spread of every network on either side."""
    summary = {
        side: {
            network: {
                "mean": statistics.fmean(scores),
                "sd": statistics.stdev(scores) if len(scores) > 1 else None,
            }
            for network in ("teacher", "student")
            if (scores := [one[network] for one in by_seed.values()])
        }
        for side, by_seed in runs.items()
    }
    origin = provenance.origin()
    what = {"corpus": CORPUS, "protocol": PROTOCOL, "epochs": epochs}
    return {"machine": report.machine()} | origin | what | {"runs": runs, "summary": summary}


def trained_plainly(fold: Fold, labels: LabelSet, seed: int, epochs: int, threads: int | None) -> Scores:  # noqa: ARG001
    """WA of teacher and student by `plain.py`: eager, fp32, the teacher asked at every step of stages 2 and 3."""
    torch.manual_seed(seed)
    images, targets, test = _data(fold, labels, seed)
    old, young = plain.teacher(len(labels)), plain.student(len(labels))
    plain.train(old, images, targets, plain.classify, epochs=epochs)
    plain.train(young, images, targets, plain.match, old, epochs=epochs)
    plain.train(young, images, targets, plain.classify_and_match, old, epochs=epochs)
    return {"teacher": accuracy(old, test), "student": accuracy(young, test)}


def trained_by_us(fold: Fold, labels: LabelSet, seed: int, epochs: int, threads: int | None) -> Scores:
    """WA of teacher and student as `feltone train` makes them on this machine."""
    machine = Machine.of("auto", 1, "auto", compiled=True, threads=threads)
    with tempfile.TemporaryDirectory(prefix="feltone-equal-") as folder:
        networks = train(
            _short(epochs), fold, labels, Path(folder), seed=seed, machine=machine, cache=dataset.cache_folder()
        )
    test = _data(fold, labels, seed)[2]
    return {name: accuracy(networks[name], test) for name in ("teacher", "student")}


SIDES: dict[str, Callable[[Fold, LabelSet, int, int, int | None], Scores]] = {
    "plain": trained_plainly,
    "feltone": trained_by_us,
}


def _short(epochs: int) -> Recipe:
    paper = recipe("paper")
    return replace(paper, stages=tuple(replace(stage, epochs=epochs) for stage in paper.stages))


def _data(fold: Fold, labels: LabelSet, seed: int) -> tuple[torch.Tensor, torch.Tensor, Dataset]:
    config, cache = recipe("paper").features, dataset.cache_folder()
    seen = dataset.load(fold.train, labels, config, seed, cache)
    test = dataset.load(fold.test, labels, config, seed, cache)
    return torch.from_numpy(seen.images).float(), torch.from_numpy(seen.targets), test


def accuracy(network: torch.nn.Module, test: Dataset) -> float:
    """WA in fp32."""
    network.eval()
    with torch.inference_mode():
        chunks = torch.from_numpy(test.images).float().split(BATCH)
        said = torch.cat([network(chunk).logits.argmax(-1) for chunk in chunks]).numpy()
    return float(np.mean(said == test.targets))


if __name__ == "__main__":
    main()
