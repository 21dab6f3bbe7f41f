"""The ledger of what a model has seen: every training clip by key, label, speaker and sentence, never by content.

It lets an artefact be audited against any test set, on any machine, long after training.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from feltone.errors import ArtifactError
from feltone.files import write_text
from feltone.lab.corpora.clip import Clip

FILE = "training.csv"
COLUMNS = ("corpus", "name", "label", "speaker", "sentence")


def write(clips: Iterable[Clip], file: Path) -> None:
    """One row per distinct clip, sorted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in sorted(set(clips), key=lambda clip: clip.key):
        writer.writerow([getattr(clip, column) or "" for column in COLUMNS])
    write_text(file, text.getvalue())


def read(folder: Path) -> list[Clip]:
    """Clips a model folder was trained on; their recordings are not here (`path` is empty)."""
    file = folder / FILE
    if not file.is_file():
        raise ArtifactError(f"{file}: is missing; without its ledger a model cannot be audited")
    try:
        with file.open(newline="", encoding="utf-8") as handle:
            return [
                Clip(
                    row["corpus"],
                    row["name"],
                    Path(),
                    row["label"],
                    row["speaker"] or None,
                    None,
                    row["sentence"] or None,
                )
                for row in csv.DictReader(handle)
            ]
    except (csv.Error, KeyError, UnicodeDecodeError) as fault:
        raise ArtifactError(f"{file}: is no ledger ({fault}); obtain the model again") from None
