"""Exported files say what Feltone says, say so about themselves, and are refused where they would not."""

import inspect
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile

import feltone
from feltone import artifact, attention, audio
from feltone.doors.export import export_model
from feltone.errors import ArtifactError, ConfigError
from feltone.features import DEFAULT, FeatureConfig, log_mel_image
from feltone.lab import portable, trained, waveform_graph
from feltone.lab.corpora import Clip
from feltone.lab.export import OPSET, Origin, export
from feltone.lab.exported import TIMELINE_HOP_SECONDS, Limits, Parity, open_session
from feltone.lab.models import VARIANTS, ModelConfig, build
from feltone.lab.training.folder import save_weights
from feltone.labels import LabelSet
from feltone.recognizer import Recognizer

CLIPS = sorted((Path(feltone.__file__).parent / "clips").glob("*.flac"))
WITHIN = 1e-3  # of a probability: what issue 5 asks of fp32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model in every kind, in one folder."""
    folder = tmp_path_factory.mktemp("exported")
    for kind in portable.KINDS:
        portable.export(artifact.load(), kind, folder, CLIPS, "the bundled clips")
    return folder


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load(threads=1)


@pytest.fixture(scope="module")
def listens(folder: Path) -> onnxruntime.InferenceSession:
    return open_session(str(file_of(folder, "onnx-waveform")))


def file_of(folder: Path, kind: str) -> Path:
    return folder / f"{artifact.DEFAULT_NAME}{portable.KINDS[kind].suffix}"


