"""What an exported file says about itself, and how it is asked whether it still says it.

metadata     labels, front end, windowing, card, licence, parity, golden vector: in the file itself
export.json  the same of every file in a folder, for runtimes that cannot read metadata
README.md    the same for people
verify       the golden input through the file, beside the probabilities that were stored
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import feltone
from feltone import artifact, graph
from feltone.artifact import Artifact
from feltone.checks import GOLDEN_FORMULA, golden_image
from feltone.errors import ArtifactError, ConfigError
from feltone.features import FeatureConfig, Image, Waveform
from feltone.files import write_atomically, write_json, write_text
from feltone.recognizer import SHORTEST_WINDOW_SECONDS

Array = NDArray[np.float32]

RECORD = "export.json"
README = "README.md"
TIMELINE_HOP_SECONDS = 1.0
# In a tab the network is faster in it than in fp32 (benchmarks/browser.py), and a quarter of the bytes to fetch.
WEB_PRECISION = "int8"


@dataclass(frozen=True)
class Input:
    """What a file listens to, and a golden one: a formula over whole numbers, exact in every language."""

    name: str
    usage: str
    formula: str
    golden: Callable[[FeatureConfig], Array]  # a batch of one
    of: Callable[[Waveform, Image], Array]  # chooses what is given of a recording


@dataclass(frozen=True)
class Limits:
    """How far a file may be from the network it came from; beyond, it is refused."""

    max_probability_difference: float
    min_equal_labels: float  # share


EXACT = Limits(max_probability_difference=1e-3, min_equal_labels=1.0)
ROUNDED = Limits(max_probability_difference=2e-2, min_equal_labels=0.99)


@dataclass(frozen=True)
class Parity:
    """How far a file was from the PyTorch network it came from."""

    recordings: str  # what they are called
    clips: int
    equal_labels: float  # share
    max_probability_difference: float

    def within(self, limits: Limits) -> bool:
        """Whether the file may be given away; NaN may not."""
        close = self.max_probability_difference <= limits.max_probability_difference
        return close and self.equal_labels >= limits.min_equal_labels


def _float(golden: NDArray[np.float64]) -> Array:
    return golden.astype(np.float32)[None]


IMAGE = Input(
    "image",
    "image: float32 (batch, {mel_bands}, {columns}), made as 'features' says -> "
    "probabilities (batch, classes), logits, embedding, attention",
    GOLDEN_FORMULA,
    golden=golden_image,
    of=lambda waveform, image: image,
)
WAVEFORM = Input(
    "waveform",
    "waveform: float32 (batch, samples), mono, {sample_rate} Hz, full scale at +-1, one sample or more, of which the "
    "first {clip_seconds:g} s count -> probabilities (batch, classes), attention (batch, {columns}) over those seconds",
    "waveform[0][n] = (floor(n * n / 16) mod 256) / 128 - 1, for 16000 samples",
    golden=lambda config: _float(np.arange(16_000) ** 2 // 16 % 256 / 128 - 1),
    of=lambda waveform, image: waveform,
)
INPUTS = (IMAGE, WAVEFORM)


def metadata(
    sealed: Artifact, kind: str, given: Input, limits: Limits, measured: Parity, session: onnxruntime.InferenceSession
) -> dict[str, Any]:
    """What a file says about itself; `as_text` turns it into what ONNX can hold."""
    config, origin = sealed.features, sealed.description["origin"]
    return {
        "name": sealed.name,
        "kind": kind,
        "version": feltone.__version__,
        "usage": given.usage.format(**config.to_dict()),
        "labels": list(sealed.labels),
        "features": config.to_dict(),
        "windowing": windowing(config),
        "source": origin["source"]["title"],
        "licence": origin["source"]["licence"],
        "citation": origin["source"]["citation"],
        "commit": origin["commit"],
        "artifact_sha256": artifact.digest(sealed.folder / artifact.DESCRIPTION),
        "parity": asdict(measured) | {"limits": asdict(limits)},
        "golden": golden(given, config, limits, lambda batch: probabilities(session, given.name, batch)),
        "model_card": (sealed.folder / "README.md").read_text(encoding="utf-8"),
    }


def windowing(config: FeatureConfig) -> dict[str, float]:
    """How recordings are cut into windows."""
    return {
        "window_seconds": config.clip_seconds,
        "hop_seconds": TIMELINE_HOP_SECONDS,
        "shortest_window_seconds": SHORTEST_WINDOW_SECONDS,
    }


def golden(given: Input, config: FeatureConfig, limits: Limits, ask: Callable[[Array], Array]) -> dict[str, Any]:
    """The golden input of a file, what `ask` says of it, (B, classes), and how far from that an answer may be."""
    batch = given.golden(config)
    return {
        "input": given.name,
        "shape": list(batch.shape),
        "formula": given.formula,
        "probabilities": ask(batch)[0].tolist(),
        "tolerance": limits.max_probability_difference,
    }


def as_text(facts: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as text: strings as they are, everything else as JSON."""
    return {key: fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False) for key, fact in facts.items()}


