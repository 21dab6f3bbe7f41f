"""The estimator: what scikit-learn asks of one, and the recogniser's own answers."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import soundfile
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import feltone
from feltone.doors.estimator import EmotionRecognizer
from feltone.errors import ArtifactError, AudioError, ConfigError
from feltone.recognizer import Prediction

CLIPS = sorted((Path(feltone.__file__).parent / "clips").glob("*.flac"))


@pytest.fixture(scope="module")
def expected() -> list[Prediction]:
    recognize = feltone.load(threads=1)
    return [recognize(clip) for clip in CLIPS]


def test_its_answers_are_the_recognisers_in_the_order_asked(expected: list[Prediction]) -> None:
    heard = EmotionRecognizer()
    assert heard.predict(CLIPS).tolist() == [found.label for found in expected]
    chances = heard.predict_proba([str(clip) for clip in reversed(CLIPS)])
    assert chances.tolist() == [list(found.scores.values()) for found in reversed(expected)]
    assert heard.classes_.tolist() == list(expected[0].scores)
    assert (heard.classes_[heard.predict_proba(CLIPS).argmax(1)] == heard.predict(CLIPS)).all()
    embeddings = heard.transform([clip.read_bytes() for clip in CLIPS])
    assert np.array_equal(embeddings, np.stack([found.embedding for found in expected]))
    assert len(heard.get_feature_names_out()) == embeddings.shape[1]
    assert heard.predict_proba([]).shape == (0, 7) and heard.predict([]).shape == (0,)


def test_waveforms_of_any_rate_type_and_number_of_channels_are_heard_as_their_file(tmp_path: Path) -> None:
    files = [soundfile.read(clip, dtype="float32") for clip in CLIPS]
    (rate,) = {rate for _, rate in files}
    waves = [wave for wave, _ in files]
    of_files = EmotionRecognizer().predict_proba(CLIPS)
    heard = EmotionRecognizer(sample_rate=rate)
    assert np.array_equal(heard.predict_proba(waves), of_files)
    assert np.array_equal(heard.predict_proba([np.stack([wave, wave], 1) for wave in waves]), of_files)
    integers = [np.round(wave * 32768).astype(np.int16) for wave in waves]  # as the clips are stored
    assert np.array_equal(heard.predict_proba(integers), of_files)
    long = np.random.default_rng(0).normal(0, 0.1, 9 * 44_100).astype(np.float32)  # beyond what is recognised
    soundfile.write(tmp_path / "long.wav", long, 44_100, subtype="FLOAT")
    of_file = EmotionRecognizer().predict_proba([tmp_path / "long.wav"])
    assert np.array_equal(heard.set_params(sample_rate=44_100).predict_proba([long]), of_file)
    equal_lengths = np.stack([wave[:rate] for wave in waves])  # a matrix is a waveform per row
    assert heard.set_params(sample_rate=rate).predict_proba(equal_lengths).shape == (len(waves), 7)


def test_a_head_on_its_embeddings_is_cross_validated_and_searched() -> None:
    paths, labels = np.array([str(clip) for clip in CLIPS] * 2), np.array(["loud", "calm", "calm"] * 5)[:14]
    piped = make_pipeline(EmotionRecognizer(), StandardScaler(), LogisticRegression())
    chances = cross_val_predict(piped, paths, labels, cv=2, method="predict_proba")
    assert chances.shape == (14, 2) and np.allclose(chances.sum(1), 1)
    search = GridSearchCV(piped, {"emotionrecognizer__precision": ["fp32", "int8"]}, cv=2).fit(paths, labels)
    assert len(search.cv_results_["params"]) == 2 and search.predict(paths[:1]).shape == (1,)
    by_itself = EmotionRecognizer()
    assert (cross_val_predict(by_itself, CLIPS, labels[:7], cv=2) == by_itself.predict(CLIPS)).all()
    assert by_itself.score(CLIPS, by_itself.predict(CLIPS)) == 1.0 and is_classifier(by_itself)


def test_it_is_cloned_set_and_stored_like_any_estimator(tmp_path: Path) -> None:
    heard = EmotionRecognizer(precision="int8", errors="nan", workers=1)
    check_is_fitted(heard)  # it comes trained
    chances = heard.predict_proba(CLIPS[:2])
    assert clone(heard).get_params() == heard.get_params()
    stored = pickle.dumps(heard)
    assert len(stored) < 1000  # its parameters, not the network
    assert np.array_equal(pickle.loads(stored).predict_proba(CLIPS[:2]), chances)
    joblib.dump(heard, tmp_path / "heard.joblib")
    assert np.array_equal(joblib.load(tmp_path / "heard.joblib").predict_proba(CLIPS[:2]), chances)
    other = heard.set_params(precision="fp32").predict_proba(CLIPS[:2])  # loaded anew
    assert np.array_equal(other, EmotionRecognizer().predict_proba(CLIPS[:2])) and not np.array_equal(other, chances)
    with pytest.raises(ArtifactError, match="no such model"):
        EmotionRecognizer(model="no-such").fit(CLIPS)


def test_recordings_that_cannot_be_recognised_are_all_named_or_nan(tmp_path: Path, expected: list[Prediction]) -> None:
    broken, silent = np.array([0.1, np.nan] * 8000, np.float32), np.zeros(16_000, np.float32)
    given = [CLIPS[0], tmp_path / "gone.wav", b"", broken, silent, CLIPS[1]]
    with pytest.raises(AudioError) as caught:
        EmotionRecognizer().predict(given)
    said = str(caught.value)
    assert said.startswith("4 of 6 recordings cannot be recognised: [1] ") and "\n" not in said
    assert all(fault in said for fault in ("gone.wav: no such file", "[2] ", "empty", "[3] ", "NaN", "[4] ", "silent"))
    lenient = EmotionRecognizer(errors="nan")
    assert np.isnan(lenient.predict_proba(given)).all(1).tolist() == [False, True, True, True, True, False]
    assert np.isnan(lenient.transform(given)).any(1).tolist() == [False, True, True, True, True, False]
    assert lenient.predict(given).tolist() == [expected[0].label, None, None, None, None, expected[1].label]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a.wav", "one recording, where a list"),
        (b"RIFF", "one recording, where a list"),
        (np.zeros(16_000), "float64: not a path"),
        ([None], "NoneType: not a path"),
        (np.array([["a.wav", "b.wav"]]), "a table of 2 columns"),
    ],
)
def test_what_is_no_list_of_recordings_is_refused(given: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmotionRecognizer().predict(given)
    with pytest.raises(ConfigError, match="errors='ignore' is not known; known: raise, nan"):
        EmotionRecognizer(errors="ignore").fit([])


def test_tables_of_pandas_go_in_and_come_out(expected: list[Prediction]) -> None:
    pandas = pytest.importorskip("pandas", reason="tables of pandas need pandas")
    frame = pandas.DataFrame({"file": [str(clip) for clip in CLIPS], "age": range(7)}, index=list("abcdefg"))
    labels = [found.label for found in expected]
    assert EmotionRecognizer().predict(frame["file"]).tolist() == labels
    assert EmotionRecognizer().predict(frame[["file"]]).tolist() == labels
    with pytest.raises(ConfigError, match="a table of 2 columns"):
        EmotionRecognizer().predict(frame)
    embeddings = EmotionRecognizer().set_output(transform="pandas").transform(frame["file"])
    assert embeddings.index.equals(frame.index) and embeddings.columns[0] == "embedding0"
    beside = ColumnTransformer([("heard", EmotionRecognizer(), "file"), ("rest", "passthrough", ["age"])])
    assert beside.fit_transform(frame).shape == (7, embeddings.shape[1] + 1)
