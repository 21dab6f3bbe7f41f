"""Corpora by name. A new corpus is one file beside this one and one row in `CORPORA`.

The name `manifest` stands for a user's own recordings (`manifest.py`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from feltone.errors import CorpusError
from feltone.lab.corpora import corpus as _corpus
from feltone.lab.corpora import crema_d, emodb, manifest, ravdess, savee, tess
from feltone.lab.corpora.clip import Clip, manifest_digest
from feltone.lab.corpora.corpus import Corpus

CORPORA: Mapping[str, Corpus] = {
    corpus.name: corpus for corpus in (emodb.CORPUS, ravdess.CORPUS, crema_d.CORPUS, savee.CORPUS, tess.CORPUS)
}

__all__ = ["CORPORA", "Clip", "Corpus", "audio_of", "audio_together", "find", "manifest_digest", "read"]


def find(name: str) -> Corpus:
    """The description of the corpus of that name; raises `CorpusError` listing the known ones."""
    if name not in CORPORA:
        raise CorpusError(
            f"corpus '{name}' is not known; known: {', '.join(CORPORA)}, or '{manifest.NAME}' for your own recordings"
        )
    return CORPORA[name]


def read(name: str, root: Path) -> list[Clip]:
    """Clips of the corpus `name` below `root` (its own folder, or the folder that holds it), sorted by name.

    With the name `manifest`, `root` is a table of recordings or a folder with one subfolder per label.
    """
    return manifest.read(root) if name == manifest.NAME else _corpus.read(find(name), root)


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
