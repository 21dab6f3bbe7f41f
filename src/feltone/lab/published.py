"""What others have published, as data: the figures that ours stand beside, each with its source.

Nothing here was measured by us. WA and UAR are in per cent, as printed.
"""

from collections.abc import Mapping
from typing import NamedTuple

PAPER = "Kim & Lee, IEEE Access 2024, doi 10.1109/ACCESS.2024.3447770; figures cut after two decimals"
EMOBOX_SOURCE = (
    "EmoBox (Ma et al., Interspeech 2024, arXiv 2406.07162): frozen features and a small trained head; its released "
    "recipe scores every epoch on the test set"
)
EMOBOX_FOLDS = (
    "Its folds of EmoDB and CREMA-D have all speakers on both sides; those of SAVEE (one speaker left out) and RAVDESS "
    "(four left out) share none"
)
LISTENERS_SOURCE = "the votes published with CREMA-D (Cao et al., IEEE Transactions on Affective Computing 2014)"


class Published(NamedTuple):
    """A row of one of the paper's tables, and the model of ours that repeats it."""

    table: int
    row: str
    model: str  # as rows of results name it
    recipe: str | None  # None: whatever recipe the model was trained by
    variant: str  # of `lab.models.VARIANTS`: what it costs
    wa: Mapping[str, float]  # corpus -> WA %, under the paper's own protocol
    macs: float | None  # multiply-adds of one image; None where the table does not say
    began: str = ""  # whose weights its training began from; empty: random ones


def _wa(savee: float, emodb: float, crema_d: float) -> Mapping[str, float]:
    return {"savee": savee, "emodb": emodb, "crema-d": crema_d}


PAPER_TABLES: tuple[Published, ...] = (
    Published(1, "teacher 6/5, no positions", "teacher-nope", "nope", "teacher-nope", _wa(95.57, 98.83, 91.85), None),
    Published(1, "teacher 6/5, image coordinates", "teacher", "paper", "teacher", _wa(97.39, 99.06, 95.07), None),
    Published(2, "AST", "ast", None, "ast", _wa(89.32, 96.02, 88.79), 3.32e9, began="ImageNet"),
    Published(2, "teacher 12/12", "teacher", "paper-12", "teacher-12", _wa(98.17, 96.96, 92.64), 3.58e9),
    Published(2, "student of it", "student", "paper-12", "student", _wa(98.95, 98.83, 94.07), 0.32e9),
    Published(3, "SepTr", "septr", None, "septr", _wa(87.23, 92.75, 79.94), 175.81e9),
    Published(3, "teacher 6/5", "teacher", "paper", "teacher", _wa(97.39, 99.06, 95.07), 1.43e9),
    Published(3, "student of it", "student", "paper", "student", _wa(99.47, 99.76, 95.24), 0.32e9),
)
"""Tables 1 to 3 of `PAPER`, all under protocol `paper`."""


class Frozen(NamedTuple):
    """A large model that EmoBox put behind its folds."""

    model: str
    parameters: float
    scores: Mapping[str, tuple[float, float]]  # corpus -> WA %, UAR %


def _scores(*pairs: tuple[float, float]) -> Mapping[str, tuple[float, float]]:
    return dict(zip(("emodb", "ravdess", "crema-d", "savee"), pairs, strict=True))


EMOBOX: tuple[Frozen, ...] = (
    Frozen("wav2vec 2.0 base", 95e6, _scores((83.14, 82.06), (55.40, 54.33), (61.90, 61.95), (49.83, 44.89))),
    Frozen("HuBERT base", 95e6, _scores((87.73, 87.73), (66.21, 65.43), (70.98, 71.13), (59.85, 58.90))),
    Frozen("WavLM base", 95e6, _scores((87.12, 87.03), (62.10, 61.56), (69.49, 69.64), (67.05, 63.57))),
    Frozen("HuBERT large", 317e6, _scores((90.26, 89.81), (70.29, 70.00), (73.64, 73.83), (75.05, 71.91))),
    Frozen("WavLM large", 317e6, _scores((92.67, 92.58), (72.22, 72.00), (74.32, 74.50), (70.80, 66.74))),
    Frozen("data2vec 2.0 large", 314e6, _scores((80.41, 79.36), (71.63, 71.15), (69.27, 69.55), (78.59, 75.75))),
    Frozen("Whisper large v3", 1.5e9, _scores((92.43, 91.26), (75.87, 75.32), (76.48, 76.75), (77.24, 74.07))),
)
"""`EMOBOX_SOURCE`, on the folds of protocol `emobox`."""


class Listeners(NamedTuple):
    """How often people who hear a clip without seeing it name the emotion that was intended."""

    corpus: str
    votes: int
    votes_right: float  # share of the votes
    majority_right: float  # share of the clips whose most frequent vote is the intended emotion


LISTENERS = Listeners("crema-d", 68_568, 0.400, 0.416)
"""`LISTENERS_SOURCE`."""