def heard(session: onnxruntime.InferenceSession, waveforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, over_time = session.run(["probabilities", "attention"], {"waveform": waveforms})
    return probabilities, over_time


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


def agrees(session: onnxruntime.InferenceSession, recognize: Recognizer, waveform: np.ndarray) -> None:
    prediction, (probabilities, _) = recognize.waveform(waveform), heard(session, waveform[None])
    assert np.abs(probabilities[0] - list(prediction.scores.values())).max() < WITHIN
    assert recognize.labels.names[int(probabilities[0].argmax())] == prediction.label


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_from_the_waveform_the_bundled_clips_are_what_feltone_says(
    clip: Path, listens: onnxruntime.InferenceSession, recognize: Recognizer
) -> None:
    agrees(listens, recognize, audio.load(clip))


@pytest.mark.parametrize("samples", [1, 100, 1_600, 63_999, 64_000, 64_001, 96_000])
def test_from_the_waveform_any_length_is_what_feltone_says(
    samples: int, listens: onnxruntime.InferenceSession, recognize: Recognizer
) -> None:
    agrees(listens, recognize, noise(samples))


@pytest.mark.parametrize("corpus", ["emodb", "ravdess", "savee"])
def test_from_the_waveform_real_recordings_are_what_feltone_says(
    corpus: str, corpora_root: Path, listens: onnxruntime.InferenceSession, recognize: Recognizer
) -> None:
    if not (corpora_root / corpus).is_dir():
        pytest.skip(f"needs {corpus} below FELTONE_DATA")
    found = audio.find(corpora_root / corpus)
    for recording in found[:: max(1, len(found) // 12)]:
        agrees(listens, recognize, audio.load(recording))


def test_a_batch_says_of_each_clip_what_the_clip_alone_says(listens: onnxruntime.InferenceSession) -> None:
    both = np.stack([noise(20_000), audio.load(CLIPS[0])[:20_000]])
    together, alone = heard(listens, both), [heard(listens, clip[None]) for clip in both]
    for row, (probabilities, over_time) in enumerate(alone):
        assert np.abs(together[0][row] - probabilities[0]).max() < 1e-5
        assert np.abs(together[1][row] - over_time[0]).max() < 1e-5


def test_what_comes_after_four_seconds_and_how_loud_it_is_do_not_matter(listens: onnxruntime.InferenceSession) -> None:
    clip = np.concatenate([audio.load(CLIPS[0]), audio.load(CLIPS[1])])
    assert len(clip) > 64_000
    expected, _ = heard(listens, clip[None, :64_000])
    for same in (clip, np.concatenate([clip[:64_000], 10 * noise(32_000)]), clip / 1_000):
        assert np.abs(heard(listens, same[None])[0] - expected).max() < 1e-4


def test_attention_over_time_is_feltones_without_smoothing(
    listens: onnxruntime.InferenceSession, recognize: Recognizer
) -> None:
    waveform = audio.load(CLIPS[0])
    mask, patches = recognize.waveform(waveform).attention, recognize.artifact.patches
    expected = attention.over_time(mask, patches, smoothing_columns=0)
    found = heard(listens, waveform[None])[1][0]
    assert np.abs(found - expected).max() < 1e-5 and found.sum() == pytest.approx(1, abs=1e-5)


def images_of(config: FeatureConfig, waveforms: np.ndarray) -> np.ndarray:
    model = waveform_graph.front_end(config, ir=10, opset=OPSET)
    onnx.checker.check_model(model, full_check=True)
    return np.asarray(open_session(model.SerializeToString()).run(None, {"waveform": waveforms})[0])


@pytest.mark.parametrize(
    "config",
    [DEFAULT, FeatureConfig(hop_size=160, window_size=400, fft_size=512, mel_bands=40, max_hz=7_000.0, floor_db=-60.0)],
    ids=["default", "others"],
)
def test_the_front_end_in_the_graph_is_the_definition(config: FeatureConfig) -> None:
    for waveform in (audio.load(CLIPS[0]), noise(70_000), noise(7), np.sin(np.arange(9_000, dtype=np.float32) / 9)):
        assert np.abs(images_of(config, waveform[None])[0] - log_mel_image(waveform, config)).max() < 1e-4


def test_digital_silence_is_an_image_of_exact_zeros_and_spoils_nothing(listens: onnxruntime.InferenceSession) -> None:
    for level in (0, 1e-12):
        assert not images_of(DEFAULT, np.full((2, 5_000), level, np.float32)).any()
    both = np.stack([np.zeros(20_000, np.float32), noise(20_000)])
    probabilities, over_time = heard(listens, both)
    assert np.isfinite(probabilities).all() and np.isfinite(over_time).all()
    assert np.abs(probabilities[1] - heard(listens, both[1:])[0][0]).max() < 1e-5


def test_the_image_files_take_batches(folder: Path, recognize: Recognizer) -> None:
    images = np.stack([recognize.waveform(audio.load(clip)).image for clip in CLIPS[:3]])
    session = open_session(str(file_of(folder, "onnx")))
    assert np.abs(session.run(["probabilities"], {"image": images})[0] - recognize.images(images)[0]).max() < 1e-5


def test_the_image_files_of_a_student_take_merged_padding(tmp_path: Path) -> None:
    recognize = feltone.load("student-emodb", threads=1)
    file = portable.export(recognize.artifact, "onnx", tmp_path, CLIPS[:3], "three clips").file
    images = np.stack([recognize.waveform(audio.load(clip)[:20_000]).image for clip in CLIPS[:3]])
    assert not images[:, :, 50:].any()
    expected = recognize.images(images)
    session = open_session(str(file))
    merged = {"image": images[:, :, :51], "copies": np.full(3, 128 - 50, np.float32)}
    for given in ({"image": images}, merged):
        probabilities, logits = session.run(["probabilities", "logits"], given)
        assert np.abs(probabilities - expected.probabilities).max() < 1e-5
        assert np.abs(logits - expected.logits).max() < 1e-3


def test_sizes(folder: Path) -> None:
    assert file_of(folder, "onnx-int8").stat().st_size <= 2.6e6
    assert {file.name for file in folder.iterdir()} == {
        *(file_of(folder, kind).name for kind in portable.KINDS),
        "export.json",
        "README.md",
    }, "each kind is one file without external data"


@pytest.mark.parametrize("kind", portable.KINDS)
def test_a_file_says_what_it_is(kind: str, folder: Path) -> None:
    sealed, file = artifact.load(), file_of(folder, kind)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(told["labels"]) == list(sealed.labels)
    assert FeatureConfig.from_dict(json.loads(told["features"])) == sealed.features
    assert told["model_card"] == (sealed.folder / "README.md").read_text()
    assert told["licence"] == sealed.description["origin"]["source"]["licence"]
    assert told["artifact_sha256"] == artifact.digest(sealed.folder / artifact.DESCRIPTION)
    default_hop = inspect.signature(Recognizer.segments).parameters["hop"].default
    assert json.loads(told["windowing"])["hop_seconds"] == TIMELINE_HOP_SECONDS == default_hop
    record = json.loads((folder / "export.json").read_text())[file.name]
    assert record["sha256"] == artifact.digest(file) and record["bytes"] == file.stat().st_size
    for key in set(told) - {"model_card"}:
        assert told[key] in (record[key], json.dumps(record[key])), key
    assert file.name in (folder / "README.md").read_text()
    assert b"site-packages" not in file.read_bytes() and b"stack_trace" not in file.read_bytes()


@pytest.mark.parametrize("kind", portable.KINDS)
def test_the_parity_in_a_file_is_the_parity_there_is(kind: str, folder: Path, recognize: Recognizer) -> None:
    session, differences = open_session(str(file_of(folder, kind))), []
    for clip in CLIPS:
        prediction, waveform = recognize(clip), audio.load(clip)
        given = {"image": prediction.image, "waveform": waveform}[portable.KINDS[kind].input.name][None]
        found = session.run(["probabilities"], {session.get_inputs()[0].name: given})[0][0]
        differences.append(np.abs(found - list(prediction.scores.values())).max())
    stored = json.loads(session.get_modelmeta().custom_metadata_map["parity"])
    assert stored["max_probability_difference"] == pytest.approx(max(differences), abs=1e-5)
    assert stored["clips"] == len(CLIPS) and stored["equal_labels"] == 1


@pytest.mark.parametrize("kind", portable.KINDS)
def test_the_golden_input_tells_a_whole_file_from_a_damaged_one(kind: str, folder: Path, tmp_path: Path) -> None:
    file = file_of(folder, kind)
    assert portable.verify(file) < 1e-5
    model = onnx.load(file)
    golden = json.loads(next(entry.value for entry in model.metadata_props if entry.key == "golden"))
    assert max(golden["probabilities"]) < 0.95, "an input that the model is sure of would notice little"
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.raw_data = weights.raw_data[::-1]
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(ArtifactError, match=r"golden input gives .* is allowed; export it again"):
        portable.verify(tmp_path / "damaged.onnx")


def test_what_is_not_an_exported_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    faults = {
        tmp_path / "text.onnx": "not an ONNX graph, or damaged",
        tmp_path / "missing.onnx": "no such file",
        artifact.load().graph(): "not a file of feltone export",
    }
    for file, fault in faults.items():
        with pytest.raises(ArtifactError, match=f"{file.name}: {fault}") as caught:
            portable.verify(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", portable.KINDS)
def test_a_graph_that_is_not_the_network_is_refused_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    sealed = artifact.load()
    other = Path(shutil.copytree(sealed.folder, tmp_path / "other"))
    save_weights(build(trained.sizes(sealed), len(sealed.labels), seed=7), other / "model.safetensors")
    resealed = artifact.seal(other, sealed.description)
    with pytest.raises(ArtifactError, match=r"differs from the network by .*; nothing was written") as caught:
        portable.export(resealed, kind, tmp_path / "out", CLIPS, "the bundled clips")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_limits_hold_for_labels_and_for_probabilities_alike() -> None:
    limits = Limits(max_probability_difference=1e-3, min_equal_labels=0.99)
    assert Parity("x", 100, 0.99, 1e-3).within(limits)
    assert not Parity("x", 100, 0.98, 1e-3).within(limits)
    assert not Parity("x", 100, 1.0, 2e-3).within(limits)
    assert not Parity("x", 100, 1.0, float("nan")).within(limits)


def test_a_folder_that_holds_something_else_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "export.json").write_text("{")
    for folder in (tmp_path, tmp_path / "file", tmp_path / "broken"):
        with pytest.raises(ConfigError, match="choose"):
            portable.export(artifact.load(), "onnx", folder, CLIPS[:1], "one clip")
    assert {path.name for path in tmp_path.rglob("*")} == {"README.md", "file", "broken", "export.json"}
    assert (tmp_path / "README.md").read_text() == "mine"


LABELS = LabelSet(("anger", "neutral", "sadness"))
ORIGIN = Origin(
    name="toy", variant="teacher", corpus="toy", audio="original", recipe={"name": "smoke"}, protocol="clean", fold=1,
    seed=0, train_seconds=1.0, source={"title": "Toy", "licence": "none", "citation": "nobody"}, device="here",
    versions={}, commit="c", command="x", date="2026-01-01",
)  # fmt: skip
OTHERS = {
    "teacher": replace(VARIANTS["teacher"], depth=1),
    "squares": replace(VARIANTS["student-16x16"], depth=1),
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_other_networks_can_be_exported_too(config: ModelConfig, tmp_path: Path) -> None:
    """A stem with coordinates; square patches, whose attention is summed over their rows. Neither merges padding."""
    images = np.random.default_rng(0).random((2, 128, 128), np.float32)
    clips = [Clip("toy", label, Path(f"{label}.wav"), label) for label in LABELS]
    network = build(config, len(LABELS), seed=3).eval()
    sealed = export(network, LABELS, DEFAULT, ORIGIN, clips, images, tmp_path / "model")
    for kind in ("onnx", "onnx-waveform"):
        done = portable.export(sealed, kind, tmp_path / "out", CLIPS[:2], "two clips")
        assert portable.verify(done.file) < 1e-5
    waveform, recognize = audio.load(CLIPS[0]), feltone.load(sealed.folder, threads=1)
    agrees(open_session(str(done.file)), recognize, waveform)
    expected = attention.over_time(recognize.waveform(waveform).attention, config.patches, smoothing_columns=0)
    assert np.abs(heard(open_session(str(done.file)), waveform[None])[1][0] - expected).max() < 1e-5


def test_the_door_compares_on_the_bundled_clips_and_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FELTONE_DATA", raising=False)
    assert export_model(None, "onnx-int8", tmp_path / "out", None, as_json=False) == 0
    shown = capsys.readouterr()
    assert f"{artifact.DEFAULT_NAME}.int8.onnx" in shown.out.replace("\n", "") and "7 of the bundled clips" in shown.out
    assert "next:" in shown.err


def test_the_door_compares_on_emodb_where_it_is_and_prints_one_document(
    tmp_path: Path, synthetic_emodb: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FELTONE_DATA", str(synthetic_emodb))
    assert export_model(None, "onnx", tmp_path / "out", None, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parity"]["recordings"] == "emodb" and told["parity"]["clips"] == 56
    assert told["file"] == str(tmp_path / "out" / f"{artifact.DEFAULT_NAME}.onnx")


def test_the_door_compares_on_what_it_is_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    soundfile.write(tmp_path / "mine" / "a.wav", noise(16_000), 16_000)
    (tmp_path / "mine" / "._a.wav").write_text("what a Mac leaves behind")
    assert export_model(None, "onnx", tmp_path / "out", tmp_path / "mine", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["parity"] | {"max_probability_difference": 0} == {
        "recordings": "mine",
        "clips": 1,
        "equal_labels": 1.0,
        "max_probability_difference": 0,
        "limits": {"max_probability_difference": 1e-3, "min_equal_labels": 1.0},
    }


def test_a_kind_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kind 'tflite' is not known; known: onnx, onnx-int8, onnx-waveform"):
        export_model(None, "tflite", tmp_path / "out", None, as_json=False)
