"""What a corpus is made of: clips, each a recording with what is known about it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One labelled recording, or a segment of one.

    `name` is unique within its corpus and independent of where the corpus lies. `speaker` and `sentence` are None
    where the corpus does not tell; protocols that need them then refuse.
    """

    corpus: str
    name: str
    path: Path
    label: str
    speaker: str | None = None
    sex: str | None = None  # "female" or "male"
    sentence: str | None = None
    split: str | None = None  # the corpus' own partition, where it has one
    start: float = 0.0  # seconds
    end: float | None = None
    age: int | None = None  # of the speaker in years, when recorded

    @property
    def key(self) -> str:
        """Identity across corpora and machines."""
        return f"{self.corpus}/{self.name}"


def manifest_digest(clips: Iterable[Clip]) -> str:
    """SHA-256 over names, labels, speakers and sentences: which clips a model was trained on, told without paths."""
    lines = sorted(f"{clip.key}\t{clip.label}\t{clip.speaker}\t{clip.sentence}" for clip in clips)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
