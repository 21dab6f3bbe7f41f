"""The verb that draws the evidence: feltone figure attention, positions, features, plane, confusion, coverage."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from feltone.doors.options import PATH, corpus
from feltone.errors import ConfigError

if TYPE_CHECKING:
    from feltone.lab.corpora import Clip
    from feltone.lab.evidence_figures import Drawn

out = click.option("--out", type=PATH, required=True, help="The picture to write (PNG).")
numbers = click.option("--numbers", type=PATH, help="Also write the numbers it shows here (JSON).")
data = click.option(
    "--data", type=PATH, envvar="FELTONE_DATA", required=True, help="Folder of the corpora, or a manifest."
)
RUN = click.argument("run", type=PATH)


@click.group()
def figure() -> None:
    """Draw a figure of the evidence, from trained runs or rows of results.

    A RUN is the folder of one fold: RUN/seed-0/fold-1.
    """


@figure.command()
@RUN
@click.option("--beside", type=PATH, help="Run of a network with patches of another shape.")
@corpus
@data
@click.option("--clip", help="Name of the clip to draw; default: the middle one.")
@click.option("--stage", default="teacher", help="Whose network.")
@click.option("--study/--no-study", default=True, help="Also measure the agreement over all clips (minutes).")
@out
@numbers
def attention(
    run: Path,
    beside: Path | None,
    corpus: str,
    data: Path,
    clip: str | None,
    stage: str,
    study: bool,
    out: Path,
    numbers: Path | None,
) -> None:
    """Masks of a clip and its perturbed versions, and how well they agree."""
    from feltone.doors import console
    from feltone.lab.dataset import cache_folder
    from feltone.lab.evidence_figures import draw_attention

    folders = [run, *([beside] if beside else [])]
    clips = _clips(corpus, data)
    with console.progress("looking", len(clips) * len(folders) if study else 0) as advance:
        drawn = draw_attention(
            folders,
            clips,
            cache_folder(),
            clip=clip,
            stage=stage,
            with_study=study,
            progress=lambda done, total: advance(),
        )
    write_drawn(drawn, out, numbers)


@figure.command()
@RUN
@corpus
@data
@click.option("--without", type=PATH, help="Run of a student that was trained without matching.")
@out
@numbers
def positions(run: Path, corpus: str, data: Path, without: Path | None, out: Path, numbers: Path | None) -> None:
    """Similarity between positions of the student before and after matching."""
    from feltone.lab.dataset import cache_folder
    from feltone.lab.evidence_figures import draw_positions

    write_drawn(draw_positions(run, _clips(corpus, data), cache_folder(), without=without), out, numbers)


@figure.command()
@RUN
@corpus
@data
@click.option("--test-corpus", help="Of a run under protocol cross.")
@click.option("--folds-from", type=PATH, help="EmoBox's folds; default: folds/ below --data.")
@click.option("--method", default="pca", help="pca or tsne.")
@out
@numbers
def features(
    run: Path,
    corpus: str,
    data: Path,
    test_corpus: str | None,
    folds_from: Path | None,
    method: str,
    out: Path,
    numbers: Path | None,
) -> None:
    """Teacher's and student's features of the test part."""
    from feltone.lab.dataset import cache_folder
    from feltone.lab.evidence_figures import draw_features
    from feltone.lab.experiment import Experiment

    experiment = Experiment(corpus, data, "", folds_from=folds_from, test_corpus=test_corpus)
    write_drawn(draw_features(run, experiment, cache_folder(), method=method), out, numbers)


@figure.command()
@click.option("--corpus", "corpora", multiple=True, required=True, help="Whose rows; once per corpus.")
@click.option("--rows", type=PATH, default="results/accuracy", help="Folder of rows.")
@out
@numbers
def plane(corpora: tuple[str, ...], rows: Path, out: Path, numbers: Path | None) -> None:
    """Accuracy against multiply-adds of all models that have a row."""
    from feltone.lab.evidence_figures import draw_plane
    from feltone.lab.tables import read_rows

    write_drawn(draw_plane(read_rows(rows), corpora), out, numbers)


@figure.command()
@click.argument("row", type=PATH)
@out
@numbers
def confusion(row: Path, out: Path, numbers: Path | None) -> None:
    """Confusion matrix of a row, results/accuracy/NAME.json."""
    from feltone.lab.evidence_figures import draw_confusion

    write_drawn(draw_confusion(row), out, numbers)


@figure.command()
@click.option("--rows", type=PATH, default="results/accuracy", help="Folder of rows, with their tested folds.")
@out
@numbers
def coverage(rows: Path, out: Path, numbers: Path | None) -> None:
    """How good the surest answers are; the numbers also tell scores by sex and age."""
    from feltone.lab.evidence_figures import draw_coverage

    write_drawn(draw_coverage(rows), out, numbers)


def _clips(corpus: str, data: Path) -> "tuple[Clip, ...]":
    from feltone.lab.experiment import Material

    return Material.read(corpus, data).clips


def write_drawn(drawn: "Drawn", out: Path, numbers: Path | None) -> None:
    """Write a figure and its numbers, and print where it lies."""
    from feltone.files import write_atomically, write_text
    from feltone.lab import provenance

    if out.suffix.lower() != ".png":
        raise ConfigError(f"{out}: a figure is a PNG; let its name end in .png")
    write_atomically(out, lambda handle: handle.write(drawn.png))
    if numbers:
        write_text(numbers, json.dumps({**drawn.numbers, "origin": provenance.origin()}, indent=1) + "\n")
    print(out)


VERBS = (figure,)
