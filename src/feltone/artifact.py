"""The model as a folder that can be trusted: graph, labels, features and provenance travel together.

    model.onnx            images -> logits, embedding, attention (fp32)
    model.int8.onnx       the same with 8-bit weights
    model.safetensors     weights for further training
    training.csv          every clip the model has seen: key, label, speaker, sentence
    artifact.json         labels in order, features, sizes, recipe, scores, source, SHA-256 of the other files
    README.md             the model card

Loading executes no code and opens nothing outside the folder. What is missing, altered, misshapen or newer than this
version is refused in one line. What else can be asked of a model is asked by `checks.py`, for `feltone verify`.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feltone import limits
from feltone.errors import ArtifactError, FeltoneError
from feltone.features import FeatureConfig
from feltone.files import write_json
from feltone.labels import LabelSet

SCHEMA = 1
DESCRIPTION = "artifact.json"
WEIGHTS = "model.safetensors"
GRAPHS = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
SHAPE: dict[str, type] = {
    "schema": int,
    "name": str,
    "labels": list,
    "outputs": int,
    "features": dict,
    "files": dict,
}
"""What `artifact.json` must say, and as what; the rest is provenance, which recognition does without."""
SHA256 = re.compile(r"[0-9a-f]{64}")
SHIPPED = Path(__file__).parent / "weights"
DEFAULT_NAME = "residual-emodb-crema-d"


@dataclass(frozen=True)
class Artifact:
    """A verified model folder."""

    folder: Path
    labels: LabelSet
    features: FeatureConfig
    description: dict[str, Any]  # everything in artifact.json

    def graph(self, precision: str = "fp32") -> Path:
        """File of the ONNX graph in a precision; raises `ArtifactError` naming those at hand."""
        file = GRAPHS.get(precision)
        if file is None or file not in self.description["files"]:
            there = ", ".join(name for name, graph in GRAPHS.items() if graph in self.description["files"])
            raise ArtifactError(f"{self.folder}: has no '{precision}' graph; there is {there}")
        return self.folder / file

    @property
    def name(self) -> str:
        """Name the model was given."""
        return str(self.description["name"])

    @property
    def unsure_below(self) -> float:
        """Highest probability below which an answer is unsure; 0 where the model does not say."""
        return float(self.description.get("unsure_below", 0.0))

    @property
    def patches(self) -> tuple[int, int]:
        """Rows and columns of patches that the network's attention is over; they tile the image."""
        model: Any = self.description.get("model")
        try:
            if "patches" in model:
                rows, columns = map(int, model["patches"])
                return rows, columns
            (height, width), (high, wide) = model["image"], model["patch"]  # the first artefacts tell sizes in pixels
            return int(height // high), int(width // wide)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise ArtifactError(f"{self.folder / DESCRIPTION}: does not tell the patches of its network") from None


def find(model: str | Path | None = None) -> Path:
    """Folder of a model: None for the default one; a shipped model's name, a folder, or `hf:owner/model@revision`.

    Raises:
        ArtifactError: there is no such model; the message lists the shipped ones.
        MissingExtraError: `hf:` without `feltone[hub]`.
    """
    name = str(model or DEFAULT_NAME)
    if name.startswith("hf:"):
        from feltone import hub

        return hub.fetch(name.removeprefix("hf:"))
    shipped = SHIPPED / name
    if "/" not in name and (shipped / DESCRIPTION).is_file():
        return shipped
    if (Path(name) / DESCRIPTION).is_file():
        return Path(name)
    if Path(name).is_file():
        raise ArtifactError(
            f"{name}: is a file, and a model is a folder; unpack an archive first, name the folder then"
        )
    known = ", ".join(sorted(path.parent.name for path in SHIPPED.glob(f"*/{DESCRIPTION}")))
    raise ArtifactError(f"{name}: no such model; shipped: {known}; or a folder with {DESCRIPTION}, or hf:owner/model")


def load(model: str | Path | None = None, *, verify: bool = True) -> Artifact:
    """A model folder, checked: schema, labels, features and (unless `verify=False`) the SHA-256 of every file."""
    folder = find(model)
    artifact = described(folder)
    for name, expected in artifact.description["files"].items():
        check_file(folder, name, expected if verify else None)
    return artifact


def described(folder: Path) -> Artifact:
    """What the description of a model folder says, held to its form; the other files are not looked at.

    Raises:
        ArtifactError: not JSON, of a newer schema, something missing or of another kind than it should be, or naming
            files that lie elsewhere.
    """
    file = folder / DESCRIPTION
    _refuse_stray(folder, file)
    description = _read(file)
    for key, kind in SHAPE.items():
        if key not in description:
            raise ArtifactError(f"{file}: says nothing about '{key}'; obtain the model again")
        if not isinstance(description[key], kind):
            raise ArtifactError(f"{file}: '{key}' is no {kind.__name__}; obtain the model again")
        if key == "schema" and description[key] > SCHEMA:
            newer = f"schema {description[key]} is newer than this Feltone reads ({SCHEMA}); upgrade feltone"
            raise ArtifactError(f"{file}: {newer}")
    for name, expected in description["files"].items():
        if Path(name).name != name or "\\" in name or "\0" in name or name in ("", ".", ".."):
            raise ArtifactError(f"{file}: names a file outside the model ({name!r}); do not use this model")
        if not isinstance(expected, str) or not SHA256.fullmatch(expected):
            raise ArtifactError(f"{file}: has no SHA-256 for '{name}'; obtain the model again")
    if not all(isinstance(label, str) for label in description["labels"]):
        raise ArtifactError(f"{file}: 'labels' are not all text; obtain the model again")
    try:
        labels = LabelSet(tuple(description["labels"]))
        features = FeatureConfig.from_dict(description["features"])
    except FeltoneError as fault:
        raise ArtifactError(f"{file}: {fault}") from None
    limit = description.get("unsure_below", 0.0)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit <= 1:
        raise ArtifactError(f"{file}: 'unsure_below' is no number between 0 and 1; obtain the model again")
    if description["outputs"] != len(labels):
        counts = f"{len(labels)} labels for {description['outputs']} outputs"
        raise ArtifactError(f"{file}: {counts}; a label is missing or too many")
    return Artifact(folder, labels, features, description)


def seal(folder: Path, description: dict[str, Any]) -> Artifact:
    """Write `artifact.json` for the files that lie in `folder`, with their SHA-256, and load the result."""
    files = {
        path.name: digest(path)
        for path in sorted(folder.iterdir())
        if path.name != DESCRIPTION and not path.name.startswith(".")
    }
    write_json(folder / DESCRIPTION, {"schema": SCHEMA} | description | {"files": files})
    return load(folder)


def check_file(folder: Path, name: str, expected: str | None) -> None:
    """Refuse, with `ArtifactError`, a file that is missing, lies elsewhere, or has not the SHA-256 that is expected."""
    file = folder / name
    _refuse_stray(folder, file)
    if not file.is_file():
        raise ArtifactError(f"{file}: is missing from the model; obtain the model again")
    if expected is not None and digest(file) != expected:
        raise ArtifactError(f"{file}: differs from what was sealed (SHA-256); obtain the model again")


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read(file: Path) -> dict[str, Any]:
    if file.stat().st_size > limits.DESCRIPTION_BYTES:
        raise ArtifactError(f"{file}: larger than {limits.DESCRIPTION_BYTES} bytes, the most a description may have")
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ArtifactError(f"{file}: is nested too deeply; obtain the model again") from None
    except ValueError as fault:  # not JSON, not UTF-8, or a number of thousands of digits
        raise ArtifactError(f"{file}: is not JSON ({fault}); obtain the model again") from None
    if not isinstance(description, dict):
        raise ArtifactError(f"{file}: is not a JSON object; obtain the model again")
    return description


def _refuse_stray(folder: Path, file: Path) -> None:
    """Refuse a link out of the folder: a model must not show what else lies on the disk.

    The hub's cache keeps the files of all commits beside them, in `blobs`, and links to them from `snapshots/COMMIT`.
    """
    home = Path(os.path.realpath(folder))
    homes = [home, home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [home]
    real = Path(os.path.realpath(file))
    if real.parent not in homes:
        raise ArtifactError(f"{file}: is a link out of the model, to {real}; do not use this model")
