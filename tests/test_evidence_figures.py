"""Figures of the evidence: what they show is what was computed, and a wrong request is one clear line."""

import doctest
import importlib
import io
import json
import re
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image

import pages
from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.files import write_json
from feltone.lab import corpora, cost_plane, feature_map, figures, positions, study_tables, trained
from feltone.lab.corpora import Clip
from feltone.lab.evidence_figures import draw_attention, draw_confusion, draw_features, draw_plane, draw_positions
from feltone.lab.experiment import Experiment
from feltone.lab.models import build, variant
from feltone.lab.protocols import PAPER_WARNING
from feltone.lab.published import EMOBOX
from feltone.lab.recipes import Recipe
from feltone.lab.training.folder import save_weights, settings
from feltone.lab.training.machine import Machine
from feltone.lab.training.stages import three_stages
from test_tables import made_row

ROOT = Path(__file__).parents[1]


def made_run(
    folder: Path, data: Path, teacher: str = "teacher", student: str = "student", protocol: str = "clean"
) -> Path:
    """A run as training leaves it, with weights drawn instead of learnt."""
    wanted = Experiment("emodb", data, protocol)
    (fold,) = wanted.folds(wanted.material())
    recipe = Recipe("toy", three_stages(teacher, student, epochs=1))
    write_json(folder / "settings.json", settings(recipe, fold, wanted.material().labels, 0, Machine()))
    for seed, stage in enumerate(recipe.stages):
        save_weights(
            build(variant(stage.learner), len(wanted.material().labels), seed), folder / f"{stage.name}.safetensors"
        )
    return folder


@pytest.fixture(scope="module")
def run(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("run"), synthetic_emodb)


