"""The model as a folder that can be trusted: graph, labels, features and provenance travel together.

    model.onnx            images -> logits, embedding, attention (fp32)
    model.int8.onnx       the same with 8-bit weights
    model.safetensors     weights for further training
    training.csv          every clip the model has seen: key, label, speaker, sentence
    artifact.json         labels in order, features, sizes, recipe, scores, source, SHA-256 of the other files
    README.md             the model card

Loading executes no code. What is missing, altered or newer than this version is refused in one line.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feltone.errors import ArtifactError, FeltoneError
from feltone.features import FeatureConfig
from feltone.files import write_json
from feltone.labels import LabelSet

SCHEMA = 1
DESCRIPTION = "artifact.json"
GRAPHS = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
SHIPPED = Path(__file__).parent / "weights"
DEFAULT_NAME = "student-emodb"


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
    def patches(self) -> tuple[int, int]:
        """Rows and columns of patches that the network's attention is over; they tile the image."""
        model = self.description["model"]
        if "patches" in model:
            rows, columns = model["patches"]
            return rows, columns
        (height, width), (high, wide) = model["image"], model["patch"]  # the first artefacts tell sizes in pixels
        return height // high, width // wide


def find(model: str | Path | None = None) -> Path:
    """Folder of a model: None for the shipped student; a shipped model's name, a folder, or `hf:owner/model@revision`.

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
    known = ", ".join(sorted(path.parent.name for path in SHIPPED.glob(f"*/{DESCRIPTION}")))
    raise ArtifactError(f"{name}: no such model; shipped: {known}; or a folder with {DESCRIPTION}, or hf:owner/model")


def load(model: str | Path | None = None, *, verify: bool = True) -> Artifact:
    """A model folder, checked: schema, labels, features and (unless `verify=False`) the SHA-256 of every file."""
    folder = find(model)
    file = folder / DESCRIPTION
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        schema = int(description["schema"])
        if schema > SCHEMA:
            raise ArtifactError(f"{file}: schema {schema} is newer than this Feltone reads ({SCHEMA}); upgrade feltone")
        artifact = Artifact(
            folder,
            LabelSet(tuple(description["labels"])),
            FeatureConfig.from_dict(description["features"]),
            description,
        )
        outputs = int(description["outputs"])
        files = dict(description["files"])
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise ArtifactError(f"{file}: is not JSON ({fault}); obtain the model again") from None
    except KeyError as fault:
        raise ArtifactError(f"{file}: says nothing about {fault}; obtain the model again") from None
    except FeltoneError as fault:
        raise ArtifactError(f"{file}: {fault}".replace(f"{file}: {file}: ", f"{file}: ")) from None
    if outputs != len(artifact.labels):
        raise ArtifactError(
            f"{file}: {len(artifact.labels)} labels for {outputs} outputs; a label is missing or too many"
        )
    for name, expected in files.items():
        _check(folder / name, expected, verify)
    return artifact


def seal(folder: Path, description: dict[str, Any]) -> Artifact:
    """Write `artifact.json` for the files that lie in `folder`, with their SHA-256, and load the result."""
    files = {
        path.name: digest(path)
        for path in sorted(folder.iterdir())
        if path.name != DESCRIPTION and not path.name.startswith(".")
    }
    write_json(folder / DESCRIPTION, {"schema": SCHEMA} | description | {"files": files})
    return load(folder)


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check(file: Path, expected: str, verify: bool) -> None:
    if not file.is_file():
        raise ArtifactError(f"{file}: is missing from the model; obtain the model again")
    if verify and digest(file) != expected:
        raise ArtifactError(f"{file}: differs from what was sealed (SHA-256); obtain the model again")
