"""The shape of a corpus description, and reading its clips from a folder.

A corpus is a value: what it is, where it comes from, what it should hold, and one function from a recording's path
to a `Clip`. Everything that looks at recordings (`read`, and `verify.py`) works for all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from feltone import audio
from feltone.errors import AudioError, CorpusError
from feltone.lab.corpora.clip import Clip


@dataclass(frozen=True)
class Corpus:
    """A known corpus.

    `parse` gives the clip of a recording, or None where the name does not follow the corpus' scheme. `expected_names`
    are the clips of the published corpus, or None where a rule cannot tell them.
    """

    name: str  # as typed: also the folder below FELTONE_DATA
    title: str
    licence: str
    citation: str
    obtain: str  # how to get the recordings
    language: str
    expected: Mapping[str, int]  # label -> clips, in the published corpus
    speakers: int
    parse: Callable[[Path], Clip | None]
    expected_names: Callable[[], frozenset[str]] | None = None
    shippable: bool = False  # may weights trained on it be shipped
    audio: str = "original"  # or what was done to the recordings at hand
    sentences: int | None = None  # size of the fixed set of sentences, where there is one

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the corpus, in Feltone's words, sorted."""
        return tuple(sorted(self.expected))

    @property
    def clips(self) -> int:
        """Clips of the published corpus."""
        return sum(self.expected.values())


def recordings(corpus: Corpus, root: Path) -> list[Path]:
    """Audio files of a corpus: below `root/<name>` if that exists, else below `root`."""
    inside = root / corpus.name
    folder = inside if inside.is_dir() else root
    if not folder.is_dir():
        raise CorpusError(f"{root}: no such folder; {corpus.title} is obtained so: {corpus.obtain}")
    try:
        return audio.find(folder)
    except AudioError:
        raise CorpusError(f"{folder}: no recordings of {corpus.title}; it is obtained so: {corpus.obtain}") from None


def read(corpus: Corpus, root: Path) -> list[Clip]:
    """All clips of a corpus below a folder, sorted by name.

    Raises:
        CorpusError: no recordings, none that follows the corpus' naming, or one name twice (`a.wav` beside `a.flac`).
    """
    paths = recordings(corpus, root)
    clips = [clip for clip in map(corpus.parse, paths) if clip is not None]
    if not clips:
        raise CorpusError(
            f"{root}: none of {len(paths)} recordings is named like {corpus.title} (first: {paths[0].name})"
        )
    refuse_repeated(clips)
    return sorted(clips, key=lambda clip: clip.name)


def refuse_repeated(clips: Iterable[Clip]) -> None:
    """Raise `CorpusError` naming the clips that stand more than once."""
    repeated = [key for key, count in Counter(clip.key for clip in clips).items() if count > 1]
    if repeated:
        raise CorpusError(
            f"{len(repeated)} clips stand more than once, for example {', '.join(repeated[:3])}; keep one of each"
        )
