"""The vocabulary of emotions, and the ordered label set that travels with every model.

The words are those most corpora share; a corpus maps its own codes to them (`lab/corpora`). A user's own labels are
allowed as they are: a `LabelSet` is any ordered set of distinct names.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from feltone.errors import ConfigError

EMOTIONS = (
    "anger",
    "boredom",
    "calm",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
"""Feltone's words. EmoDB's "anxiety/fear" is `fear`; TESS' "pleasant surprise" is `surprise`."""

SYNONYMS: Mapping[str, str] = {
    "angry": "anger",
    "anxiety": "fear",
    "anxious": "fear",
    "bored": "boredom",
    "boredem": "boredom",  # so spelled in EmoBox's published EmoDB folds
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "pleasant_surprise": "surprise",
    "ps": "surprise",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Spellings in use elsewhere -> Feltone's word."""


def canonical(name: str) -> str:
    """Feltone's word for a label as found in the wild; names it does not know come back in lower case.

    >>> canonical("Angry"), canonical("relief")
    ('anger', 'relief')
    """
    lowered = name.strip().lower().replace(" ", "_")
    return SYNONYMS.get(lowered, lowered)


@dataclass(frozen=True)
class LabelSet:
    """Distinct label names in the order of a model's outputs.

    >>> LabelSet(("anger", "neutral")).index("neutral")
    1
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ConfigError(f"labels {list(self.names)} are not distinct: each label may stand once")
        if len(self.names) < 2:
            raise ConfigError(f"labels {list(self.names)}: a recogniser needs at least two")

    @classmethod
    def of(cls, labels: Iterable[str]) -> "LabelSet":
        """The labels that occur, each once, in alphabetical order (so the order never depends on the files')."""
        return cls(tuple(sorted(set(labels))))

    def index(self, name: str) -> int:
        """Position of `name`; raises `ConfigError` naming the known labels."""
        if name not in self.names:
            raise ConfigError(f"label '{name}' is not one of {', '.join(self.names)}")
        return self.names.index(name)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)
