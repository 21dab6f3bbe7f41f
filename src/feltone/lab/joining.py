"""The networks of a recipe's seeds as one (`models/joined.py`): from a run an artefact, from tested folds its answers.

    RUN/seed-*/fold-F/<stage>.safetensors   --exported--> RUN/joined/fold-F/<stage>-xN
    tested folds of several seeds of a row  --answers---> tested folds of `<stage>-xN`, a row of its own

What a joined network answers follows from what its members answered, so no weights are needed for its row.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from feltone.artifact import Artifact
from feltone.artifact import load as load_artifact
from feltone.errors import ConfigError
from feltone.lab import experiment, trained
from feltone.lab.calibration import Calibration
from feltone.lab.experiment import Material
from feltone.lab.metrics import Floats
from feltone.lab.models import Joined, JoinedConfig, Network, empty
from feltone.lab.predictions import DECIMALS
from feltone.lab.recipes import Recipe
from feltone.lab.tested import FoldResult, complete
from feltone.lab.training.folder import seconds_of
from feltone.lab.training.run import Run
from feltone.lab.training.schedule import Job

FOLDER = "joined"  # beside those of the seeds, in a run
MEMBERS = 3
"""How many seeds make a row: of recipe `honest` they cost two thirds of what the paper's student does."""


def named(model: str, members: int) -> str:
    """What a model is called when so many of its seeds are joined.

    >>> named("residual", 3)
    'residual-x3'
    """
    return f"{model}-x{members}"


def joined(networks: Sequence[Network]) -> Joined:
    """One network that answers with the mean of the logits of trained ones, which must be of one size.

    Raises:
        ConfigError: they are not, or tell different numbers of labels apart.
    """
    kinds = {(repr(one.config), one.classifier.out_features) for one in networks}
    if len(kinds) > 1:
        raise ConfigError("networks of different sizes or labels cannot be joined; join seeds of one recipe")
    config = JoinedConfig(networks[0].config, len(networks))
    whole = empty(config, networks[0].classifier.out_features)
    assert isinstance(whole, Joined)
    whole.take(networks)
    return whole.eval()


def exported(
    recipe: Recipe,
    material: Material,
    jobs: Sequence[Job],
    out: Path,
    accelerator: str,
    calibration: Calibration | None = None,
) -> dict[str, Artifact]:
    """The artefact of the last stage's networks of one fold's seeds, by its name; made where it is not there yet.

    Args:
        recipe: by which they were trained.
        material: on what.
        jobs: of one fold, with all seeds that are joined, all trained.
        out: folder of their runs.
        accelerator: what trained them.
        calibration: how sure the joined network may be.

    Raises:
        ConfigError: each seed trained on other clips.
    """
    if len({frozenset(sample.clip for sample in job.fold.learnt) for job in jobs}) > 1:
        raise ConfigError(f"protocol {jobs[0].fold.protocol}: every seed divides anew, so that seeds cannot be joined")
    first, stage = jobs[0], recipe.stages[-1].name
    folders = [experiment.run_folder(out, job.seed, first.fold.index) for job in jobs]
    members = [trained.read(folder, stage, of_patches=False) for folder in folders]
    name, variant = (named(of, len(jobs)) for of in (stage, members[0].variant))
    run = Run(first.fold, first.labels, first.seed, out / FOLDER / folders[0].name)
    experiment.export_network(
        joined([member.network for member in members]),
        name,
        variant,
        recipe,
        material,
        run,
        sum(sum(seconds_of(folder).values()) for folder in folders),
        accelerator,
        calibration,
    )
    return {name: load_artifact(run.out / name)}


def answers(tested: Sequence[FoldResult], members: int = MEMBERS) -> list[FoldResult]:
    """What the first seeds of a row, joined, say of every fold; nothing while there are fewer, or seeds divide anew.

    Args:
        tested: folds of one row.
        members: how many seeds are joined.
    """
    runs = complete(tested)
    seeds = sorted({one.predictions.seed for one in runs})[:members]
    found = []
    for fold in sorted({one.predictions.fold for one in runs}):
        of = [one for seed in seeds for one in runs if (one.predictions.fold, one.predictions.seed) == (fold, seed)]
        if len(of) < members or len({one.predictions.keys for one in of}) > 1:
            return []
        found.append(_agreed(of))
    return found


def _agreed(of: Sequence[FoldResult]) -> FoldResult:
    first, facts = of[0].predictions, of[0].facts
    said = geometric_mean([one.predictions.probabilities for one in of])
    saved = (len(of) - 1) * len(first.labels)  # of all their classifiers' biases only one is left
    return replace(
        of[0],
        predictions=replace(first, model=named(first.model, len(of)), probabilities=said),
        facts=replace(
            facts,
            macs=None if facts.macs is None else len(of) * facts.macs,
            parameters=len(of) * facts.parameters - saved,
            train_seconds=round(sum(one.facts.train_seconds for one in of), 1),
        ),
    )


def geometric_mean(probabilities: Sequence[Floats]) -> Floats:
    """What networks agree on, each with probabilities (n, classes) as stored.

    >>> geometric_mean([np.array([[0.8, 0.2]]), np.array([[0.2, 0.8]])]).tolist()
    [[0.5, 0.5]]
    """
    mean = np.exp(np.mean([np.log(np.maximum(one, 10.0**-DECIMALS)) for one in probabilities], 0))
    return np.asarray(mean / mean.sum(1, keepdims=True), np.float64)
