"""The evidence: what is there of the rows that are wanted (`tasks.py`), and how the rest is made.

A task is a recipe on a corpus under a protocol. It falls into jobs, one per fold and seed, each of which ends as a file
among the results (`tested.py`). A job whose file is there, made by the same recipe on the same test clips, is done and
never done again, whichever machine did it; one that was interrupted goes on from its last checkpoint.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from feltone.errors import ConfigError, CorpusError, ProtocolError
from feltone.files import held, write_json
from feltone.lab import dataset, joining, protocols, provenance, tested
from feltone.lab.evaluate import RunFacts
from feltone.lab.experiment import Experiment, Material, chosen, kept_stages, run_folder
from feltone.lab.judging import Exam
from feltone.lab.models import Network
from feltone.lab.models.cost import multiply_adds, parameters
from feltone.lab.predictions import key_of
from feltone.lab.recipes import Recipe, recipe
from feltone.lab.tasks import BEYOND, Task
from feltone.lab.tested import FoldResult
from feltone.lab.training import before
from feltone.lab.training.folder import epochs_done, seconds_of, settings
from feltone.lab.training.learner import Tick
from feltone.lab.training.machine import Machine
from feltone.lab.training.run import Run, train_many
from feltone.lab.training.schedule import Job, groups


@dataclass(frozen=True)
class Planned:
    """A job of a task, the recipe in full, and whether its results are there."""

    task: Task
    job: Job
    material: Material
    made: Recipe
    done: bool

    @property
    def steps(self) -> dict[str, int]:
        """Steps of every stage, by the variant that makes them."""
        return steps_of(self.made, len(self.job.fold.train))

    def steps_left(self, out: Path) -> dict[str, int]:
        """Those that its run below `out` has not told of yet, where it was begun and interrupted."""
        return steps_of(self.made, len(self.job.fold.train), epochs_done(_folder(self, out)))


@dataclass(frozen=True)
class Ahead:
    """What other corpora have to be learnt before some jobs, and is not there yet."""

    made: Recipe
    corpora: tuple[str, ...]
    samples: int

    @property
    def steps(self) -> dict[str, int]:
        """Steps by the variant that makes them."""
        return steps_of(self.made, self.samples)


def steps_of(made: Recipe, samples: int, done: Mapping[str, int] | None = None) -> dict[str, int]:
    """Steps of every stage of a recipe on so many samples after the epochs done, by the variant that makes them."""
    counted: dict[str, int] = {}
    for stage in made.stages:
        steps = max(0, stage.epochs - (done or {}).get(stage.name, 0)) * math.ceil(samples / stage.batch)
        counted[stage.learner] = counted.get(stage.learner, 0) + steps
    return counted


def plan(wanted: Sequence[Task], data: Path, results: Path) -> tuple[list[Planned], list[str]]:
    """Every job of some tasks, in order; and a line for what a corpus cannot be divided for."""
    read = cache(lambda corpus: Material.read(corpus, data))
    planned: list[Planned] = []
    impossible: dict[str, None] = {}  # of several recipes one line
    for task in wanted:
        try:
            material = read(task.corpus)
            jobs = list(_jobs(task, material, data))
        except (CorpusError, ProtocolError) as fault:
            impossible[f"{task.corpus} under {task.protocol}: {fault}"] = None
            continue
        made = recipe(task.recipe)
        planned += [Planned(task, job, material, made, is_done(task, job, results)) for job in jobs]
    return planned, list(impossible)


def ahead(group: Sequence[Planned], machine: Machine, cache: Path) -> dict[Path, Ahead]:
    """What comes first for jobs that are not done, by the folder in which it will be; without what is there already."""
    # It depends on neither fold nor protocol.
    todo = {(one.task.recipe, one.job.seed): one for one in group if not one.done}
    found = {}
    for one in todo.values():
        first = one.made.before
        if not first:
            continue
        job = before.job_of(one.job.fold, one.job.seed)
        folder = before.folder_of(settings(first, job.fold, job.labels, job.seed, machine), cache)
        if not all((folder / f"{stage.name}.safetensors").is_file() for stage in first.stages):
            found[folder] = Ahead(first, one.made.corpora_before, len(job.fold.train))
    return found


def _jobs(task: Task, material: Material, data: Path) -> Iterator[Job]:
    for seed in range(task.seeds):
        first = recipe(task.recipe).corpora_before
        folds = Experiment(task.corpus, data, task.protocol, seed, before=first).folds(material)
        yield from (Job(fold, len(folds), seed) for fold in chosen(folds, task.folds))


def trained_folder(task: Task, out: Path, seed: int = 0, fold: int = 1) -> Path:
    """Where the run of a task's fold lives."""
    return run_folder(out / task.out, seed, fold)


def result_files(task: Task, job: Job, results: Path) -> dict[str, Path]:
    """File of a job's results, per stage whose network counts."""
    made, of = recipe(task.recipe), (job.seed, job.fold.index)
    names = {stage: tested.row_name(task.corpus, task.protocol, stage, made.name) for stage in kept_stages(made)}
    return {stage: tested.kept_at(results, name, *of) for stage, name in names.items()}


