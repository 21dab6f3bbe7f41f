"""From trained runs and rows to the figures of the evidence: what `feltone figure` draws.

Every `draw_*` gives a PNG and, as plain values, the numbers that the picture shows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from feltone.errors import ConfigError
from feltone.lab import (
    attention_study,
    cost_plane,
    dataset,
    feature_map,
    figure_plane,
    figures,
    figures_evidence,
    group_tables,
    groups,
    positions,
    report,
    tested,
)
from feltone.lab import trained as runs
from feltone.lab.augment import COPIES
from feltone.lab.corpora import Clip
from feltone.lab.experiment import Experiment
from feltone.lab.protocols import PAPER_WARNING
from feltone.lab.study_tables import number
from feltone.lab.trained import Trained

Progress = Callable[[int, int], None]


class Drawn(NamedTuple):
    """A figure and the numbers in it."""

    png: bytes
    numbers: dict[str, Any]


def draw_attention(
    folders: Sequence[Path],
    clips: Sequence[Clip],
    cache: Path,
    *,
    clip: str | None = None,
    stage: str = "teacher",
    with_study: bool = True,
    progress: Progress = lambda done, total: None,
) -> Drawn:
    """Masks of the four versions of one clip by one network per run, and over all clips how well they agree.

    Args:
        folders: runs of one fold, as 128x1 patches and 16x16.
        clips: the corpus.
        cache: of images.
        clip: name of the one to draw; the middle one by default.
        stage: whose network.
        with_study: whether to go through all clips, seconds to minutes, rather than draw the one.
        progress: told (done, of how many) by the study of each run.

    Raises:
        ConfigError: no such clip, run or stage, two runs of the same patches, or runs of other seeds.
    """
    networks = {_patch(one): one for one in (runs.read(folder, stage) for folder in folders)}
    if len(networks) < len(folders):
        raise ConfigError(f"the runs have patches of the same shape, {', '.join(networks)}; give one run of each shape")
    if len({one.seed for one in networks.values()}) > 1:
        raise ConfigError("the runs have other seeds, so they saw other versions of every clip; give runs of one seed")
    shown = _named(clips, clip)
    first = next(iter(networks.values()))
    seen = attention_study.versions(shown, first, cache)
    masks, agreements = {}, {}
    for name, one in networks.items():
        of_this = attention_study.versions(shown, one, cache)
        drawn = attention_study.masks(one, attention_study.looks(one, of_this), attention_study.SMOOTHINGS["fine"])
        here = of_this.placed["original"]
        placed = [(k, of_this.placed[version]) for k, version in enumerate(COPIES)]
        found = [None if k == 0 else attention_study.agreement(drawn[0], drawn[k], here, p) for k, p in placed]
        masks[f"{name} patches"], agreements[f"{name} patches"] = drawn, found
    studies = {
        f"{name} patches": attention_study.study(one, clips, cache, progress)
        for name, one in networks.items()
        if with_study
    }
    seconds = first.features.clip_seconds
    column = seconds / first.features.columns
    bounds = [(place.start * column, place.length * column) for place in seen.placed.values()]
    title = f"Where the {stage} looks: {shown.key}, {shown.label}"
    png = figures_evidence.attention(
        seen.images.astype("float32"), masks, agreements, list(COPIES), bounds, seconds, title, studies or None
    )
    return Drawn(png, {"clip": shown.key, "agreement": agreements, "studies": studies})


def draw_positions(folder: Path, clips: Sequence[Clip], cache: Path, *, without: Path | None = None) -> Drawn:
    """Similarity between positions of a run's student before and after matching, and of its teacher.

    Args:
        folder: run of one fold with the stages teacher, matching and a student.
        clips: to average over.
        cache: of images.
        without: run of a student that was trained without matching; its last stage is drawn as well.
    """
    last = runs.last_stage(folder)
    networks = {
        "student, before matching": runs.read(folder, "matching", initial=True),
        "after matching": runs.read(folder, "matching"),
        "after its last stage": runs.read(folder, last),
        "its teacher": runs.read(folder, "teacher"),
    }
    if without is not None:
        networks["trained without matching"] = runs.read(without, runs.last_stage(without))
    studied = {name: positions.study(one, clips, cache) for name, one in networks.items()}
    notes = {
        name: f"R² of place {number(told['r2'])}\ncolumns shuffled {number(told['r2_shuffled'])}"
        for name, (_, told) in studied.items()
    }
    seconds = networks["its teacher"].features.clip_seconds
    title = f"What tokens share with other positions ({len(clips)} clips of {clips[0].corpus})"
    png = figures_evidence.positions({name: matrix for name, (matrix, _) in studied.items()}, notes, seconds, title)
    return Drawn(png, {"networks": {name: told for name, (_, told) in studied.items()}})


def draw_features(folder: Path, experiment: Experiment, cache: Path, *, method: str = "pca") -> Drawn:
    """Teacher's and student's features of the test part of the fold that a run was trained on.

    Args:
        folder: run of one fold with a stage teacher.
        experiment: corpus and data; protocol, fold and seed are the run's own.
        cache: of images.
        method: of `feature_map.project`.

    Raises:
        ConfigError: the run was not trained on that corpus as it is here.
    """
    networks = {name: runs.read(folder, name) for name in dict.fromkeys(("teacher", runs.last_stage(folder)))}
    teacher = networks["teacher"]
    wanted = replace(experiment, protocol=teacher.protocol, seed=teacher.seed)
    fold = next((one for one in wanted.folds(wanted.material()) if one.index == teacher.fold), None)
    if fold is None or not teacher.is_of(fold):
        raise ConfigError(f"{folder}: was not trained on fold {teacher.fold} of {wanted.corpus} as it lies there")
    data = dataset.load(fold.test, teacher.labels, teacher.features, teacher.seed, cache)
    found = {name: feature_map.features_of(one, data.images) for name, one in networks.items()}
    points, names = feature_map.project(found, method)
    title = (
        f"Features of {len(data.targets)} test samples of {wanted.corpus}, protocol {fold.protocol}, fold {fold.index}"
    )
    png = figures_evidence.features(points, data.targets, list(teacher.labels), names, title, fold.warning)
    return Drawn(png, {"samples": len(data.targets), "mean_absolute_difference": feature_map.distances(found)})


def draw_plane(rows: Sequence[Mapping[str, Any]], corpora: Sequence[str]) -> Drawn:
    """Accuracy against multiply-adds of everything that has a row on these corpora, the paper's own figures hollow."""
    found = cost_plane.of_corpora(rows, corpora)
    warning = PAPER_WARNING if any("paper" in panels for panels in found["panels"].values()) else None
    return Drawn(figure_plane.draw(**found, warning=warning), found)