@pytest.fixture(scope="module")
def squares(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("squares"), synthetic_emodb, "teacher-16x16", "student-16x16")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def clips(synthetic_emodb: Path) -> list[Clip]:
    return corpora.read("emodb", synthetic_emodb)[::11]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is written on the figures a test draws."""
    written: list[str] = []
    save = matplotlib.figure.Figure.savefig

    def remember(figure: matplotlib.figure.Figure, *arguments: object, **named: object) -> None:
        written.extend(text.get_text() for text in figure.findobj(matplotlib.text.Text))
        save(figure, *arguments, **named)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", remember)
    return written


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as picture:
        picture.verify()
        return picture.size


@pytest.mark.parametrize(
    "module", [cost_plane, feature_map, positions, study_tables], ids=lambda module: module.__name__
)
def test_the_examples_in_the_docstrings_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0


def test_a_trained_network_is_read_as_it_was_saved(run: Path) -> None:
    found = trained.read(run, "student")
    saved = build(variant("student"), 7, 2)
    assert all(torch.equal(a, b) for a, b in zip(found.network.parameters(), saved.parameters(), strict=True))
    assert (found.recipe, found.protocol, found.fold, found.seed, len(found.labels)) == ("toy", "clean", 1, 0, 7)
    initial = trained.read(run, "matching", initial=True)
    assert torch.equal(initial.network.classifier.weight, build(variant("student"), 7, 0).classifier.weight)


def test_what_is_not_there_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its stages: teacher, matching, student"):
        trained.read(run, "pupil")
    with pytest.raises(ConfigError, match="name a folder such as RUN/seed-0/fold-1"):
        trained.read(run.parent, "teacher")
    (tmp_path / "settings.json").write_bytes((run / "settings.json").read_bytes())
    with pytest.raises(ConfigError, match=r"teacher\.safetensors: is not there yet"):
        trained.read(tmp_path, "teacher")


def test_attention_shows_both_shapes_of_patches_with_what_was_measured(
    run: Path, squares: Path, clips: list[Clip], cache: Path, texts: list[str]
) -> None:
    ticks: list[int] = []
    drawn = draw_attention(
        [run, squares], clips, cache, clip=clips[1].name, progress=lambda done, total: ticks.append(done)
    )
    assert size(drawn.png)[0] > 1000 and len(ticks) == 2 * len(clips)
    assert set(drawn.numbers["studies"]) == {"128×1 patches", "16×16 patches"}
    for values in drawn.numbers["agreement"].values():
        assert values[0] is None and all(f"r = {value:.2f}" in texts for value in values[1:])
    assert any(clips[1].key in text for text in texts)
    assert {"original", "noise", "shift", "speed", "another clip"} <= set(texts)
    assert json.loads(json.dumps(drawn.numbers, allow_nan=False)) == drawn.numbers


def test_attention_of_one_run_without_the_study_is_quick(
    run: Path, clips: list[Clip], cache: Path, texts: list[str]
) -> None:
    drawn = draw_attention([run], clips, cache, stage="student", with_study=False)
    assert not drawn.numbers["studies"] and "another clip" not in texts
    assert drawn.numbers["clip"] == clips[len(clips) // 2].key


def test_attention_refuses_what_cannot_stand_side_by_side(run: Path, clips: list[Clip], cache: Path) -> None:
    with pytest.raises(ConfigError, match="patches of the same shape, 128×1"):
        draw_attention([run, run], clips, cache)
    with pytest.raises(ConfigError, match="clip 'other' is not in emodb; one that is"):
        draw_attention([run], clips, cache, clip="other")


def test_a_student_knows_positions_by_content_alone_and_a_teacher_by_itself(
    run: Path, clips: list[Clip], cache: Path, texts: list[str], synthetic_emodb: Path
) -> None:
    """The networks are untrained: it is their architecture that tells."""
    some = corpora.read("emodb", synthetic_emodb)[::2]
    drawn = draw_positions(run, some, cache, without=run)
    found = drawn.numbers["networks"]
    assert len(found) == 5 and set(found) <= set(texts)
    assert found["its teacher"]["r2_shuffled"] > 0.5
    assert all(told["r2_shuffled"] < 0.05 for told in found.values() if told["variant"] == "student")
    assert f"{found['its teacher']['r2']:.2f}" in study_tables.positions(drawn.numbers)


def test_a_student_treats_its_patches_as_a_set(run: Path, rng_images: np.ndarray) -> None:
    """Columns in another order give the same tokens in that order: no training can teach such a network positions."""
    student, order = trained.read(run, "student"), np.random.default_rng(1).permutation(128)
    tokens = positions.tokens_of(student, rng_images)
    np.testing.assert_allclose(positions.tokens_of(student, rng_images[:, :, order]), tokens[:, order], atol=1e-4)
    teacher = trained.read(run, "teacher")
    moved = positions.tokens_of(teacher, rng_images[:, :, order]) - positions.tokens_of(teacher, rng_images)[:, order]
    assert np.abs(moved).max() > 0.1


@pytest.fixture
def rng_images() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(2, 128, 128)).astype(np.float32)


def test_a_probe_reads_what_is_written_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 40, 8))
    lengths = rng.integers(20, 40, size=60).tolist()
    written = noise.copy()
    for k, length in enumerate(lengths):
        written[k, :length, 3] = np.arange(length) - (length - 1) / 2
    assert positions.probe(noise, lengths) < 0.05
    assert positions.probe(written, lengths) > 0.3  # a strong penalty shrinks what it reads from few tokens


def test_positions_are_studied_on_slices_and_on_enough_clips(
    run: Path, squares: Path, clips: list[Clip], cache: Path
) -> None:
    with pytest.raises(ConfigError, match=r"patches of \(16, 16\)"):
        positions.study(trained.read(squares, "student"), clips, cache)
    with pytest.raises(ConfigError, match="3 clips are too few"):
        positions.study(trained.read(run, "student"), clips[:3], cache)


def test_similarity_is_symmetric_and_equal_positions_are_alike() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(5, 6, 4))
    tokens[:, 3] = tokens[:, 1]
    found = positions.similarity(tokens)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert found[1, 3] == pytest.approx(1) and np.abs(found).max() <= 1 + 1e-9


@pytest.mark.parametrize("method", feature_map.METHODS)
def test_features_are_of_the_test_part_and_carry_its_warning(
    method: str, synthetic_emodb: Path, tmp_path: Path, cache: Path, texts: list[str]
) -> None:
    leaky = made_run(tmp_path, synthetic_emodb, protocol="paper")
    drawn = draw_features(leaky, Experiment("emodb", synthetic_emodb, ""), cache, method=method)
    assert drawn.numbers["samples"] == 45 and drawn.numbers["mean_absolute_difference"]["student"] > 0
    assert any(PAPER_WARNING[:40] in " ".join(text.split()) for text in texts)
    assert {"anger", "boredom", "teacher", "student"} <= set(texts)


def test_features_of_another_corpus_than_the_run_knows_are_refused(
    run: Path, synthetic_emodb: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "emodb").mkdir()
    for file in sorted((synthetic_emodb / "emodb").iterdir())[1:]:
        (tmp_path / "emodb" / file.name).symlink_to(file)
    with pytest.raises(ConfigError, match="was not trained on fold 1 of emodb as it lies there"):
        draw_features(run, Experiment("emodb", tmp_path, ""), cache)
    with pytest.raises(ConfigError, match="method 'umap' is not known; known: pca, tsne"):
        draw_features(run, Experiment("emodb", synthetic_emodb, ""), cache, method="umap")


def test_projection_puts_the_teacher_on_its_own_axes_and_equal_features_on_the_same_spot() -> None:
    teacher = np.random.default_rng(0).normal(size=(20, 8)) * np.arange(1, 9)
    points, names = feature_map.project({"teacher": teacher, "student": teacher.copy(), "far": teacher + 5})
    np.testing.assert_array_equal(points["teacher"], points["student"])
    assert points["teacher"].var(0)[0] >= points["teacher"].var(0)[1] and "1st component" in names[0]
    assert feature_map.distances({"teacher": teacher, "student": teacher, "far": teacher + 5}) == {
        "student": 0.0,
        "far": 5.0,
    }


def test_the_plane_holds_every_row_with_a_cost_and_the_published_ones_under_paper_alone(texts: list[str]) -> None:
    facts = {"macs": 3e8, "parameters": 1, "warning": None}
    rows = [
        made_row(**facts, protocol="clean"),
        made_row(**facts, model="septr", recipe="septr"),
        made_row(**facts, model="teacher", folds=5),  # three are missing
        made_row(**facts | {"macs": None}, model="compare-svm", recipe="compare-svm"),
        made_row(**facts, corpus="savee"),
    ]
    drawn = draw_plane(rows, ["emodb"]).numbers
    panels = drawn["panels"]["emodb"]
    assert list(panels) == ["paper", "clean", "emobox"]
    assert {(p["name"], p["wa"]) for p in panels["paper"]} >= {("septr", 0.9275), ("student", 0.9976)}
    assert all(point["published"] for point in panels["paper"])
    assert [point["name"] for point in panels["emobox"]] == ["septr"]
    assert drawn["levels"]["emodb"] == {
        "paper": {},
        "clean": {},
        "emobox": {"compare-svm": 0.8321, EMOBOX[0].model: 0.8314},
    }
    assert {"compare-svm", EMOBOX[0].model} <= set(texts)
    assert any(PAPER_WARNING[:40] in " ".join(text.split()) for text in texts) and "hollow: published" in texts
    assert "WA" in texts
    assert set(draw_plane(rows, ["savee", "emodb"]).numbers["panels"]) == {"savee", "emodb"}


def test_the_plane_shows_what_listeners_heard_and_that_audio_is_reconstructed(texts: list[str]) -> None:
    draw_plane([made_row(corpus="crema-d", audio="reconstructed", macs=1e9, parameters=1)], ["crema-d"])
    assert {"listeners, per vote", "WA (audio: reconstructed)"} <= set(texts)
    with pytest.raises(ConfigError, match="nothing is known of its accuracy"):
        draw_plane([], ["tess"])


def test_the_command_draws_and_writes_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = next((ROOT / "results" / "accuracy").glob("*.json"))
    picture = tmp_path / "x.png"
    assert cli.run(["figure", "confusion", str(row), "--out", str(picture), "--numbers", str(tmp_path / "x.json")]) == 0
    told = json.loads((tmp_path / "x.json").read_text())
    assert (
        size(picture.read_bytes())[0] > 500 and told["labels"] and set(told["origin"]) == {"command", "commit", "date"}
    )
    assert draw_confusion(row).png == picture.read_bytes()
    assert cli.run(["figure", "plane", "--corpus", "emodb", "--rows", str(row.parent), "--out", str(picture)]) == 0
    capsys.readouterr()
    for wrong, fault in (
        (["figure", "confusion", str(row), "--out", "x.jpg"], "end in .png"),
        (["figure", "confusion", str(tmp_path / "x.json"), "--out", "x.png"], "is no row of results"),
        (["figure", "confusion", str(tmp_path / "none.json"), "--out", "x.png"], "is no row of results"),
        (["figure", "positions", str(tmp_path), "--corpus", "none", "--data", ".", "--out", "x.png"], "not known"),
    ):
        assert cli.run(wrong) == 2
        assert fault in capsys.readouterr().err


def test_the_command_draws_what_runs_show(
    run: Path, synthetic_emodb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FELTONE_DATA", str(synthetic_emodb))
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    for verb, options in (("attention", ["--no-study"]), ("features", ["--method", "pca"])):
        picture = tmp_path / f"{verb}.png"
        assert cli.run(["figure", verb, str(run), "--corpus", "emodb", *options, "--out", str(picture)]) == 0
        assert size(picture.read_bytes())[0] > 500


def test_a_picture_is_drawn_again_when_its_numbers_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "results")
    pictures = importlib.import_module("pictures")
    drawn = figures.confusion([[3, 1], [0, 4]], ["anger", "joy"], "x")
    picture = pictures.Picture(tmp_path / "x.png", {"confusion": [[3, 1], [0, 4]]}, lambda: drawn)
    assert picture.stale
    picture.write()
    assert not picture.stale
    assert picture._replace(numbers={"confusion": [[4, 0], [0, 4]]}).stale
    with Image.open(picture.file) as kept, Image.open(io.BytesIO(drawn)) as whole:
        np.testing.assert_array_equal(kept.convert("RGB"), whole.convert("RGB"))


def test_every_picture_of_the_evidence_is_shown_in_a_document() -> None:
    shown = {
        name
        for page in pages.documents()
        for name in re.findall(r"results/figures/([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {file.name for file in (ROOT / "results" / "figures").iterdir()}
