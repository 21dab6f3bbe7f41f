"""A run: the stages of a recipe on one fold with one seed, in a folder that can be continued (`folder.py`)."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from feltone.files import write_json
from feltone.lab import dataset, outside
from feltone.lab.models import Network, build, variant
from feltone.lab.models.projected import Projected
from feltone.lab.predictions import key_of
from feltone.lab.protocols import Fold
from feltone.lab.recipes import Recipe
from feltone.lab.training import before, checkpoint, stopping
from feltone.lab.training.before import Known
from feltone.lab.training.folder import History, claim, load_weights, save_weights, seconds_of, settings
from feltone.lab.training.learner import Learner, Tick
from feltone.lab.training.loop import fit_many, said_of
from feltone.lab.training.machine import Machine
from feltone.lab.training.resident import Taught, TrainingData
from feltone.lab.training.stages import BEFORE, OUTSIDE, Stage
from feltone.labels import LabelSet

PROJECTION = "projection.safetensors"


@dataclass(frozen=True)
class Run:
    """What is trained, and where it is kept."""

    fold: Fold
    labels: LabelSet
    seed: int
    out: Path
    on_tick: Callable[[Tick], None] = lambda tick: None


def train(
    recipe: Recipe,
    fold: Fold,
    labels: LabelSet,
    out: Path,
    *,
    seed: int,
    machine: Machine,
    cache: Path,
    on_tick: Callable[[Tick], None] = lambda tick: None,
) -> dict[str, Network]:
    """Run every stage of a recipe that is not done yet; the network of every stage, by the stage's name.

    Raises:
        ConfigError: the folder holds a run with other settings.
    """
    return train_many(recipe, [Run(fold, labels, seed, out, on_tick)], machine=machine, cache=cache)[0]


def train_many(
    recipe: Recipe, runs: Sequence[Run], *, machine: Machine, cache: Path, until: str | None = None
) -> list[dict[str, Network]]:
    """`train` for several runs, every stage of all of them at once; alike up to rounding.

    With `until`, the stages up to that one alone; the rest is done when the same runs are given again. Whoever gives
    folders that others might train in as well holds them meanwhile (`files.held`).
    """
    for stage in recipe.stages:
        machine.share_of(stage.batch)
    for run in runs:
        claim(run.out, settings(recipe, run.fold, run.labels, run.seed, machine))
    learnt = _learnt_before(recipe, runs, machine, cache)
    fabric = machine.fabric()
    stopping.lead()
    fabric.launch()
    sittings = [_Sitting(recipe, run, known, fabric, cache) for run, known in zip(runs, learnt, strict=True)]
    for stage in recipe.stages:
        begun = [(sitting, learner) for sitting in sittings if (learner := sitting.begin(stage))]
        seconds = fit_many(stage, [learner for _, learner in begun], fabric=fabric, compiled=machine.compiled)
        for (sitting, learner), spent in zip(begun, seconds, strict=True):
            sitting.end(stage, learner.network, spent)
        fabric.barrier()
        if stage.name == until:
            break
    return [sitting.done for sitting in sittings]


def _learnt_before(recipe: Recipe, runs: Sequence[Run], machine: Machine, cache: Path) -> list[dict[str, Known]]:
    """Per run, what its stages begin from: a finished model, or networks by which other corpora are learnt.

    These are learnt now if not before, those of several seeds at once.
    """
    if recipe.begun:
        return [{recipe.begun.model.name: recipe.begun.network()}] * len(runs)
    if not recipe.before:
        return [{} for _ in runs]
    priors = dict[Path, Run]()
    of_run = []
    for run in runs:
        job = before.job_of(run.fold, run.seed)
        folder = before.folder_of(settings(recipe.before, job.fold, job.labels, job.seed, machine), cache)
        priors.setdefault(folder, Run(job.fold, job.labels, job.seed, folder, run.on_tick))
        of_run.append(folder)
    with ExitStack() as holding:
        # In one order for everybody, or two could wait for each other.
        for folder in sorted(priors) if not stopping.is_helper() else ():
            before.hold(folder, holding)
        trained = train_many(recipe.before, list(priors.values()), machine=machine, cache=cache)
    known = {
        folder: {stage: Known(network, prior.labels) for stage, network in networks.items()}
        for (folder, prior), networks in zip(priors.items(), trained, strict=True)
    }
    return [known[folder] for folder in of_run]


class _Sitting:
    """A run under way: its samples, and the networks that it has so far."""

    def __init__(self, recipe: Recipe, run: Run, learnt: dict[str, Known], fabric: Fabric, cache: Path) -> None:
        self.run, self.fabric, self.done = run, fabric, dict[str, Network]()
        self.recipe, self.learnt, self.cache = recipe, learnt, cache
        self.taught = dict[str, Taught]()  # by frozen teachers
        with fabric.rank_zero_first():  # the others find what it has cached
            self.samples = dataset.load(run.fold.train, run.labels, recipe.features, run.seed, cache)
        history = History(run.out / "history.jsonl", run.on_tick) if fabric.is_global_zero else None
        self.on_tick = history.tick if history else lambda tick: None

    def begin(self, stage: Stage) -> Learner | None:
        """What there is to learn in a stage: nothing, when its weights are there."""
        network = self._initial(stage)
        weights = self._file(stage, "safetensors")
        if weights.is_file():
            load_weights(network, weights)
            self.done[stage.name] = network.eval()
            return None
        taught = self._taught_by(stage.teacher) if stage.teacher else None
        if taught and taught.feature.shape[1] != network.config.token_width:
            network = self._projected(network, stage, taught.feature.shape[1])
        data = TrainingData(self.samples.images, self.samples.targets, *(taught or ()))
        names = list(map(key_of, self.samples.samples))
        return Learner(network, data, self.run.seed, self._file(stage, "checkpoint"), self.on_tick, names)

    def end(self, stage: Stage, network: Network, seconds: float) -> None:
        """Keep what was learnt; the weights come last, since they say that the stage is done."""
        projection = network.projection if isinstance(network, Projected) else None
        network = network.network if isinstance(network, Projected) else network
        self.done[stage.name] = network.cpu().eval()
        if self.fabric.is_global_zero:
            out = self.run.out
            write_json(out / "seconds.json", seconds_of(out) | {stage.name: round(seconds, 1)})
            if projection:
                save_weights(projection, self._file(stage, PROJECTION))
            save_weights(network, self._file(stage, "safetensors"))
            checkpoint.remove(self._file(stage, "checkpoint"))

    def _taught_by(self, teacher: str) -> Taught:
        """What a teacher says of every sample: computed once for all stages that learn from it."""
        if teacher == OUTSIDE and teacher not in self.taught:
            assert self.recipe.outside is not None, "a recipe whose stages have a teacher from outside names it"
            of = self.run.fold.train, self.recipe.outside, self.recipe.features, self.run.seed, self.cache
            self.taught[teacher] = Taught(torch.from_numpy(outside.features_of(*of)))
        if teacher not in self.taught:
            self.taught[teacher] = said_of(self.done[teacher], self.samples.images, self.fabric)
        return self.taught[teacher]

    def _initial(self, stage: Stage) -> Network:
        network = build(variant(stage.learner), len(self.run.labels), self.run.seed)
        if stage.start and stage.start.startswith(BEFORE):
            before.begin_from(network, self.run.labels, self.learnt[stage.start.removeprefix(BEFORE)])
        elif stage.start:
            network.load_state_dict(self.done[stage.start].state_dict())
        return network

    def _projected(self, network: Network, stage: Stage, width: int) -> Network:
        """A learner with a map onto a teacher's features: that of the stage it starts from, or a new one."""
        projected = Projected(network, width, self.run.seed)
        before = self.run.out / f"{stage.start}.{PROJECTION}"
        if stage.start and before.is_file():
            load_weights(projected.projection, before)
        return projected

    def _file(self, stage: Stage, ending: str) -> Path:
        return self.run.out / f"{stage.name}.{ending}"
