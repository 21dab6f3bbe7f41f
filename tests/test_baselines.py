"""Baselines: rows like a network's, decisions that are the classifier's own, vectors kept by what they depend on."""

import builtins
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from encoders import save_tiny_encoder
from feltone import audio
from feltone.doors import cli
from feltone.errors import ConfigError, MissingExtraError
from feltone.features import DEFAULT
from feltone.lab import baselines, corpora, dataset, protocols
from feltone.lab.baselines import (
    SAMPLE_RATE,
    Baseline,
    Hearing,
    compare_svm,
    functionals,
    probabilities,
    regression,
    result_of,
    support_vectors,
    vector_of,
)
from feltone.lab.probe import encoder, probe
from feltone.lab.protocols import Sample
from feltone.lab.tested import FoldResult, row_of

LOUD = Hearing("loudness", {"of": "tests"}, lambda waveform: np.array([np.abs(waveform).mean(), len(waveform)], "f4"))


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


@pytest.fixture(scope="module")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wav2vec 2.0 of three layers with random weights, as `save_pretrained` leaves one."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny_wav2vec2"
    return save_tiny_encoder("Wav2Vec2Model", folder, width=16, layers=3, inner=24)


@pytest.fixture(scope="module")
def small_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper, which fills every recording up to half a minute."""
    folder = tmp_path_factory.mktemp("encoders") / "whisper"
    sizes = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 24}
    unheard = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 24, "vocab_size": 60}
    tokens = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    config = transformers.WhisperConfig(**sizes, **unheard, **tokens, num_mel_bins=80)
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("classes", [2, 4, 7])
@pytest.mark.parametrize("classifier", [support_vectors, regression])
def test_the_largest_probability_is_the_classifiers_own_decision(classes: int, classifier: object) -> None:
    rng = np.random.default_rng(classes)
    targets = np.arange(40 * classes) % classes
    vectors = (rng.standard_normal((classes, 12))[targets] + 2 * rng.standard_normal((len(targets), 12))).astype("f4")
    fitted = make_pipeline(StandardScaler(), classifier(0)).fit(vectors, targets)
    unseen = 2 * rng.standard_normal((300, 12)).astype("f4")
    found = probabilities(fitted, unseen)
    assert found.shape == (300, classes) and np.allclose(found.sum(1), 1)
    assert (found.round(6).argmax(1) == fitted.predict(unseen)).all()


def test_functionals_are_opensmiles_and_finite_even_of_silence() -> None:
    import opensmile

    heard = functionals()
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
    waveform = noise(2 * SAMPLE_RATE)
    expected = smile.process_signal(waveform, SAMPLE_RATE).to_numpy(np.float32)[0]
    assert np.array_equal(heard.vector(waveform), expected) and len(expected) == 6_373
    assert np.isfinite(heard.vector(np.zeros(SAMPLE_RATE, np.float32))).all()


def test_a_baseline_makes_the_row_that_a_network_makes(synthetic_emodb: Path, tmp_path: Path) -> None:
    clips = corpora.read("emodb", synthetic_emodb)
    folds = protocols.split("speaker", clips, seed=0)
    loud = Baseline("loud", LOUD, regression)
    done = [result_of(loud, "emodb", f, len(folds), seed=0, cache=tmp_path) for f in folds]
    row = row_of([FoldResult.read(_written(one, tmp_path)) for one in done])
    assert row["folds_run"] == [1, 2, 3, 4] and row["n_test"] == len(clips)
    assert row["leakage"] == {"same_recording": 0.0, "same_speaker": 0.0, "same_sentence": 1.0}
    assert row["model"] == "loudness" and row["parameters"] == 7 * 2 + 7 and row["macs"] is None
    assert row["wa"]["mean"] > 2 / 7  # EmoDB's babble differs in level and length
    assert done[0].row_name == "emodb__speaker__loudness__loud.json"


def _written(one: FoldResult, folder: Path) -> Path:
    file = folder / f"fold-{one.predictions.fold}.json"
    file.write_text(one.to_json(), encoding="utf-8")
    return file


def test_nothing_of_the_test_part_reaches_the_fit(synthetic_emodb: Path, tmp_path: Path) -> None:
    """Other test clips, or other test labels, change nothing about what is said of a clip; nor do perturbed copies."""
    (fold,) = protocols.clean(corpora.read("emodb", synthetic_emodb), 0)
    loud, of = Baseline("loud", LOUD, support_vectors), "emodb"
    originals = tuple(sample for sample in fold.train if sample.copy == "original")
    assert len(originals) < len(fold.train)
    whole = result_of(loud, of, fold, 1, seed=0, cache=tmp_path)
    fewer = result_of(loud, of, replace(fold, train=originals, test=fold.test[:3]), 1, seed=0, cache=tmp_path)
    assert np.array_equal(whole.predictions.probabilities[:3], fewer.predictions.probabilities)


def test_where_copies_are_tested_they_are_learnt_and_heard_as_a_network_hears_them(
    synthetic_emodb: Path, tmp_path: Path
) -> None:
    (fold,) = protocols.paper(corpora.read("emodb", synthetic_emodb), 0)
    heard: dict[bytes, int] = {}

    def vector(waveform: np.ndarray) -> np.ndarray:
        heard[waveform.tobytes()] = len(heard)
        return np.array([np.abs(waveform).mean(), len(waveform)], np.float32)

    listening = Baseline("listening", Hearing("listening", {}, vector), regression)
    result = result_of(listening, "emodb", fold, 1, seed=3, cache=tmp_path)
    assert len(heard) == len(fold.train) + len(fold.test) and result.leakage.same_recording > 0.9
    for sample in fold.test[:8]:
        clip = sample.clip
        as_recorded = audio.load(clip.path, SAMPLE_RATE, start=clip.start, end=clip.end)
        assert dataset.waveform_of_copy(as_recorded, clip, sample.copy, DEFAULT, 3).tobytes() in heard


def test_a_vector_is_computed_once_and_anew_where_anything_it_depends_on_differs(
    synthetic_emodb: Path, tmp_path: Path
) -> None:
    asked = []

    def vector(waveform: np.ndarray) -> np.ndarray:
        asked.append(len(waveform))
        return np.ones(1, np.float32)

    clip, other = corpora.read("emodb", synthetic_emodb)[:2]
    hearing = Hearing("counting", {"version": 1}, vector)
    for one in (clip, clip, other, replace(clip, end=0.25), replace(clip, name="elsewhere")):
        vector_of(Sample(one, "original"), hearing, 0, tmp_path)
    vector_of(Sample(clip, "original"), replace(hearing, settings={"version": 2}), 0, tmp_path)
    for copy, seed in (("noise", 0), ("noise", 0), ("noise", 1), ("shift", 0)):
        vector_of(Sample(clip, copy), hearing, seed, tmp_path)
    whole = len(audio.load(clip.path))
    assert asked[:4] == [whole, len(audio.load(other.path)), SAMPLE_RATE // 4, whole]
    assert asked[4:6] == [whole, whole] and len(asked) == 7


@torch.inference_mode()
def test_a_probe_hears_the_mean_over_time_of_the_layer_asked_for(small_encoder: Path) -> None:
    network = transformers.Wav2Vec2Model.from_pretrained(small_encoder).eval()
    waveform = noise(SAMPLE_RATE)
    normal = torch.from_numpy((waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7))[None]
    expected = network(normal, output_hidden_states=True)
    last = encoder(str(small_encoder), None).vector(waveform)
    assert np.allclose(last, expected.last_hidden_state[0].mean(0), atol=1e-5)
    for layer in (0, 2, 3):
        found = encoder(str(small_encoder), layer).vector(waveform)
        assert np.allclose(found, expected.hidden_states[layer][0].mean(0), atol=1e-5)
    assert last.shape == (16,) and last.dtype == np.float32


@torch.inference_mode()
def test_of_whisper_the_encoders_states_of_the_recording_alone_are_averaged(small_whisper: Path) -> None:
    heard, network = encoder(str(small_whisper), None), transformers.WhisperModel.from_pretrained(small_whisper).eval()
    waveform = noise(3 * SAMPLE_RATE)
    given = transformers.WhisperFeatureExtractor()(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    states = network.get_encoder()(given.input_features).last_hidden_state[0]
    assert len(states) == 1_500 and np.allclose(heard.vector(waveform), states[:150].mean(0), atol=1e-5)


def test_a_probe_tells_what_it_is_made_of(small_encoder: Path, tmp_path: Path) -> None:
    heard = encoder(str(small_encoder), None)
    network = transformers.Wav2Vec2Model.from_pretrained(small_encoder)
    assert heard.parameters == sum(value.numel() for value in network.parameters())
    assert heard.weights == str(small_encoder) and heard.name == "probe-tiny-wav2vec2"
    frames, D, hidden = 200, 16, 24  # of four seconds
    layers = 3 * frames * (4 * D * D + 2 * frames * D + 2 * D * hidden)
    assert layers < heard.macs < 3 * layers  # the rest are the convolutions before them
    with torch.no_grad():
        network.encoder.layers[0].attention.q_proj.weight.add_(1)
    network.save_pretrained(tmp_path / "tiny_wav2vec2")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "tiny_wav2vec2")
    other = encoder(str(tmp_path / "tiny_wav2vec2"), None)
    assert other.settings["weights_sha256"] != heard.settings["weights_sha256"]


def test_what_cannot_be_a_probe_is_refused_in_one_line(small_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"layer 4: .* has 0 .* to 3"):
        probe(str(small_encoder), 4)
    with pytest.raises(ConfigError, match="cannot be had") as absent:
        probe(str(tmp_path / "nowhere"))
    assert "\n" not in str(absent.value)


@pytest.mark.parametrize("library", ["opensmile", "transformers"])
def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    original = builtins.__import__

    def without(name: str, *args: object, **options: object) -> object:
        if name.partition(".")[0] == library:
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'feltone\[rivals\]'"):
        compare_svm() if library == "opensmile" else probe("anything")


def test_the_verb_writes_rows_that_grow_fold_by_fold(
    synthetic_emodb: Path,
    small_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    common = ["--corpus", "emodb", "--data", str(synthetic_emodb), "--protocol", "speaker", "--json"]
    common += ["--out", str(tmp_path / "report"), "--results", str(tmp_path / "results")]
    for fold in ("2", "1"):
        command = ["baseline", "probe", "--encoder", str(small_encoder), "--layer", "1", *common, "--fold", fold]
        assert cli.run(command) == 0
        row = json.loads(capsys.readouterr().out)
    file = tmp_path / "results" / "emodb__speaker__probe-tiny-wav2vec2__probe-layer-1.json"
    assert row["folds_run"] == [1, 2] and json.loads(file.read_text()) == row
    assert row["weights"] == str(small_encoder) and row["macs"] > 0
    monkeypatch.setattr(baselines, "functionals", lambda: replace(LOUD, name="compare-svm"))
    assert cli.run(["baseline", "compare-svm", *common, "--fold", "1"]) == 0
    assert (tmp_path / "results" / "emodb__speaker__compare-svm.json").is_file()
    assert "not countable" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [(["probe"], "name a speech model with --encoder"), (["compare-svm", "--layer", "1"], "are options of probe")],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], message: str, synthetic_emodb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["baseline", *options, "--corpus", "emodb", "--data", str(synthetic_emodb), "--protocol", "clean"]
    assert cli.run(command) == 2
    assert message in capsys.readouterr().err