def draw_confusion(file: Path) -> Drawn:
    """Confusion matrix of a row of results."""
    row = _row(file)
    png = figures.confusion(row["confusion"], row["labels"], report.title_of(row), row["warning"])
    return Drawn(png, {"confusion": row["confusion"], "labels": row["labels"]})


def draw_coverage(results: Path) -> Drawn:
    """How good the surest answers are, of networks whose rows are complete.

    Raises:
        ConfigError: no tested fold is kept there of a network under an honest protocol with all its folds.
    """
    found = groups.evidence(tested.kept(results))
    shown = group_tables.chosen(found["thresholds"], group_tables.NETWORKS)
    if not shown:
        raise ConfigError(f"{results}: no complete row of a network; add folds with feltone evaluate RUN --results")
    panels: dict[str, dict[str, Any]] = {}
    for one in shown:
        panels.setdefault(f"{one['corpus']} {one['protocol']}", {})[one["model"]] = one["surest"]
    return Drawn(figures_evidence.coverage(panels, "What answering only when sure buys"), found)


def _row(file: Path) -> dict[str, Any]:
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{file}: is no row of results ({fault})") from fault
    if not isinstance(row, dict) or not {"confusion", "labels", "model", "warning"} <= set(row):
        raise ConfigError(f"{file}: is no row of results; name one of results/accuracy/*.json")
    return row


def _named(clips: Sequence[Clip], name: str | None) -> Clip:
    if not clips:
        raise ConfigError("there are no clips; name a corpus with recordings")
    if name is None:
        return clips[len(clips) // 2]
    found = [clip for clip in clips if name in (clip.name, clip.key)]
    if not found:
        raise ConfigError(f"clip '{name}' is not in {clips[0].corpus}; one that is: {clips[0].name}")
    return found[0]


def _patch(one: Trained) -> str:
    height, width = one.vit.config.patch
    return f"{height}×{width}"
