"""The pictures that are drawn from files in results/ alone: which there are, and whether one shows today's numbers.

A picture carries the SHA-256 of the numbers it was drawn from, so that it is drawn again when they change, and
not because another machine would set a pixel differently. After a change of how it is drawn: delete it, make results.
The others (attention, positions, features) are drawn from trained runs by `feltone figure`.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from feltone.files import write_atomically
from feltone.lab import cost_plane, evidence_figures, figure_robustness

RESULTS = Path(__file__).parent
FIGURES = RESULTS / "figures"
PLANE = ("emodb", "savee", "ravdess", "crema-d")
CONFUSIONS = {
    "confusion-emodb-emobox-student": "emodb__emobox__student",
    "confusion-strangers": "emodb+crema-d__speaker__residual__everyday-large",
}
"""Picture -> row."""
CONDITIONS = {
    "robustness-emodb-honest": "emodb__emobox__residual__honest-after-crema-d",
    "robustness-emodb-everyday": "emodb__emobox__residual__everyday-after-crema-d",
    "robustness-emodb": "emodb__emobox__student",
    "robustness-emodb-to-savee": "emodb-to-savee__cross__student-emodb__brief",
}
"""Picture -> what was measured in results/robustness/."""
STAMP = "drawn-from"  # the text of a PNG that holds the hash


class Picture(NamedTuple):
    """A file, the numbers in it and what draws them."""

    file: Path
    numbers: Any
    draw: Callable[[], bytes]

    @property
    def stamp(self) -> str:
        """Of the numbers it has to show."""
        return hashlib.sha256(json.dumps(self.numbers, sort_keys=True).encode()).hexdigest()

    @property
    def stale(self) -> bool:
        """Whether it is missing, or shows other numbers."""
        if not self.file.is_file():
            return True
        with Image.open(self.file) as shown:
            return shown.info.get(STAMP) != self.stamp

    def write(self) -> None:
        """Draw it, with its stamp."""
        text, whole = PngInfo(), io.BytesIO()
        text.add_text(STAMP, self.stamp)
        with Image.open(io.BytesIO(self.draw())) as drawn:
            drawn.save(whole, "PNG", pnginfo=text, dpi=drawn.info["dpi"], optimize=True)
        write_atomically(self.file, lambda handle: handle.write(whole.getvalue()))


def pictures(rows: Sequence[Mapping[str, Any]], about_speakers: Mapping[str, Any]) -> Iterator[Picture]:
    """All of them, from the rows and from `groups.evidence`."""
    yield Picture(
        FIGURES / "plane.png", cost_plane.of_corpora(rows, PLANE), lambda: evidence_figures.draw_plane(rows, PLANE).png
    )
    for name, row in CONFUSIONS.items():
        file = RESULTS / "accuracy" / f"{row}.json"
        yield Picture(FIGURES / f"{name}.png", read(file), lambda file=file: evidence_figures.draw_confusion(file).png)
    for name, measured in CONDITIONS.items():
        found = read(RESULTS / "robustness" / f"{measured}.json")
        yield Picture(FIGURES / f"{name}.png", found, lambda found=found: figure_robustness.draw(found))
    yield Picture(
        FIGURES / "coverage.png",
        about_speakers["thresholds"],
        lambda: evidence_figures.draw_coverage(RESULTS / "accuracy").png,
    )


def read(file: Path) -> Any:
    """The values of a JSON file."""
    return json.loads(file.read_text(encoding="utf-8"))
