"""The shape of a corpus description, and reading its clips from a folder.

A corpus is a value: what it is, where it comes from, what it should hold, and one function from a recording's path
to a `Clip`. Everything that looks at recordings (`read`, and `verify.py`) works for all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feltone import audio
from feltone.errors import AudioError, CorpusError
from feltone.lab.corpora.clip import Clip

RECONSTRUCTED = frozenset({".ogg", ".opus"})


def audio_of(paths: Iterable[Path]) -> str:
    """`reconstructed` where there is Opus among the recordings of a known corpus, else `original`.

    None of them is published as Opus. That form of CREMA-D, as it is known to us, was rebuilt from log-Mel
    spectrograms: no phase, no absolute level, nothing after 3.0 s; `benchmarks/reconstruct.py` does the same to others.
    Who compressed an original to Opus is told `reconstructed` too, which errs on the careful side: those are not the
    published recordings either.
    """
    return "reconstructed" if any(path.suffix.lower() in RECONSTRUCTED for path in paths) else "original"


@dataclass(frozen=True)
class Corpus:
    """A known corpus.

    `parse` gives the clip of a recording, or None where the name does not follow the corpus' scheme; a code that
    stands for no emotion becomes the clip's label as it is, and `read` and `verify` name the clip. `expected_names`
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
    sentences: int | None = None  # size of the fixed set of sentences, where there is one
    emobox: str | None = None  # the corpus' folder in EmoBox, where it is not `name`

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the corpus, in Feltone's words, sorted."""
        return tuple(sorted(self.expected))

    @property
    def clips(self) -> int:
        """Clips of the published corpus."""
        return sum(self.expected.values())


def folder_of(corpus: Corpus, root: Path) -> Path:
    """`root/<name>` if that exists, else `root`; raises `CorpusError` where neither does."""
    inside = root / corpus.name
    folder = inside if inside.is_dir() else root
    if not folder.is_dir():
        raise CorpusError(f"{root}: no such folder; {corpus.title} is obtained so: {corpus.obtain}")
    return folder


def recordings(corpus: Corpus, root: Path) -> list[Path]:
    """Audio files below a corpus' folder, sorted; hidden ones (`._a.wav` of unpacked archives) are not recordings."""
    folder = folder_of(corpus, root)
    try:
        return [path for path in audio.find(folder) if not path.name.startswith(".")]
    except AudioError:
        raise CorpusError(f"{folder}: no recordings of {corpus.title}; it is obtained so: {corpus.obtain}") from None


def read(corpus: Corpus, root: Path) -> list[Clip]:
    """All clips of a corpus below a folder, sorted by name.

    Recordings whose names do not follow the corpus' scheme are passed over (`verify` names them).

    Raises:
        CorpusError: no recordings, none that follows the corpus' naming, a label the corpus does not have, or one
            name twice (`a.wav` beside `a.flac`).
    """
    paths = recordings(corpus, root)
    clips = [clip for clip in map(corpus.parse, paths) if clip is not None]
    if not clips:
        raise CorpusError(
            f"{root}: none of {len(paths)} recordings is named like {corpus.title}; it is obtained so: {corpus.obtain}"
        )
    refuse_unknown_labels(corpus, clips)
    refuse_repeated(clips)
    return sorted(clips, key=lambda clip: clip.name)


def unknown_labels(corpus: Corpus, clips: Iterable[Clip]) -> list[Clip]:
    """Clips whose label the corpus does not have."""
    return [clip for clip in clips if clip.label not in corpus.expected]


def refuse_unknown_labels(corpus: Corpus, clips: Sequence[Clip]) -> None:
    """Raise `CorpusError` naming the clips whose label the corpus does not have."""
    unknown = unknown_labels(corpus, clips)
    if unknown:
        some = ", ".join(f"{clip.name} ('{clip.label}')" for clip in unknown[:3])
        raise CorpusError(
            f"{len(unknown)} recordings have a label that {corpus.title} does not have, for example {some}; "
            f"correct the names or take them out"
        )


def refuse_repeated(clips: Iterable[Clip]) -> None:
    """Raise `CorpusError` naming the clips that stand more than once."""
    repeated = [key for key, count in Counter(clip.key for clip in clips).items() if count > 1]
    if repeated:
        raise CorpusError(
            f"{len(repeated)} clips stand more than once, for example {', '.join(repeated[:3])}; keep one of each"
        )
