"""The recogniser as scikit-learn knows estimators: a classifier, and a transformer for a head of one's own.

    from feltone.doors.estimator import EmotionRecognizer

    EmotionRecognizer().predict(["a.wav", "b.wav"])
    make_pipeline(EmotionRecognizer(), LogisticRegression()).fit(paths, labels)

It comes trained: `fit` learns nothing, and everything works without it.
"""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from feltone import audio
from feltone.errors import AudioError, ConfigError, FeltoneError, MissingExtraError
from feltone.recognizer import Prediction, Recognizer, from_model

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
except ImportError:
    raise MissingExtraError("the estimator", "sklearn") from None

ON_ERRORS = ("raise", "nan")
MARGIN_SECONDS = 1  # of a waveform beyond what is recognised, so that resampling does not hear its cut
T = TypeVar("T")


class EmotionRecognizer(ClassifierMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Emotion of recordings: their labels and probabilities (`predict`, `predict_proba`), or embeddings (`transform`).

    `X` is everywhere a list, array or series with one recording per item: a path, the bytes of an encoded file, or a
    waveform (an array of samples, or samples x channels). As for `feltone.load()(...)`, the first `clip_seconds` count.

    Args:
        model: None for the default one; as for `feltone.load`.
        precision: "fp32" or "int8".
        sample_rate: of waveforms in `X`, in Hz; files say theirs.
        errors: what to do where recordings cannot be recognised: "raise" one `AudioError` that names them all, or
            "nan" for rows of NaN, and None as their label.
        workers: recordings at once; None for one per core.

    Attributes:
        classes_: labels in the order of the columns of `predict_proba`.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        precision: str = "fp32",
        sample_rate: int = 16_000,
        errors: str = "raise",
        workers: int | None = None,
    ) -> None:
        self.model = model
        self.precision = precision
        self.sample_rate = sample_rate
        self.errors = errors
        self.workers = workers

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - the signature is scikit-learn's
        """Learn nothing; raises `ArtifactError` or `ConfigError` where the model or a parameter is not to be used."""
        self._recognizer()
        if self.errors not in ON_ERRORS:
            raise ConfigError(f"errors='{self.errors}' is not known; known: {', '.join(ON_ERRORS)}")
        return self

    @property
    def classes_(self) -> NDArray[np.str_]:
        """Labels, in the order of the model's outputs."""
        return np.array(self._recognizer().labels.names)

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels (n,); with `errors="nan"` objects, of which None stands for what cannot be recognised."""
        labels = self._each(X, lambda found: found.label)
        return np.array(labels, dtype=object if self.errors == "nan" else self.classes_.dtype)

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities (n, classes)."""
        return _rows(self._each(X, lambda found: list(found.scores.values())), len(self._recognizer().labels))

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embeddings (n, width): what the model knows of a recording before it decides."""
        return _rows(self._each(X, lambda found: found.embedding), self._width())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Names of the columns of `transform`."""
        return np.array([f"embedding{k}" for k in range(self._width())], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit, tags.no_validation = False, True
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_loaded"}

    def _width(self) -> int:
        return int(self._recognizer().artifact.description["model"]["token_width"])

    def _recognizer(self) -> Recognizer:
        wanted = self.model, self.precision
        if getattr(self, "_loaded", (None,))[0] != wanted:  # never loaded, or parameters were set since
            self._loaded = wanted, from_model(self.model, precision=self.precision, threads=1)
        return self._loaded[1]

    def _each(self, X: Any, take: Callable[[Prediction], T]) -> list[T | None]:
        """What is taken of each prediction; None for a recording that cannot be recognised, if that is no error."""
        recognize = self.fit(X)._recognizer()
        sources = (_source(item, self.sample_rate, recognize.features.clip_seconds) for item in _items(X))
        taken: list[T | None] = []
        failed = []
        for position, (_, found) in enumerate(recognize.files(sources, workers=self.workers)):
            if isinstance(found, FeltoneError):
                failed.append(f"[{position}] {found}")
            taken.append(None if isinstance(found, FeltoneError) else take(found))
        if failed and self.errors == "raise":
            raise AudioError(f"{len(failed)} of {len(taken)} recordings cannot be recognised: {'; '.join(failed)}")
        return taken


def _items(X: Any) -> Iterable[Any]:
    """The recordings in what scikit-learn and its users call X: one per item, or the only column of a table."""
    if isinstance(X, str | Path | bytes):
        raise ConfigError(f"{X!r:.60}: one recording, where a list of them is needed; write [...] around it")
    table = X.to_numpy() if hasattr(X, "columns") else X  # a frame iterates over the names of its columns
    if getattr(table, "ndim", 1) == 2 and table.dtype.kind not in "if":
        if table.shape[1] != 1:
            raise ConfigError(f"a table of {table.shape[1]} columns; give the one that holds the recordings")
        return list(table[:, 0])
    return list(table)


def _source(item: Any, sample_rate: int, seconds: float) -> audio.Source:
    """A recording as `audio` opens it: waveforms become the bytes of a file, so that all go one way."""
    if isinstance(item, str | Path | bytes):
        return item
    samples = np.asarray(item)
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "if":
        kind = type(item).__name__
        raise ConfigError(f"{kind}: not a path, bytes, or a waveform of shape (samples,) or (samples, channels)")
    if samples.dtype.kind == "i":
        samples = samples / -float(np.iinfo(samples.dtype).min)
    file = io.BytesIO()
    kept = samples[: int((seconds + MARGIN_SECONDS) * sample_rate)].astype(np.float32)
    soundfile.write(file, kept, sample_rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def _rows(rows: list[Any | None], width: int) -> NDArray[np.float32]:
    table = np.full((len(rows), width), np.nan, np.float32)
    for position, row in enumerate(rows):
        if row is not None:
            table[position] = row
    return table