def verify(file: Path) -> float:
    """Give a file its golden input; returns the largest difference from the probabilities it was exported with.

    Raises:
        ArtifactError: not a file of `feltone export`, or the difference is beyond the tolerance that the file states.
    """
    if not file.is_file():
        raise ArtifactError(f"{file}: no such file; name one that feltone export wrote")
    graph.look_through(file)
    try:
        session = open_session(str(file))
        facts = session.get_modelmeta().custom_metadata_map
        expected, config = json.loads(facts["golden"]), FeatureConfig.from_dict(json.loads(facts["features"]))
    except (*graph.FAULTS, KeyError, ValueError) as fault:
        raise ArtifactError(f"{file}: not a file of feltone export ({type(fault).__name__}); export it again") from None
    given = next((known for known in INPUTS if known.formula == expected["formula"]), None)
    if given is None:
        raise ArtifactError(f"{file}: its golden input is unknown to this version; upgrade feltone")
    found = probabilities(session, given.name, given.golden(config))[0]
    difference = float(np.abs(found - np.array(expected["probabilities"], np.float32)).max())
    if not difference <= expected["tolerance"]:
        raise ArtifactError(
            f"{file}: its golden input gives probabilities {difference:.1e} from those it was exported with, "
            f"{expected['tolerance']:g} is allowed; export it again"
        )
    return difference


def open_session(model: bytes | str) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU with a model's bytes, or the path of its file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an exception
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def probabilities(session: onnxruntime.InferenceSession, name: str, given: Array) -> Array:
    """What a file says of its input: (B, classes)."""
    return np.asarray(session.run(["probabilities"], {name: given})[0], np.float32)


def records(folder: Path) -> dict[str, Any]:
    """What was exported into a folder before; raises `ConfigError` where the folder is somebody else's."""
    file = folder / RECORD
    if (folder.exists() and not folder.is_dir()) or ((folder / README).exists() and not file.exists()):
        raise ConfigError(f"{folder}: holds something else; choose a folder of its own")
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
    except (ValueError, TypeError):
        raise ConfigError(f"{file}: is not what feltone export writes; choose another folder") from None


def write(file: Path, content: bytes, record: Mapping[str, Any]) -> None:
    """Write a file, and add it to `export.json` and README.md beside it."""
    known = records(file.parent) | {file.name: record}
    write_atomically(file, lambda handle: handle.write(content))
    write_json(file.parent / RECORD, known)
    write_text(file.parent / README, readme(known))


def readme(known: Mapping[str, Mapping[str, Any]]) -> str:
    """A folder of exported files, for people."""
    rows = [
        f"| `{name}` | {row['bytes'] / 1e6:.1f} MB | {row['parity']['clips']} of {row['parity']['recordings']} "
        f"| {row['parity']['equal_labels']:.1%} | {row['parity']['max_probability_difference']:.1e} |"
        for name, row in known.items()
    ]
    uses = [f"* `{name}`: {row['usage']}. Labels in order: {', '.join(row['labels'])}." for name, row in known.items()]
    goldens = {row["golden"]["formula"]: row["golden"] for row in known.values()}
    formulas = [f"    {formula}" for formula in goldens]
    sources = {f"{row['source']}; licence: {row['licence']}. {row['citation']}" for row in known.values()}
    return README_TEXT.format(
        rows="\n".join(rows),
        uses="\n".join(uses),
        formulas="\n".join(formulas),
        sources="\n\n".join(sorted(sources)),
        record=RECORD,
        first=next(iter(known)),
        version=feltone.__version__,
    )


README_TEXT = """\
# Emotion in speech, for any ONNX runtime

Written by `feltone export` {version}. Each file is complete: labels, front end, windowing, model card and licence are
in its metadata, and in `{record}` for runtimes that cannot read metadata.

| file | size | compared with PyTorch on | equal labels | largest difference of a probability |
|---|--:|---|--:|--:|
{rows}

{uses}

A file names one of its labels whatever it is given, silence included: leave out what is digital silence. Longer
recordings are cut into windows as `windowing` says.

## Check it where you run it

Give it the golden input (whole-number arithmetic first, then the division):

{formulas}

Its probabilities must be those of `golden` in the metadata, within its `tolerance`. In Python:

    python -c "from feltone.lab import portable; print(portable.verify('{first}'))"

## Trained on

{sources}
"""
