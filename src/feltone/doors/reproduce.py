"""`feltone reproduce`: the plan, then the runs, then the rows that have grown."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feltone.doors import console
from feltone.doors.cli_figures import write_drawn
from feltone.doors.laboratory import headline
from feltone.errors import ConfigError
from feltone.lab import evidence_figures, reproduce
from feltone.lab.dataset import cache_folder
from feltone.lab.experiment import Material
from feltone.lab.models.cost import cost
from feltone.lab.pace import step_seconds
from feltone.lab.reproduce import Ahead, Planned
from feltone.lab.tasks import Task
from feltone.lab.training.machine import Machine, best_accelerator
from feltone.lab.training.stages import Stage
from feltone.lab.training.stopping import obeyed

DONE, IN_PART = 0, 3  # exit codes
A_DAY = 86400.0  # seconds; who asks for a longer row should know how to ask for less


@obeyed()
def reproduce_rows(
    wanted: Sequence[Task],
    data: Path,
    out: Path,
    results: Path,
    machine: Machine,
    *,
    only_plan: bool,
    minutes: float | None = None,
    ray: str | None = None,
) -> int:
    """Say what will be done, and unless `only_plan`, do it; the exit code.

    With `minutes`, no group of runs is begun that would not be through by then, judged by the steps measured for the
    plan and by how the groups before it kept to that. With the address of a Ray cluster, `ray`, its nodes train.

    Raises:
        ConfigError: nothing of what is wanted can be made of these corpora.
    """
    begun = time.monotonic()
    planned, impossible = reproduce.plan(wanted, data, results)
    if impossible and not planned:
        raise ConfigError(f"nothing of this is possible; {'; '.join(impossible)}")
    todo = [one for one in planned if not one.done]
    # The machine that plans may be another kind than those that train.
    seconds = paces(todo, machine if ray is None else replace(machine, accelerator=best_accelerator()))
    show(planned, reproduce.ahead(planned, machine, cache_folder()), seconds, out)
    for line in impossible:
        console.say(f"not possible: {line}")
    if only_plan or not todo:
        console.say("next: the same command without --plan" if todo else "nothing is left to do; next: make results")
        return DONE
    reproduce.refuse_mixing(todo, results)
    groups = reproduce.together(todo, machine.runs_at_once(len(todo)))
    if ray is not None:
        from feltone.doors import reproduce_cluster

        left = reproduce_cluster.run(groups, out, results, machine)
    else:
        expected = expectations(groups, seconds, machine, out)
        left = here(groups, expected, out, results, machine, None if minutes is None else begun + 60 * minutes)
    again = f"{left} runs are left, give the same command again; " if left else ""
    console.say(f"{again}rows in {results}; next: make results")
    return IN_PART if left else DONE


def here(
    groups: Sequence[Sequence[Planned]],
    expected: Sequence[float],
    out: Path,
    results: Path,
    machine: Machine,
    until: float | None,
) -> int:
    """Groups one after the other on this machine; the number of runs left over, since time would not have sufficed."""
    left, keeps_to = 0, 1.0  # the share of the plan's time that groups really take
    for number, (group, seconds) in enumerate(zip(groups, expected, strict=True), start=1):
        now = time.monotonic()
        if until is not None and now + keeps_to * seconds > until:
            left += len(group)
            console.say(f"left for another time, about {console.duration(keeps_to * seconds)}: {named(group)}")
            continue
        with console.TrainingProgress(f"group {number} of {len(groups)}: {named(group)}") as show_first:
            on_ticks: list[Callable[[Any], None]] = [show_first, *[lambda tick: None] * (len(group) - 1)]
            reproduce.run(group, out, results, machine, on_ticks)
        tell(reproduce.write_rows(group, results))
        if seconds:  # none is left of a run that only was not tested yet
            keeps_to = (time.monotonic() - now) / seconds
    return left


def tell(rows: Sequence[Path]) -> None:
    """Headlines of rows, with their warnings."""
    for file in rows:
        values = json.loads(file.read_text(encoding="utf-8"))
        console.out.print(headline(values), markup=False)
        if values["warning"]:
            console.out.print(f"  warning: {values['warning']}", markup=False)


def draw_attention(wanted: Sequence[Task], data: Path, out: Path) -> None:
    """Masks of a clip and of its perturbed versions by both patch shapes, and how well they agree over a corpus."""
    pairs: dict[tuple[str, str], list[Path]] = {}
    for task in wanted:
        pairs.setdefault((task.corpus, task.protocol), []).append(reproduce.trained_folder(task, out))
    for (corpus, protocol), folders in pairs.items():
        absent = [folder for folder in folders if not (folder / "teacher.safetensors").is_file()]
        if absent or len(folders) < 2:
            console.say(f"not drawn: attention on {corpus} needs {absent[0] if absent else 'both patch shapes'}")
            continue
        drawn = evidence_figures.draw_attention(folders, Material.read(corpus, data).clips, cache_folder())
        picture = out / f"attention-{corpus}-{protocol}.png"
        write_drawn(drawn, picture, picture.with_suffix(".json"))


def expectations(
    groups: Sequence[Sequence[Planned]], seconds: Mapping[str, float], machine: Machine, out: Path
) -> list[float]:
    """Seconds of what is left of every group, the first that needs it with what comes before."""
    known: dict[Path, Ahead] = {}
    found = []
    for group in groups:
        first = reproduce.ahead(group, machine, cache_folder())
        new = [one for place, one in first.items() if place not in known]
        known |= first
        steps = [one.steps_left(out) for one in group] + [one.steps for one in new]
        found.append(sum(time_of(one, seconds) for one in steps))
    return found


def show(planned: Sequence[Planned], first: Mapping[Path, Ahead], seconds: Mapping[str, float], out: Path) -> None:
    """The plan as a table: per task what is done, what is left, and about how long that takes one run at a time."""
    lines, whole, long = [], 0.0, list[str]()
    for made, corpora in dict.fromkeys((one.made.name, one.corpora) for one in first.values()):
        times = [
            time_of(one.steps, seconds) for one in first.values() if (one.made.name, one.corpora) == (made, corpora)
        ]
        whole += sum(times)
        lines.append([made, "+".join(corpora), "beforehand", str(len(times)), "0", console.duration(sum(times))])
    for task in dict.fromkeys(one.task for one in planned):
        jobs = [one for one in planned if one.task == task]
        left = [one for one in jobs if not one.done]
        needed = sum(time_of(one.steps_left(out), seconds) for one in left)
        whole += needed
        cells = [task.recipe, task.corpus, task.protocol, str(len(jobs)), str(len(jobs) - len(left))]
        lines.append([*cells, console.duration(needed) if left else "-"])
        long += [task.recipe] if needed > A_DAY else []
    console.table(["recipe", "corpus", "protocol", "runs", "done", "left, about"], lines, numeric=(3, 4, 5))
    if whole:
        console.say(
            f"about {console.duration(whole)} in all, from a step of each network measured just now, uncompiled; "
            "far too much if the machine was busy with something else"
        )
    if long:
        console.say(f"more than a day: {', '.join(dict.fromkeys(long))}; --recipe, --protocol and --fold ask for less")
        console.say("--minutes N begins nothing that would take longer, and the same command continues another day")


def time_of(steps: Mapping[str, int], seconds: Mapping[str, float]) -> float:
    """Seconds of so many steps of every network, at these seconds per step."""
    return sum(number * seconds[learner] for learner, number in steps.items())


def paces(todo: Sequence[Planned], machine: Machine) -> dict[str, float]:
    """Seconds of a step of every network that has to learn, by variant."""
    stages: dict[str, Stage] = {}
    for made in {one.task.recipe: one.made for one in todo}.values():
        for part in (made.before, made):
            stages |= {stage.learner: stage for stage in part.stages} if part else {}
    found = {}
    with console.progress("measuring a step of each network", len(stages)) as advance:
        for learner, stage in stages.items():
            found[learner] = step_seconds(stage, machine, cost(learner).macs)
            advance()
    return found


def named(group: Sequence[Planned]) -> str:
    """A group in a few words."""
    first = group[0]
    one = f"{first.task.recipe} {first.task.corpus} {first.task.protocol} fold {first.job.fold.index}"
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return f"{one} seed {first.job.seed}{more}"
