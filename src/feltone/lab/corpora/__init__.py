"""Corpora by name. A new corpus is one file beside this one and one row in `CORPORA`."""

from collections.abc import Mapping
from pathlib import Path

from feltone.errors import CorpusError
from feltone.lab.corpora import corpus as _corpus
from feltone.lab.corpora import emodb
from feltone.lab.corpora.clip import Clip, manifest_digest
from feltone.lab.corpora.corpus import Corpus

CORPORA: Mapping[str, Corpus] = {corpus.name: corpus for corpus in (emodb.CORPUS,)}

__all__ = ["CORPORA", "Clip", "Corpus", "find", "manifest_digest", "read"]


def find(name: str) -> Corpus:
    """The corpus of that name; raises `CorpusError` listing the known ones."""
    if name not in CORPORA:
        raise CorpusError(
            f"corpus '{name}' is not known; known: {', '.join(CORPORA)}, or a manifest file or folder per label"
        )
    return CORPORA[name]


def read(name: str, root: Path) -> list[Clip]:
    """Clips of the corpus `name` below `root` (its own folder, or the folder that holds it), sorted by name."""
    return _corpus.read(find(name), root)
