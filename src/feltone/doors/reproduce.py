"""`feltone reproduce`: the plan, then the runs, then the rows that have grown."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from feltone.doors import console
from feltone.doors.cli_figures import write_drawn
from feltone.doors.laboratory import headline
from feltone.lab import evidence_figures, reproduce
from feltone.lab.dataset import cache_folder
from feltone.lab.experiment import Material
from feltone.lab.models.cost import cost
from feltone.lab.pace import step_seconds
from feltone.lab.recipes import recipe
from feltone.lab.reproduce import Planned, Task
from feltone.lab.training.run import Machine
from feltone.lab.training.stages import Stage


def reproduce_rows(
    wanted: Sequence[Task], data: Path, out: Path, results: Path, machine: Machine, *, only_plan: bool
) -> None:
    """Say what will be done, and unless `only_plan`, do it."""
    planned, impossible = reproduce.plan(wanted, data, results)
    show(planned, machine)
    for line in impossible:
        console.say(f"not possible: {line}")
    todo = [one for one in planned if not one.done]
    if only_plan or not todo:
        console.say("next: the same command without --plan" if todo else "nothing is left to do; next: make results")
        return
    groups = reproduce.together(todo, machine.runs_at_once(len(todo)))
    for number, group in enumerate(groups, start=1):
        title = f"group {number} of {len(groups)}: {named(group)}"
        with console.TrainingProgress(title) as show_first:
            on_ticks: list[Callable[[Any], None]] = [show_first, *[lambda tick: None] * (len(group) - 1)]
            grown = reproduce.run(group, out, results, machine, on_ticks)
        for file in grown:
            values = json.loads(file.read_text(encoding="utf-8"))
            console.out.print(headline(values), markup=False)
            if values["warning"]:
                console.out.print(f"  warning: {values['warning']}", markup=False)
    console.say(f"rows in {results}; next: make results")


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


def show(planned: Sequence[Planned], machine: Machine) -> None:
    """The plan as a table: per task what is done, what is left, and about how long that takes one run at a time."""
    seconds = paces([one for one in planned if not one.done], machine)
    lines, whole = [], 0.0
    for task in dict.fromkeys(one.task for one in planned):
        jobs = [one for one in planned if one.task == task]
        left = [one for one in jobs if not one.done]
        needed = sum(steps * seconds[learner] for one in left for learner, steps in one.steps.items())
        whole += needed
        cells = [task.recipe, task.corpus, task.protocol, str(len(jobs)), str(len(jobs) - len(left))]
        lines.append([*cells, duration(needed) if left else "-"])
    console.table(["recipe", "corpus", "protocol", "runs", "done", "left, about"], lines, numeric=(3, 4, 5))
    if whole:
        console.say(f"about {duration(whole)} in all, from a step of each network measured here, uncompiled and alone")


def paces(todo: Sequence[Planned], machine: Machine) -> dict[str, float]:
    """Seconds of a step of every network that has to learn, by variant."""
    stages: dict[str, Stage] = {}
    for one in todo:
        stages |= {stage.learner: stage for stage in recipe(one.task.recipe).stages}
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


def duration(seconds: float) -> str:
    """A time that a person can plan with.

    >>> duration(40), duration(3000), duration(80_000), duration(800_000)
    ('1 min', '50 min', '22.2 h', '9.3 days')
    """
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
