"""The evidence: which rows the published tables ask for, what of them is there, and how the rest is made.

A task is a recipe on a corpus under a protocol. It falls into jobs, one per fold and seed, each of which ends as a file
among the results (`tested.py`). A job whose file is there, made by the same recipe on the same test clips, is done and
never done again, whichever machine did it; one that was interrupted goes on from its last checkpoint.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from feltone.errors import ConfigError, ProtocolError
from feltone.files import write_json, write_text
from feltone.lab import dataset, protocols, provenance, tested
from feltone.lab.evaluate import RunFacts, row_file
from feltone.lab.experiment import Experiment, Material, chosen, kept_stages, run_folder
from feltone.lab.judging import Exam
from feltone.lab.models import Network
from feltone.lab.models.cost import multiply_adds, parameters
from feltone.lab.predictions import key_of
from feltone.lab.recipes import Recipe, recipe
from feltone.lab.tested import FoldResult
from feltone.lab.training.loop import Tick
from feltone.lab.training.run import Machine, Run, seconds_of, train_many
from feltone.lab.training.schedule import Job, groups

PROTOCOLS = ("paper", "clean", "emobox", "speaker", "sentence")
CORPORA = ("emodb", "savee", "ravdess", "crema-d")
MOST_SEEDS = {"paper": 3, "clean": 3}  # of a protocol of one fold; the others have their folds to speak from

TABLES = {
    "table1": ("paper", "nope"),
    "table2": ("paper-12", "ast"),
    "table3": ("paper", "septr"),
}
"""Published table -> the recipes of its rows (SPEC §5)."""

ORDER = ("paper", "nope", "paper-12", "paper-16x16", "ast", "septr")
"""All recipes, those first that say most for their cost."""


@dataclass(frozen=True)
class Task:
    """A recipe on a corpus under a protocol, with this many seeds; some of its folds, or all."""

    recipe: str
    corpus: str
    protocol: str
    seeds: int
    folds: tuple[int, ...] = ()

    @property
    def out(self) -> str:
        """Name of its folder of runs."""
        return f"{self.corpus}-{self.protocol}-{self.recipe}"


@dataclass(frozen=True)
class Planned:
    """A job of a task, and whether its results are there."""

    task: Task
    job: Job
    material: Material
    done: bool

    @property
    def steps(self) -> dict[str, int]:
        """Steps of every stage, by the variant that makes them."""
        counted: dict[str, int] = {}
        for stage in recipe(self.task.recipe).stages:
            steps = stage.epochs * math.ceil(len(self.job.fold.train) / stage.batch)
            counted[stage.learner] = counted.get(stage.learner, 0) + steps
        return counted


def tasks(
    what: str,
    corpora: Sequence[str] = CORPORA,
    wanted: Sequence[str] = PROTOCOLS,
    seeds: int | None = None,
    folds: Sequence[int] = (),
) -> list[Task]:
    """What a table asks for (or `all`), cheap and telling rows first.

    Raises:
        ConfigError: an unknown table or protocol.
    """
    if what != "all" and what not in TABLES:
        raise ConfigError(f"'{what}' is not known; known: {', '.join((*TABLES, 'all'))}")
    unknown = set(wanted) - set(PROTOCOLS)
    if unknown:
        raise ConfigError(f"protocol '{min(unknown)}' cannot be reproduced; known: {', '.join(PROTOCOLS)}")
    recipes = [name for name in ORDER if what == "all" or name in TABLES[what]]
    found = [
        Task(name, corpus, protocol, seeds or MOST_SEEDS.get(protocol, 1), tuple(folds))
        for name in recipes
        for protocol in wanted
        for corpus in corpora
    ]
    # CREMA-D is worth fourteen of the others, and SepTr a thousand of everything.
    return sorted(found, key=lambda task: (task.recipe == "septr", task.corpus == "crema-d"))


def plan(wanted: Sequence[Task], data: Path, results: Path) -> tuple[list[Planned], list[str]]:
    """Every job of some tasks, in order; and a line for every task that a corpus cannot be divided for."""
    read = cache(lambda corpus: Material.read(corpus, data))
    planned, impossible = [], []
    for task in wanted:
        material = read(task.corpus)
        try:
            jobs = list(_jobs(task, material, data))
        except ProtocolError as fault:
            impossible.append(f"{task.corpus} under {task.protocol}: {fault}")
            continue
        planned += [Planned(task, job, material, is_done(task, job, results)) for job in jobs]
    return planned, impossible


def _jobs(task: Task, material: Material, data: Path) -> Iterator[Job]:
    for seed in range(task.seeds):
        folds = Experiment(task.corpus, data, task.protocol, seed).folds(material)
        yield from (Job(fold, len(folds), seed) for fold in chosen(folds, task.folds))


def result_files(task: Task, job: Job, results: Path) -> dict[str, Path]:
    """File of a job's results, per stage whose network counts."""
    made = recipe(task.recipe)
    named = None if made.name == "paper" else made.name
    rows = {stage: row_file(task.corpus, task.protocol, stage, named) for stage in kept_stages(made)}
    name = f"seed-{job.seed}-fold-{job.fold.index}.json"
    return {stage: results / tested.FOLDER / row.removesuffix(".json") / name for stage, row in rows.items()}


