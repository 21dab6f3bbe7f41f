"""A training so small that it can be begun, killed and begun again many times: `feltone` with such recipes.

python -m feltone_benchmarks.tiny recordings clips.csv
python -m feltone_benchmarks.tiny train tiny --corpus manifest --data clips.csv --protocol clean --out RUN

It knows the recipes `tiny` (three stages) and `tiny-teacher` (one), and writes a checkpoint after every step.
"""

import sys
from itertools import product
from pathlib import Path

import feltone
from feltone.doors import cli
from feltone.lab import models, recipes
from feltone.lab.models import ModelConfig
from feltone.lab.recipes import Recipe
from feltone.lab.training import loop
from feltone.lab.training.stages import three_stages

CLIPS = Path(feltone.__file__).parent / "clips"
LABELS = {"up": ("anger", "happiness"), "down": ("boredom", "sadness")}
SEGMENTS = 4  # of each bundled clip, half a second each
TINY = ModelConfig(depth=1, heads=2, token_width=32, head_width=8, mlp_width=32)


def tiny() -> Recipe:
    """The three stages, two epochs each."""
    return Recipe("tiny", three_stages("tiny", "tiny", epochs=2, halve_every=1))


def tiny_teacher() -> Recipe:
    """One stage of two epochs."""
    return Recipe("tiny-teacher", tiny().stages[:1])


NETWORKS = {"tiny": TINY}
RECIPES = {"tiny": tiny, "tiny-teacher": tiny_teacher}


def write_recordings(table: Path) -> None:
    """A manifest of segments of the bundled clips, with two labels and as many speakers as clips."""
    rows = ["path,start,end,label,speaker"]
    for label, clips in LABELS.items():
        for clip, segment in product(clips, range(SEGMENTS)):
            start = 0.1 + 0.4 * segment
            rows.append(f"{CLIPS / f'{clip}.flac'},{start:.1f},{start + 0.5:.1f},{label},{clip}")
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")


def register() -> None:
    """Let this process know the tiny recipes, and write checkpoints as often as it can."""
    models.VARIANTS = dict(models.VARIANTS) | NETWORKS
    recipes.RECIPES = dict(recipes.RECIPES) | RECIPES
    loop.CHECKPOINT_SECONDS = loop.TICK_SECONDS = 0.0


def main() -> None:
    """`feltone` with the tiny recipes; `recordings TABLE` writes what they are trained on."""
    if sys.argv[1:2] == ["recordings"]:
        write_recordings(Path(sys.argv[2]))
        return
    register()
    cli.main()


if __name__ == "__main__":
    main()
