"""The questions that pairs of models answer, as a table; the answers are computed from the tested folds.

    tested folds --WANTED--> pairs of models --paired.compare--> comparisons, and what of them was not run
                 ----------> `paper` minus `clean` of every model, the leak

Predictions are kept below `results/accuracy/folds/`, so all of it can be made anew at any time.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from feltone.lab import paired
from feltone.lab.paired import common, compare
from feltone.lab.tested import FoldResult, Kept


class Side(NamedTuple):
    """A model as rows name it."""

    model: str  # the name of the stage that trained it
    recipe: str | None  # None: whatever recipe there is a row of


class Wanted(NamedTuple):
    """A question that two models on the same clips answer."""

    question: str
    first: Side
    second: Side
    claim: str = ""  # what the paper holds: that the first is the better one; empty where the question is ours


STUDENT, TEACHER = Side("student", "paper"), Side("teacher", "paper")
HONEST, HONEST_LARGE = Side("residual", "honest-after-crema-d"), Side("residual", "honest-large")
EVERYDAY, EVERYDAY_LARGE = Side("residual", "everyday-after-crema-d"), Side("residual", "everyday-large")
THREE, THREE_LARGE = (Side("residual-x3", side.recipe) for side in (HONEST, HONEST_LARGE))
THREE_EVERYDAY, THREE_EVERYDAY_LARGE = (Side("residual-x3", side.recipe) for side in (EVERYDAY, EVERYDAY_LARGE))
AST, SEPTR, SVM = (Side(model, None) for model in ("ast", "septr", "compare-svm"))
TEACHER_12, STUDENT_12 = Side("teacher", "paper-12"), Side("student", "paper-12")
TAUGHT = Side("student", "honest-student")
EVERYDAY_JOINT, HONEST_JOINT = (Side("residual-emodb-crema-d", recipe) for recipe in ("everyday-large", "honest-large"))
WANTED: tuple[Wanted, ...] = (
    Wanted("student or its teacher, 6/5", STUDENT, TEACHER, "student 6/5 above its teacher"),
    Wanted("student or its teacher, 12/12", STUDENT_12, TEACHER_12, "student 12/12 above its teacher"),
    Wanted("image coordinates or none", TEACHER, Side("teacher-nope", "nope"), "image coordinates above none"),
    Wanted("128×1 or 16×16 patches, student", STUDENT, Side("student", "paper-16x16"), "student: 128×1 above 16×16"),
    Wanted("128×1 or 16×16 patches, teacher", TEACHER, Side("teacher", "paper-16x16"), "teacher: 128×1 above 16×16"),
    Wanted("student or AST", STUDENT, AST, "student 6/5 above AST"),
    Wanted("student of 12/12 or AST", STUDENT_12, AST, "student 12/12 above AST"),
    Wanted("student or SepTr", STUDENT, SEPTR, "student 6/5 above SepTr"),
    Wanted("AST or SepTr", AST, SEPTR, "AST above SepTr"),
    Wanted("student or ComParE and SVM", STUDENT, SVM),
    Wanted("honest or the paper's student", HONEST, STUDENT),
    Wanted("honest or ComParE and SVM", HONEST, SVM),
    Wanted("honest, of a large corpus, or ComParE and SVM", HONEST_LARGE, SVM),
    Wanted("three of honest joined, or ComParE and SVM", THREE, SVM),
    Wanted("three of honest joined, of a large corpus, or ComParE and SVM", THREE_LARGE, SVM),
    Wanted("three of honest joined, or one", THREE, HONEST),
    Wanted("three of honest joined, of a large corpus, or one", THREE_LARGE, HONEST_LARGE),
    Wanted("honest after CREMA-D or from random weights", HONEST, Side("residual", "honest")),
    Wanted("everyday or honest", EVERYDAY, HONEST),
    Wanted("everyday or honest, of a large corpus", EVERYDAY_LARGE, HONEST_LARGE),
    Wanted("everyday or ComParE and SVM", EVERYDAY, SVM),
    Wanted("everyday, of a large corpus, or ComParE and SVM", EVERYDAY_LARGE, SVM),
    Wanted("three of everyday joined, or ComParE and SVM", THREE_EVERYDAY, SVM),
    Wanted("three of everyday joined, of a large corpus, or ComParE and SVM", THREE_EVERYDAY_LARGE, SVM),
    Wanted("three of everyday joined, or three of honest", THREE_EVERYDAY, THREE),
    Wanted("three of everyday joined, of a large corpus, or three of honest", THREE_EVERYDAY_LARGE, THREE_LARGE),
    Wanted("everyday or honest, of EmoDB and CREMA-D, elsewhere", EVERYDAY_JOINT, HONEST_JOINT),
    Wanted("honest or its student", HONEST, Side("student", "honest-student-after-crema-d")),
    Wanted("honest, of a large corpus, or its student", HONEST_LARGE, Side("student", "honest-student-large")),
    Wanted("student whose feature is matched or not", TAUGHT, Side("student", "honest-student-unmatched")),
    Wanted("student taught or not", TAUGHT, Side("student", "honest-student-untaught")),
)


def evidence(kept: Kept) -> dict[str, Any]:
    """All wanted comparisons and leaks that the folds allow, as plain values: comparisons, not_run, leak."""
    made: list[dict[str, Any]] = []
    absent: list[dict[str, Any]] = []
    for wanted in WANTED:
        for found in _places(wanted, kept):
            (made if "wa" in found else absent).append(found)
    return {"comparisons": made, "not_run": absent, "leak": leaks(kept)}


def leaks(kept: Kept) -> list[dict[str, Any]]:
    """`paper` minus `clean` of every model that was trained under both (`paired.leak`)."""
    found: dict[tuple[str, str, str], dict[str, Sequence[FoldResult]]] = {}
    for folds in kept.values():
        of = folds[0]
        key = of.predictions.corpus, of.predictions.model, of.recipe["name"]
        found.setdefault(key, {})[of.predictions.protocol] = folds
    return [paired.leak(sides["paper"], sides["clean"]) for sides in found.values() if {"paper", "clean"} <= set(sides)]


def _places(wanted: Wanted, kept: Kept) -> Iterator[dict[str, Any]]:
    """One comparison, or what is missing of it, for every corpus and protocol that has one of the sides.

    A second side of whatever recipe is a rival that may stand anywhere (an SVM is cheap): it asks for no first one.
    """
    firsts, seconds = _rows_of(wanted.first, kept), _rows_of(wanted.second, kept)
    sides = wanted.first, wanted.second
    names = tuple(side.model if side.recipe is None else f"{side.model} ({side.recipe})" for side in sides)
    about = {"question": wanted.question}
    places = firsts.keys() | (seconds.keys() if wanted.second.recipe else set())
    if not places:
        absent = [name for name, rows in zip(names, (firsts, seconds), strict=True) if not rows]
        yield about | {"corpus": None, "protocol": None, "missing": " and ".join(absent)}
    for place in sorted(places):
        where = about | {"corpus": place[0], "protocol": place[1]}
        missing = [name for name, rows in zip(names, (firsts, seconds), strict=True) if place not in rows]
        if missing:
            yield where | {"missing": " and ".join(missing)}
            continue
        for second in seconds[place]:
            one, two = common(firsts[place][0], second)
            yield about | compare(one, two) if one else where | {"missing": "a fold and seed that both were tested on"}


def _rows_of(side: Side, kept: Kept) -> dict[tuple[str, str], list[Sequence[FoldResult]]]:
    """Tested folds of a model by corpus and protocol, a list where several recipes fit."""
    found: dict[tuple[str, str], list[Sequence[FoldResult]]] = {}
    for folds in kept.values():
        of = folds[0]
        if of.predictions.model == side.model and side.recipe in (None, of.recipe["name"]):
            found.setdefault((of.predictions.corpus, of.predictions.protocol), []).append(folds)
    return found
