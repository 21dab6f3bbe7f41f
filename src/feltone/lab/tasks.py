"""What there is to reproduce: which recipes on which corpora under which protocols, those first that say most.

How it is done is in `reproduce.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from feltone.errors import ConfigError
from feltone.lab.corpora import whole
from feltone.lab.recipes import ABLATIONS

PROTOCOLS = ("paper", "clean", "emobox", "speaker", "sentence")
CORPORA = ("emodb", "savee", "ravdess", "crema-d")
MOST_SEEDS = {"paper": 3, "clean": 3}  # of a protocol of one fold; the others have their folds to speak from

BEYOND = (
    "honest-after-crema-d",
    "honest-large",
    "everyday-after-crema-d",
    "everyday-large",
    "honest-student-after-crema-d",
    "honest-student-large",
    "honest",
)
"""Recipes for honest protocols; those of `LARGE` corpora have `large` in their names."""

ABLATED = tuple(f"honest-{name}-after-crema-d" for name in ABLATIONS)
"""What is left out of the first of them, one by one."""

TAUGHT = ("honest-student", "honest-student-unmatched", "honest-student-untaught")
"""A student of the paper's kind: taught as the paper does, by its teacher's answers alone, and by nobody."""

OF_PARTS = frozenset((*ABLATED, *TAUGHT))
"""Recipes that say what a part of another is worth: they have tables of their own."""

LARGE = ("crema-d",)

TABLES = {
    "table1": ("paper", "nope"),
    "table2": ("paper-12", "ast"),
    "table3": ("paper", "septr"),
    "attention": ("paper", "paper-16x16"),
    "honest": BEYOND,
    "ablation": ("honest-after-crema-d", "honest", *ABLATED, *TAUGHT),
}
"""Published table, the figure of attention, or what goes beyond them -> the recipes of its rows (SPEC §5)."""

ORDER = ("paper", *BEYOND, *ABLATED, *TAUGHT, "nope", "paper-12", "paper-16x16", "ast", "septr")
"""All recipes, those first that say most for their cost."""


MEASURED_UNDER = dict.fromkeys(BEYOND, ("clean", "emobox", "speaker")) | dict.fromkeys(OF_PARTS, ("emobox",))
"""Protocols of recipes that are not for all of them."""


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

    @property
    def command(self) -> str:
        """The command that makes its row, and no other."""
        what = f"--recipe {self.recipe} --corpus {self.corpus} --protocol {self.protocol} --seeds {self.seeds}"
        return f"feltone reproduce all {what}"


def tasks(
    what: str,
    corpora: Sequence[str] = CORPORA,
    wanted: Sequence[str] = PROTOCOLS,
    only: Sequence[str] = (),
    seeds: int | None = None,
    folds: Sequence[int] = (),
) -> list[Task]:
    """What a table asks for (or `all`), cheap and telling rows first.

    Args:
        what: a table, or `all`.
        corpora: on which corpora, several joined by `+`.
        wanted: under which protocols.
        only: of which recipes; without one, of all that the table has.
        seeds: of every row; None for what its protocol deserves.
        folds: only these folds; without one, all.

    Raises:
        ConfigError: an unknown table, protocol or recipe.
    """
    if what != "all" and what not in TABLES:
        raise ConfigError(f"'{what}' is not known; known: {', '.join((*TABLES, 'all'))}")
    unknown = set(wanted) - set(PROTOCOLS)
    if unknown:
        raise ConfigError(f"protocol '{min(unknown)}' cannot be reproduced; known: {', '.join(PROTOCOLS)}")
    recipes = [name for name in ORDER if what == "all" or name in TABLES[what]]
    if absent := set(only) - set(recipes):
        raise ConfigError(f"recipe '{min(absent)}' is not part of {what}; its recipes: {', '.join(recipes)}")
    found = [
        Task(name, corpus, protocol, seeds or MOST_SEEDS.get(protocol, 1), tuple(folds))
        for name in recipes
        if not only or name in only
        for protocol in wanted
        if protocol in MEASURED_UNDER.get(name, PROTOCOLS)
        for corpus in corpora
        if suits(name, corpus)
    ]
    # CREMA-D is worth fourteen of the others, and SepTr a thousand of everything.
    return sorted(found, key=lambda task: (task.recipe == "septr", "crema-d" in task.corpus))


def suits(name: str, corpus: str) -> bool:
    """Whether a recipe is for a corpus: thousands of clips have one of their own, and nothing learns from itself."""
    large = any(whole(one) in LARGE for one in corpus.split("+"))
    return name not in {*BEYOND, *OF_PARTS} or ("large" in name) == large
