"""Corpora by name. A new corpus is one file beside this one and one row in `CORPORA`.

The name `manifest` stands for a user's own recordings (`manifest.py`), and `crema-d@6` for the clips of six of its
speakers, the first by name: for what a whole corpus is too large for.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from feltone.errors import CorpusError
from feltone.lab.corpora import corpus as _corpus
from feltone.lab.corpora import crema_d, emodb, manifest, ravdess, savee, tess
from feltone.lab.corpora.clip import Clip, manifest_digest
from feltone.lab.corpora.corpus import Corpus

CORPORA: Mapping[str, Corpus] = {
    corpus.name: corpus for corpus in (emodb.CORPUS, ravdess.CORPUS, crema_d.CORPUS, savee.CORPUS, tess.CORPUS)
}

SOME = "@"  # between a corpus' name and how many of its speakers are meant

__all__ = ["CORPORA", "Clip", "Corpus", "audio_of", "audio_together", "find", "manifest_digest", "read", "whole"]


def find(name: str) -> Corpus:
    """The description of the corpus of that name; raises `CorpusError` listing the known ones."""
    if name not in CORPORA:
        raise CorpusError(
            f"corpus '{name}' is not known; known: {', '.join(CORPORA)}, or '{manifest.NAME}' for your own recordings"
        )
    return CORPORA[name]


def whole(name: str) -> str:
    """The corpus that a name is of: `crema-d` for `crema-d@6` and for itself."""
    return name.partition(SOME)[0]


def read(name: str, root: Path) -> list[Clip]:
    """Clips of the corpus `name` below `root` (its own folder, or the folder that holds it), sorted by name.

    With the name `manifest`, `root` is a table of recordings or a folder with one subfolder per label.
    """
    of, some, speakers = name.partition(SOME)
    clips = manifest.read(root) if of == manifest.NAME else _corpus.read(find(of), root)
    return _of_speakers(clips, speakers, name) if some else clips


def _of_speakers(clips: Sequence[Clip], wanted: str, name: str) -> list[Clip]:
    there = sorted({clip.speaker for clip in clips if clip.speaker is not None})
    if not wanted.isdecimal() or not 1 <= int(wanted) <= len(there):
        raise CorpusError(
            f"corpus '{name}': after {SOME} stands how many of its speakers are meant, here 1 to {len(there)}"
        )
    chosen = set(there[: int(wanted)])
    return [clip for clip in clips if clip.speaker in chosen]


def audio_of(clips: Iterable[Clip]) -> str:
    """What every result on these clips must say of their audio: "original", or what was done to it."""
    paths: dict[str, list[Path]] = {}
    for clip in clips:
        paths.setdefault(clip.corpus, []).append(clip.path)
    said = {_corpus.audio_of(of) if name in CORPORA else "original" for name, of in paths.items()}
    return audio_together(said)


def audio_together(said: Iterable[str]) -> str:
    """What is said of the audio of several sources at once."""
    return ", ".join(sorted(set(said) - {"original"})) or "original"
