"""What reconstruction costs, as Markdown for render.py: rows on rebuilt recordings beside those on the originals."""

import json
from pathlib import Path

from feltone.lab import paired, tested
from feltone.lab.evidence_tables import TITLES, markdown, points
from feltone.lab.tables import NOT_RUN
from feltone.lab.tested import Kept

FOLDER = Path(__file__).parent / "reconstruction"


def tables(originals: Kept) -> dict[str, str]:
    """The table of RESULTS.md, by name."""
    return {"reconstruction": cost(originals)}


def cost(originals: Kept) -> str:
    """Every row on rebuilt recordings, paired with the same row on the originals, and how alike the recordings are."""
    lines = []
    for name, rebuilt in tested.kept(FOLDER).items():
        ours, same = paired.common(rebuilt, originals.get(name, ()))
        if not same:
            continue
        told = paired.compare(ours, same, of_audio=True)
        scores = [" / ".join(f"{100 * told[key][side]:.1f}" for key in paired.COMPARED) for side in ("second", "first")]
        of = rebuilt[0]
        runs = f"{len(told['folds_run'])} of {told['folds']} × {len(told['seeds'])}"
        what = [TITLES[told["corpus"]], told["protocol"], of.predictions.model, of.recipe["name"]]
        lines.append([*what, *scores, *(points(told[key]) for key in paired.COMPARED), runs])
    if not lines:
        return NOT_RUN
    heads = ["corpus", "protocol", "model", "recipe", "original", "reconstructed", "WA apart", "UAR apart"]
    shown = markdown([*heads, "folds × seeds"], lines, left=4)
    like = json.loads((FOLDER / "fidelity.json").read_text())
    alike = f"correlate {like['correlation']:.3f} with the originals', and are {like['mean_absolute_db']:.1f} dB apart"
    text = (
        "WA / UAR %; in brackets the 95 % interval of the difference, in points, the same speakers resampled on both "
        f"sides. On {like['clips']} rebuilt clips the decibels below {like['below_hz'] // 1000} kHz {alike}."
    )
    return f"{shown}\n\n{text}"
