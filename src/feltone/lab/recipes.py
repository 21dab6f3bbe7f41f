"""One function per way of training; its docstring says the command, the cost and what to expect."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from feltone.errors import ConfigError
from feltone.features import FeatureConfig
from feltone.lab.training.stages import Stage, three_stages


@dataclass(frozen=True)
class Recipe:
    """Everything about a training but the data and the seed."""

    name: str
    stages: tuple[Stage, ...]
    features: FeatureConfig = FeatureConfig()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


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


def brief() -> Recipe:
    """`paper` with a fifth of its epochs (10 + 10 + 10, halved every 2): a first look at a corpus.

    Command: `feltone train brief --corpus emodb --data ROOT --protocol clean --out RUN`.
    Cost: about twenty minutes of one core per EmoDB fold.
    """
    return Recipe("brief", three_stages("teacher", "student", epochs=10, halve_every=2))


def smoke() -> Recipe:
    """One epoch per stage, on anything: does it run at all?

    Command: `feltone train smoke --corpus manifest --data my.csv --protocol clean --out RUN`.
    Cost: a few minutes. Expect a rough score; it shows that everything runs.
    """
    return Recipe("smoke", three_stages("student", "student", epochs=1, halve_every=1))


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "paper": paper,
    "paper-12": paper_12,
    "brief": brief,
    "smoke": smoke,
}


def recipe(name: str) -> Recipe:
    """The recipe of that name; raises `ConfigError` listing the known ones."""
    if name not in RECIPES:
        raise ConfigError(f"recipe '{name}' is not known; known: {', '.join(RECIPES)}")
    return RECIPES[name]()
