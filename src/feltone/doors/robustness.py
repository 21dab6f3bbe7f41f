"""`feltone robustness`: a model, or the runs of one, under every condition; scores, a table and a figure."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feltone.artifact import load as load_artifact
from feltone.doors import console
from feltone.errors import ConfigError
from feltone.files import write_atomically, write_json
from feltone.lab import experiment, figure_robustness, robustness, tables, tested, trained
from feltone.lab.experiment import Experiment, Material
from feltone.lab.robustness import Subject
from feltone.lab.training.schedule import Job

Asked = tuple[Subject, Job]


def measure(
    name: str,
    wanted: Experiment,
    only: Sequence[int],
    out: Path,
    results: Path | None,
    *,
    stage: str | None,
    as_json: bool,
) -> None:
    """Ask a model about test parts under every condition, and write what was found.

    Args:
        name: an artefact, as `feltone.load` takes it; a run; or the run of one fold.
        wanted: corpus and protocol.
        only: numbers of folds; all, where there is none.
        out: folder of `robustness.json` and `robustness.png`.
        results: folder of results that the numbers are also written into.
        stage: of a run; None for its last one.
        as_json: print the numbers.
    """
    material = wanted.material()
    asked = _asked(name, wanted, material, only, stage)
    with console.progress("hearing every clip under every condition", _clips(asked)) as advance:
        done = [
            robustness.judged(subject, material.name, job.fold, job.folds, seed=job.seed, on_clip=advance)
            for subject, job in asked
        ]
    found = robustness.document(done)
    write_json(out / "robustness.json", found)
    drawn = figure_robustness.draw(found)
    write_atomically(out / "robustness.png", lambda handle: handle.write(drawn))
    if results:
        row = tested.row_name(found["corpus"], found["protocol"], found["model"], found["recipe"])
        write_json(results / row, found)
    if as_json:
        console.document(found)
    else:
        _show(found)
    console.say(f"figure: {out / 'robustness.png'}; its numbers: {out / 'robustness.json'}")


def _clips(asked: Sequence[Asked]) -> int:
    return sum(len(job.fold.test) for _, job in asked)


def _asked(name: str, wanted: Experiment, material: Material, only: Sequence[int], stage: str | None) -> list[Asked]:
    """Who is asked about which folds."""
    folder = Path(name)
    runs = [at.parent for below in ("", "seed-*/fold-*/") for at in sorted(folder.glob(f"{below}{trained.SETTINGS}"))]
    if runs:
        of_runs = [_of_run(run, wanted, material, stage) for run in runs]
        kept = [one for one in of_runs if not only or one[1].fold.index in only]
        if not kept:
            raise ConfigError(f"{name}: holds no run of fold {', '.join(map(str, only))}; train it, or name another")
        return kept
    if stage:
        raise ConfigError(f"--stage {stage}: {name} is not a run, whose stages it could name; leave it out")
    subject = Subject.of_artifact(load_artifact(name))
    return [(subject, job) for job in experiment.jobs(wanted, material, only, seeds=1)]


def _of_run(folder: Path, wanted: Experiment, material: Material, stage: str | None) -> Asked:
    """The network of the run of one fold, and that fold."""
    found = trained.read(folder, stage or trained.last_stage(folder), of_patches=False)
    if found.protocol != wanted.protocol:
        raise ConfigError(f"{folder}: is of protocol {found.protocol}, not {wanted.protocol}; name that one")
    (job,) = experiment.jobs(replace(wanted, seed=found.seed), material, [found.fold], seeds=1)
    return Subject.of_run(found, folder), job


def _show(found: dict[str, Any]) -> None:
    head = ["condition", "", "WA %", "UAR %", "WA, difference", "p"]
    rows = [
        [
            condition["group"] or condition["name"],
            condition["setting"],
            *(tables.spread({"mean": condition[name]["pooled"], **condition[name]}) for name in ("wa", "uar")),
            f"{100 * condition['wa']['difference']:+.1f}",
            "; ".join(f"{test['p']:.2g}" for test in condition["mcnemar"]),
        ]
        for condition in found["conditions"]
    ]
    console.table(head, rows, numeric=(2, 3, 4, 5))