def is_done(task: Task, job: Job, results: Path) -> bool:
    """Whether the results of a job are there: of the same recipe, on the same test samples."""
    keys = tuple(map(key_of, job.fold.test))
    for file in result_files(task, job, results).values():
        if not file.is_file():
            return False
        found = FoldResult.read(file)
        if found.predictions.keys != keys or found.recipe != _plain(recipe(task.recipe)):
            return False
    return True


def refuse_mixing(todo: Sequence[Planned], results: Path) -> None:
    """Before anything is trained: no row that a job would join may hold folds of another form of its recipe.

    Raises:
        ConfigError: one does, and would lose those folds to the new ones or could not be pooled with them.
    """
    folders = {file.parent: one.made for one in todo for file in result_files(one.task, one.job, results).values()}
    for folder, made in folders.items():
        if others := sum(found.recipe != _plain(made) for found in tested.in_folder(folder)):
            told = f"{folder}: {others} folds were made by another form of recipe '{made.name}'"
            raise ConfigError(f"{told}; move them away or delete them, or keep the new ones elsewhere (--results)")


def together(planned: Sequence[Planned], at_most: int) -> list[list[Planned]]:
    """What is not done yet, in groups that are trained at once: of one recipe and of as many labels."""
    made = []
    for name in dict.fromkeys(one.task.recipe for one in planned):
        todo = [one for one in planned if one.task.recipe == name and not one.done]
        of_job = {id(one.job): one for one in todo}
        batch = recipe(name).stacked_batch
        made += [[of_job[id(job)] for job in group] for group in groups([one.job for one in todo], at_most, batch)]
    return made


def run(
    group: Sequence[Planned],
    out: Path,
    results: Path,
    machine: Machine,
    on_ticks: Sequence[Callable[[Tick], None]],
) -> None:
    """Train and test a group of jobs, and keep what came out among the results; it needs nothing but its arguments.

    Raises:
        StorageError: another process is at work on one of them.
    """
    with ExitStack() as holding:
        for one in group:
            holding.enter_context(held(_folder(one, out)))
        trained = train(group, out, machine, on_ticks)
        for one, networks in zip(group, trained, strict=True):
            record(one, {stage: networks[stage] for stage in kept_stages(one.made)}, out, results, machine)


def train(
    group: Sequence[Planned],
    out: Path,
    machine: Machine,
    on_ticks: Sequence[Callable[[Tick], None]],
    until: str | None = None,
) -> list[dict[str, Network]]:
    """The networks of a group of jobs, by stage; up to a stage, or all."""
    runs = [
        Run(one.job.fold, one.job.labels, one.job.seed, _folder(one, out), on_tick)
        for one, on_tick in zip(group, on_ticks, strict=True)
    ]
    return train_many(group[0].made, runs, machine=machine, cache=dataset.cache_folder(), until=until)


def record(one: Planned, networks: Mapping[str, Network], out: Path, results: Path, machine: Machine) -> None:
    """Keep what networks say about their test part among the results."""
    for stage, network in networks.items():
        tested.keep(judged(one, stage, network, _folder(one, out), machine), results)


def write_rows(group: Sequence[Planned], results: Path) -> list[Path]:
    """The rows that a group of jobs belongs to, written anew, and those of their seeds joined."""
    folders: dict[Path, bool] = {}
    for one in group:
        last = list(kept_stages(one.made))[-1]
        for stage, file in result_files(one.task, one.job, results).items():
            folders[file.parent] = one.task.recipe in BEYOND and stage == last
    return [row for folder, joins in folders.items() for row in _written(folder, results, joins)]


def _written(folder: Path, results: Path, joins: bool) -> Iterator[Path]:
    found = tested.in_folder(folder)
    yield _write(found, results)
    if agreed := joining.answers(found) if joins else []:
        for one in agreed:
            tested.keep(one, results)
        yield _write(agreed, results)


def write_row(folder: Path, results: Path) -> Path:
    """The row of a folder of tested folds, written anew."""
    return _write(tested.in_folder(folder), results)


def _write(found: Sequence[FoldResult], results: Path) -> Path:
    write_json(results / found[0].row_name, tested.row_of(found))
    return results / found[0].row_name


def judged(one: Planned, stage: str, network: Network, folder: Path, machine: Machine) -> FoldResult:
    """What a trained network says about its test part, with the audit of the split and where it comes from."""
    job, made = one.job, one.made
    facts = RunFacts(
        macs=multiply_adds(network, network.config.image),
        parameters=parameters(network),
        train_seconds=round(sum(seconds_of(folder).values()), 1),
        device=provenance.device(machine.accelerator),
        versions=provenance.versions(),
        commit=provenance.commit(),
        command=one.task.command,
        date=provenance.today(),
        weights=network.config.weights,
    )
    exam = Exam(job.fold, job.seed, stage, one.material.name)
    answers = exam.by_network(network, job.labels, made.features, machine.fabric().device)
    return FoldResult(answers, protocols.audit(job.fold), job.folds, _plain(made), one.material.audio, facts)


def _folder(one: Planned, out: Path) -> Path:
    return trained_folder(one.task, out, one.job.seed, one.job.fold.index)


def _plain(made: Recipe) -> dict[str, object]:
    """A recipe as it comes back from JSON."""
    plain: dict[str, object] = json.loads(json.dumps(made.to_dict()))
    return plain