def is_done(task: Task, job: Job, results: Path) -> bool:
    """Whether the results of a job are there: of the same recipe, on the same test samples."""
    keys = tuple(map(key_of, job.fold.test))
    for file in result_files(task, job, results).values():
        if not file.is_file():
            return False
        found = FoldResult.read(file)
        if found.predictions.keys != keys or found.recipe["stages"] != _plain(recipe(task.recipe))["stages"]:
            return False
    return True


def together(planned: Sequence[Planned], at_most: int) -> list[list[Planned]]:
    """What is not done yet, in groups that are trained at once: of one recipe and of as many labels."""
    made = []
    for name in dict.fromkeys(one.task.recipe for one in planned):
        todo = [one for one in planned if one.task.recipe == name and not one.done]
        batch = math.lcm(*(stage.batch for stage in recipe(name).stages))
        of_job = {id(one.job): one for one in todo}
        made += [[of_job[id(job)] for job in group] for group in groups([one.job for one in todo], at_most, batch)]
    return made


def run(
    group: Sequence[Planned],
    out: Path,
    results: Path,
    machine: Machine,
    on_ticks: Sequence[Callable[[Tick], None]],
) -> list[Path]:
    """Train, test and record a group of jobs; the rows that have grown."""
    made = recipe(group[0].task.recipe)
    runs = [
        Run(one.job.fold, one.job.labels, one.job.seed, _folder(one, out), on_tick)
        for one, on_tick in zip(group, on_ticks, strict=True)
    ]
    trained = train_many(made, runs, machine=machine, cache=dataset.cache_folder())
    grown = []
    for one, networks in zip(group, trained, strict=True):
        for stage in kept_stages(made):
            found = judged(one, made, stage, networks[stage], _folder(one, out), machine)
            write_text(_folder(one, out) / f"{stage}{tested.SUFFIX}", found.to_json())
            row = tested.row_of(tested.collected([found], results))
            write_json(results / found.row_name, row)
            grown.append(results / found.row_name)
    return list(dict.fromkeys(grown))


def judged(one: Planned, made: Recipe, stage: str, network: Network, folder: Path, machine: Machine) -> FoldResult:
    """What a trained network says about its test part, with the audit of the split and where it comes from."""
    job, device = one.job, machine.fabric().device
    about = Exam(job.fold, job.seed, stage, one.material.name)
    facts = RunFacts(
        macs=multiply_adds(network, network.config.image),
        parameters=parameters(network),
        train_seconds=round(sum(seconds_of(folder).values()), 1),
        device=provenance.device(machine.accelerator),
        versions=provenance.versions(),
        commit=provenance.commit(),
        command=provenance.command(),
        date=provenance.today(),
    )
    answers = about.by_network(network, job.labels, made.features, device)
    return FoldResult(answers, protocols.audit(job.fold), job.folds, _plain(made), one.material.audio, facts)


def _folder(one: Planned, out: Path) -> Path:
    return run_folder(out / one.task.out, one.job.seed, one.job.fold.index)


def _plain(made: Recipe) -> dict[str, object]:
    """A recipe as it comes back from JSON."""
    import json

    plain: dict[str, object] = json.loads(json.dumps(made.to_dict()))
    return plain
