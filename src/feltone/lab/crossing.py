"""What a result of protocol `cross` must say beside its scores: from which corpus to which, over which classes.

Labels of all corpora meet in Feltone's words (`feltone.labels`); a class that one side lacks is left out of both. How
many classes are left decides how hard the task is, so a row names them, and what was left out, with numbers of clips.
"""

from collections.abc import Mapping
from typing import Any

from feltone.lab import corpora
from feltone.lab.protocols import Fold
from feltone.labels import LabelSet

PROTOCOL = "cross"
BETWEEN = "-to-"  # the corpora of both sides, in the name of a row

Classes = Mapping[str, Any]
"""`shared`: labels in order; `dropped`: label -> corpus -> number of its clips."""


def corpus_of(fold: Fold, trained_on: str) -> str:
    """What a result calls its corpus: the one that was divided, or `TRAINED-to-TESTED` under `cross`."""
    if fold.protocol != PROTOCOL:
        return trained_on
    return f"{trained_on}{BETWEEN}{'+'.join(sorted({sample.clip.corpus for sample in fold.test}))}"


def audio_of(fold: Fold) -> str:
    """What was done to the recordings of either side, or "original"."""
    return corpora.audio_of(sample.clip for part in (fold.train, fold.test) for sample in part)


def classes_of(fold: Fold) -> Classes | None:
    """Classes of both sides and what was left out; None where a protocol leaves no class out."""
    if fold.protocol != PROTOCOL:
        return None
    dropped: dict[str, dict[str, int]] = {}
    for clip in sorted(fold.dropped, key=lambda clip: (clip.label, clip.key)):
        of = dropped.setdefault(clip.label, {})
        of[clip.corpus] = of.get(clip.corpus, 0) + 1
    return {"shared": sorted({sample.clip.label for sample in fold.train}), "dropped": dropped}


def choices(labels: LabelSet, fold: Fold) -> LabelSet:
    """Labels that a model chooses from when it is asked about a test part: its own; under `cross` the shared ones."""
    return LabelSet.of(sample.clip.label for sample in fold.train) if fold.protocol == PROTOCOL else labels


def told(classes: Classes) -> str:
    """One sentence or two.

    >>> told({"shared": ["anger", "fear"], "dropped": {"boredom": {"emodb": 81}}})
    'Classes of both sides: anger, fear. Left out: boredom (81 clips of emodb).'
    """
    left_out = [
        f"{label} ({', '.join(f'{count} clips of {corpus}' for corpus, count in counts.items())})"
        for label, counts in classes["dropped"].items()
    ]
    return f"Classes of both sides: {', '.join(classes['shared'])}. Left out: {', '.join(left_out) or 'nothing'}."
