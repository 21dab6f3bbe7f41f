"""`feltone train`: recipes, folds and seeds as a user asks for them; what is shown meanwhile."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from feltone.artifact import load as load_artifact
from feltone.doors import console
from feltone.doors.laboratory import evaluate_run
from feltone.errors import ConfigError, TrainingError
from feltone.lab import calibration, dataset, experiment, joining, outside, recipes
from feltone.lab.begun import begun_from
from feltone.lab.experiment import Experiment, Material
from feltone.lab.recipes import Recipe
from feltone.lab.training.machine import Machine
from feltone.lab.training.schedule import Job
from feltone.lab.training.stopping import follow, obeyed


def recipe_named(
    name: str,
    teacher: str | None,
    layer: int | None,
    before: Sequence[str],
    model: str | None,
    machine: Machine,
) -> Recipe:
    """A recipe as a user asks for it: taught by itself or from outside; alone, after other corpora, or from a model."""
    recipe = recipes.recipe(name)
    if before and model:
        raise ConfigError(f"--from {model} and --after {before[0]}: training begins from one of them; leave one out")
    if before:
        recipe = recipes.after(recipe, before)
    if model:
        recipe = begun_from(recipe, load_artifact(model))
    if teacher:
        return outside.taught_by(recipe, outside.teacher_named(teacher, layer, machine.accelerator))
    if layer is not None:
        raise ConfigError(f"--teacher-layer {layer}: of which teacher? name it with --teacher hf:NAME")
    return recipe


@obeyed()
def train_folds(
    recipe: Recipe,
    wanted: Experiment,
    out: Path,
    only: Sequence[int] | None,
    seeds: int,
    machine: Machine,
    tensorboard: Path | None,
    calibrate: Path | None = None,
    join: bool = False,
) -> None:
    """Train, export and test every fold (or some) with every seed, and their networks joined; score what is done.

    A process that helps another one with its batches goes through the same groups, and says and writes nothing.
    """
    helping = follow()
    material = wanted.material()
    jobs = experiment.jobs(wanted, material, only, seeds)
    if join and seeds < 2:
        raise ConfigError("--join makes one model of several seeds; ask for some, with --seeds 3")
    if helping:
        with suppress(TrainingError):  # which the one that leads tells of
            for group in experiment.in_groups(jobs, recipe, out, 1):
                experiment.train_jobs(recipe, material, group, out, machine=machine, on_ticks=[lambda tick: None])
        return
    sure = calibration.read(calibrate) if calibrate else None
    say_beforehand(recipe, jobs[0], machine)
    if recipe.outside:
        _let_hear(recipe, [job for job in jobs if not experiment.is_trained(job, recipe, out)])
    for group in experiment.in_groups(jobs, recipe, out, machine.runs_at_once(seeds)):
        with ExitStack() as stack:
            shows = [_progress_of(job, material, tensorboard) for job in group]
            stack.enter_context(shows[0])  # one bar for all, which advance together
            for show in shows[1:]:
                stack.push(show)
            done = experiment.train_jobs(
                recipe, material, group, out, machine=machine, on_ticks=shows, calibration=sure
            )
        for job, artifacts in zip(group, done, strict=True):
            if job.fold.test:
                experiment.judge_fold(artifacts, material, job.fold, job.folds, seed=job.seed)
            model = list(artifacts.values())[-1].folder
            console.say(f"model: {model}")
    for fold in {job.fold.index: job.fold for job in jobs}.values() if join else ():
        of_fold = [job for job in jobs if job.fold.index == fold.index]
        artifacts = joining.exported(recipe, material, of_fold, out, machine.accelerator, sure)
        if fold.test:
            experiment.judge_fold(artifacts, material, fold, of_fold[0].folds, seed=of_fold[0].seed)
        model = list(artifacts.values())[-1].folder
        console.say(f"model of {len(of_fold)} seeds: {model}")
    if jobs[0].fold.test:
        evaluate_run(out, None, None, as_json=False)
    console.say(f"next: feltone predict RECORDING --model {model}")


def _let_hear(recipe: Recipe, jobs: Sequence[Job]) -> None:
    """Let a teacher from outside hear every training clip, which may take longer than training; kept for all folds."""
    assert recipe.outside
    with console.progress(
        f"{recipe.outside.weights} listens", sum(len({sample.clip for sample in job.fold.train}) for job in jobs)
    ) as advance:
        for job in jobs:
            of = job.fold.train, recipe.outside, recipe.features, job.seed, dataset.cache_folder()
            outside.features_of(*of, lambda done, total: advance())


def say_beforehand(recipe: Recipe, first: Job, machine: Machine) -> None:
    """What is to be known before training begins."""
    if first.fold.warning:
        console.say(f"warning: {first.fold.warning}")
    if recipe.before:
        kept = f"learnt once by {recipe.before.name} and kept below {dataset.cache_folder() / 'before'}"
        console.say(f"{' and '.join(recipe.corpora_before)} come first: {kept}")
    if recipe.begun:
        heard = f"{len(recipe.heard):,} clips of {' and '.join(recipe.begun.settings['corpora'])}"
        console.say(f"training begins from {recipe.begun.model.name}, which has heard {heard}")
    if machine.devices > 1:
        told = {stage.batch: machine.share_of(stage.batch) for stage in recipe.stages}
        shares = ", ".join(f"batches of {batch} as {machine.devices} x {share}" for batch, share in told.items())
        console.say(f"{machine.devices} processes share {shares}: as many steps, and the same, as one process makes")


def _progress_of(job: Job, material: Material, tensorboard: Path | None) -> console.TrainingProgress:
    title = f"{material.name} {job.fold.protocol} fold {job.fold.index}/{job.folds} seed {job.seed}"
    log = tensorboard / f"seed-{job.seed}-fold-{job.fold.index}" if tensorboard else None
    return console.TrainingProgress(title, log)
