"""One function per way of training; its docstring says the command, the cost and what to expect."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feltone.errors import ConfigError
from feltone.features import FeatureConfig
from feltone.files import in_a_name
from feltone.lab.baselines import Hearing
from feltone.lab.begun import Begun
from feltone.lab.corpora import CORPORA, Clip
from feltone.lab.training.stages import BEFORE, Stage, alone, in_large, residual, taught, three_stages, under
from feltone.lab.training.surroundings import EVERYDAY


@dataclass(frozen=True)
class Recipe:
    """Everything about a training but the data and the seed."""

    name: str
    stages: tuple[Stage, ...]
    features: FeatureConfig = FeatureConfig()
    outside: Hearing | None = None  # the teacher that stages call `OUTSIDE` (`outside.py`)
    before: "Recipe | None" = None  # by which other corpora are learnt first, whatever the fold
    corpora_before: tuple[str, ...] = ()  # and which corpora those are
    begun: Begun | None = None  # in their place, a finished model

    @property
    def heard(self) -> tuple[Clip, ...]:
        """Clips that the model had heard which training begins from."""
        return self.begun.heard if self.begun else ()

    @property
    def stacked_batch(self) -> int:
        """What the samples of several runs divide by, to be learnt in one step; 1 where networks only take turns."""
        return math.lcm(*(stage.batch for stage in self.stages if stage.stacks))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        stages = [stage.to_dict() for stage in self.stages]
        told: dict[str, Any] = {"name": self.name, "stages": stages, "features": self.features.to_dict()}
        told |= {"outside": self.outside.settings} if self.outside else {}
        told |= {"begun": self.begun.settings} if self.begun else {}
        return told | (
            {"before": self.before.to_dict() | {"corpora": list(self.corpora_before)}} if self.before else {}
        )


def paper() -> Recipe:
    """Table 3: teacher 6/5 with stem and ICE, then its student; 50 + 50 + 50 epochs at batch 4.

    Command: `feltone train paper --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: an hour and forty minutes of one core (bf16, AMX) per EmoDB fold.
    Published: teacher 99.06, student 99.76 % WA on EmoDB.
    """
    return Recipe("paper", three_stages("teacher", "student"))


def paper_12() -> Recipe:
    """Table 2: teacher 12/12, then its student.

    Command: `feltone train paper-12 --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: about twice `paper`. Published: teacher 96.96, student 98.83 % WA on EmoDB.
    """
    return Recipe("paper-12", three_stages("teacher-12", "student"))


def paper_16x16() -> Recipe:
    """`paper` with square patches of 16x16, the other side of the paper's attention figure.

    Command: `feltone train paper-16x16 --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: about three quarters of `paper`. Published: no accuracy, only that its attention is less steady.
    """
    return Recipe("paper-16x16", three_stages("teacher-16x16", "student-16x16"))


def nope() -> Recipe:
    """Table 1: the teacher 6/5 without positions; the one with ICE is the first stage of `paper`.

    Command: `feltone train nope --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: two thirds of `paper`. Published: 98.83 % WA on EmoDB, with ICE 99.06.
    """
    return Recipe("nope", (alone("teacher-nope"),))


def ast() -> Recipe:
    """Table 2: AST with patches side by side, from random weights, on the schedule of the paper's teacher.

    Command: `feltone train ast --corpus emodb --data ROOT --protocol paper --out RUN`; to begin from a checkpoint on
    the Hugging Face hub or in a folder, `feltone train ast:MIT/ast-finetuned-audioset-10-10-0.4593 ...`.
    Cost: four times the multiply-adds of `paper`'s teacher; wants a GPU.
    Published, from ImageNet weights: 96.02 % WA on EmoDB.
    """
    return Recipe("ast", (alone("ast"),))


def septr() -> Recipe:
    """Table 3: SepTr, on the schedule of the paper's teacher.

    Command: `feltone train septr --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: 125 times the multiply-adds of `paper`'s teacher; wants a GPU. Published: 92.75 % WA on EmoDB.
    """
    return Recipe("septr", (alone("septr"),))


def brief() -> Recipe:
    """`paper` with a fifth of its epochs (10 + 10 + 10, halved every 2): a first look at a corpus.

    Command: `feltone train brief --corpus emodb --data ROOT --protocol clean --out RUN`.
    Cost: about twenty minutes of one core per EmoDB fold.
    """
    return Recipe("brief", three_stages("teacher", "student", epochs=10, halve_every=2))


def honest() -> Recipe:
    """For honest protocols and your own recordings: a residual network, images warped and masked as it learns.

    Command: `feltone train honest --corpus emodb --data ROOT --protocol speaker --after crema-d --out RUN`; without
    `--after` from random weights, which costs accuracy where clips are few.
    Cost: one to five minutes of a core per fold of a small corpus (Zen 4), and a quarter of an hour for CREMA-D before
    the first.
    """
    return Recipe("honest", (residual("residual"),))


def honest_large() -> Recipe:
    """`honest` for thousands of clips, which want fewer epochs; it learns what comes first with `--after`.

    Command: `feltone train honest-large --corpus crema-d --data ROOT --protocol emobox --out RUN`.
    Cost: a quarter of an hour of a core for CREMA-D (Zen 4).
    """
    return Recipe("honest-large", (in_large(residual("residual")),))


def everyday() -> Recipe:
    """`honest` where speech is really heard: in rooms, under noise, among others who talk, or a stretch of it alone.

    Command: `feltone train everyday --corpus emodb --data ROOT --protocol speaker --after crema-d --out RUN`.
    Cost: a tenth more than `honest`, and half an hour of a core for CREMA-D before the first (Zen 4).
    """
    return Recipe("everyday", (under(residual("residual"), surroundings=EVERYDAY),))


def everyday_large() -> Recipe:
    """`everyday` for thousands of clips, and for longer than `honest-large`; it learns what comes first.

    Command: `feltone train everyday-large --corpus crema-d --data ROOT --protocol emobox --out RUN`.
    Cost: half an hour of a core for CREMA-D (Zen 4).
    """
    (stage,) = everyday().stages
    return Recipe("everyday-large", (replace(in_large(stage), epochs=15),))


def honest_student() -> Recipe:
    """The paper's method with the network of `honest` for a teacher, whose answers are learnt, too.

    Command: `feltone train honest-student --corpus emodb --data ROOT --protocol speaker --after crema-d --out RUN`.
    Cost: about four times `honest`. Expect less of it than of `honest` (docs/honest.md).
    """
    return Recipe("honest-student", taught())


def honest_student_large() -> Recipe:
    """`honest-student` for thousands of clips.

    Command: `feltone train honest-student-large --corpus crema-d --data ROOT --protocol emobox --out RUN`.
    Cost: about four times `honest-large`, likewise.
    """
    return Recipe("honest-student-large", tuple(map(in_large, taught())))


def honest_student_unmatched() -> Recipe:
    """`honest-student` without what the paper is about: its teacher's answers are learnt, no feature is matched.

    Command: `feltone train honest-student-unmatched --corpus emodb --data ROOT --protocol emobox --out RUN`.
    Cost: that of `honest-student`, whose student takes as many steps.
    """
    teacher, matching, student = taught()
    losses = {name: weight for name, weight in student.losses.items() if name != "feature_l1"}
    alone = replace(student, losses=losses, start=None, epochs=matching.epochs + student.epochs)
    return Recipe("honest-student-unmatched", (teacher, alone))


def honest_student_untaught() -> Recipe:
    """`honest-student` without a teacher: the same network learns from the labels alone, in as many steps.

    Command: `feltone train honest-student-untaught --corpus emodb --data ROOT --protocol emobox --out RUN`.
    Cost: about three quarters of `honest-student`.
    """
    _, student = honest_student_unmatched().stages
    return Recipe("honest-student-untaught", (replace(student, teacher=None, losses={"smoothed_cross_entropy": 1.0}),))


ABLATIONS: Mapping[str, Callable[[Stage], Stage]] = {
    "no-masks": lambda stage: under(stage, column_masks=0, band_masks=0),
    "no-warps": lambda stage: under(stage, stretch=0.0, pitch=0.0),
    "no-decay": lambda stage: under(stage, decay=0.0),
    "no-smoothing": lambda stage: replace(stage, losses={"cross_entropy": 1.0}),
    "mixing": lambda stage: under(stage, mixing=0.2),
    "no-telephones": lambda stage: under(stage, narrow=0.0),
}
"""What is left out of `honest`, or put into it, to see what it is worth -> how; `honest-NAME` is trained so."""


def ablation(name: str) -> Callable[[], Recipe]:
    """The recipe `honest-NAME`: `honest` with that one thing changed; beforehand it learns as `honest` does."""

    def made() -> Recipe:
        whole = honest()
        return replace(whole, name=f"{whole.name}-{name}", stages=tuple(map(ABLATIONS[name], whole.stages)))

    made.__doc__ = f"""`honest`, for the table of what its ingredients are worth: {name}.

    Command: `feltone train honest-{name} --corpus emodb --data ROOT --protocol emobox --after crema-d --out RUN`; all
    of them: `feltone reproduce ablation`.
    Cost: that of `honest`.
    """
    return made


def smoke() -> Recipe:
    """One epoch per stage, on anything: does it run at all?

    Command: `feltone train smoke --corpus manifest --data my.csv --protocol clean --out RUN`.
    Cost: a few minutes. Expect a rough score; it shows that everything runs.
    """
    return Recipe("smoke", three_stages("student", "student", epochs=1, halve_every=1))


LEARNS_FIRST: Mapping[str, str] = {
    "honest": "honest-large",
    "everyday": "everyday-large",
    "honest-student": "honest-student-large",
    **{f"honest-{name}": "honest-large" for name in ABLATIONS},
}
"""Recipe -> what other corpora are learnt by before it."""

AFTER = "-after-"  # in the name of a recipe, before the corpora that are learnt from first, joined by `+`


def after(made: Recipe, corpora: Sequence[str]) -> Recipe:
    """A recipe whose networks learn from other corpora first, by what `LEARNS_FIRST` names.

    Raises:
        ConfigError: a corpus that is not known, or a recipe that cannot.
    """
    if unknown := sorted(set(corpora) - set(CORPORA)):
        raise ConfigError(f"corpus '{unknown[0]}' is not known; known: {', '.join(CORPORA)}")
    if made.name not in LEARNS_FIRST:
        can = ", ".join(LEARNS_FIRST)
        raise ConfigError(f"recipe '{made.name}' does not learn from other corpora first; recipes that do: {can}")
    first, learnt = RECIPES[LEARNS_FIRST[made.name]](), tuple(dict.fromkeys(corpora))
    known = {stage.learner: f"{BEFORE}{stage.name}" for stage in first.stages}  # the last stage that trains it
    stages = tuple(replace(stage, start=stage.start or known[stage.learner]) for stage in made.stages)
    name = f"{made.name}{AFTER}{'+'.join(learnt)}"
    return replace(made, name=name, stages=stages, before=first, corpora_before=learnt)


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "paper": paper,
    "paper-12": paper_12,
    "paper-16x16": paper_16x16,
    "nope": nope,
    "ast": ast,
    "septr": septr,
    "brief": brief,
    "honest": honest,
    "honest-large": honest_large,
    "everyday": everyday,
    "everyday-large": everyday_large,
    "honest-student": honest_student,
    "honest-student-large": honest_student_large,
    "honest-student-unmatched": honest_student_unmatched,
    "honest-student-untaught": honest_student_untaught,
    "smoke": smoke,
    **{f"honest-{name}": ablation(name) for name in ABLATIONS},
}


def recipe(name: str) -> Recipe:
    """The recipe of that name, of `NAME-after-CORPUS`, or of `NAME:WEIGHTS`, which begins from a checkpoint.

    Raises:
        ConfigError: there is no such recipe, or its networks know no checkpoints; the message lists what there is.
    """
    alone, learns_first, corpora = name.partition(AFTER)
    if learns_first:
        return after(recipe(alone), corpora.split("+"))
    base, _, weights = name.partition(":")
    if base not in RECIPES:
        raise ConfigError(f"recipe '{base}' is not known; known: {', '.join(RECIPES)}")
    found = RECIPES[base]()
    if not weights:
        return found
    stages = tuple(replace(stage, learner=f"{stage.learner}:{weights}") for stage in found.stages)
    return replace(found, name=f"{base}-{in_a_name(Path(weights).name)}", stages=stages)
