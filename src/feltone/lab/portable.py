"""An artefact as one ONNX file that needs no Feltone: for C++, C#, Java, phones, browsers.

    artefact -> a kind's graph -> compared with the network on recordings -> metadata -> DIR/<name>.<kind>.onnx

A file that does not say what the network says is not written. What it says about itself is in `exported`; the page
around the kind `web` is a door's.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from feltone import audio, features
from feltone.artifact import Artifact
from feltone.errors import ArtifactError, ConfigError
from feltone.lab import exported, waveform_graph
from feltone.lab.exported import EXACT, IMAGE, ROUNDED, WAVEFORM, Input, Limits, Parity, verify
from feltone.lab.trained import network_of

__all__ = [
    "KINDS",
    "Export",
    "Kind",
    "Packed",
    "export",
    "from_image",
    "from_waveform",
    "kind_named",
    "pack",
    "parity",
    "verify",
]

BATCH = 4  # recordings that the network hears at once; a stem's activations of more leave the cache
HEARD = 1.5  # clip lengths that are read of a recording, so that cutting is compared as well


@dataclass(frozen=True)
class Kind:
    """One way of packing an artefact."""

    suffix: str
    build: Callable[[Artifact], onnx.ModelProto]
    input: Input
    limits: Limits


@dataclass(frozen=True)
class Packed:
    """A file that may be written."""

    content: bytes
    record: Mapping[str, Any]  # what it says about itself, its size and its SHA-256


@dataclass(frozen=True)
class Export:
    """A file that was written, and what `export.json` says of it."""

    file: Path
    record: Mapping[str, Any]


def from_image(precision: str) -> Callable[[Artifact], onnx.ModelProto]:
    """Builder of the artefact's own graph in a precision, with probabilities beside its outputs."""

    def graph(sealed: Artifact) -> onnx.ModelProto:
        model = waveform_graph.tidied(onnx.load(sealed.graph(precision)))
        model.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1))
        shape = ["batch", len(sealed.labels)]
        model.graph.output.insert(0, onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, shape))
        return model

    return graph


def from_waveform(sealed: Artifact) -> onnx.ModelProto:
    """The artefact's graph behind a front end of its own."""
    network = waveform_graph.tidied(onnx.load(sealed.graph()))
    return waveform_graph.from_waveform(network, sealed.features, len(sealed.labels), sealed.patches)


KINDS: Mapping[str, Kind] = {
    "onnx": Kind(".onnx", from_image("fp32"), IMAGE, EXACT),
    "onnx-int8": Kind(".int8.onnx", from_image("int8"), IMAGE, ROUNDED),
    "onnx-waveform": Kind(".waveform.onnx", from_waveform, WAVEFORM, EXACT),
    "web": Kind(".web.onnx", from_image(exported.WEB_PRECISION), IMAGE, ROUNDED),
}
"""What `feltone export --to` may be."""


def kind_named(name: str) -> Kind:
    """A kind; raises `ConfigError` listing the known ones."""
    if name not in KINDS:
        raise ConfigError(f"kind '{name}' is not known; known: {', '.join(KINDS)}")
    return KINDS[name]


def export(
    sealed: Artifact,
    kind_name: str,
    folder: Path,
    recordings: Sequence[Path],
    called: str,
    on_clip: Callable[[], object] = lambda: None,
) -> Export:
    """Build a file, compare it with the network, and write it into `folder` beside `export.json` and README.md.

    Args:
        sealed: the artefact.
        kind_name: one of `KINDS`.
        folder: made when missing; files of other kinds in it stay.
        recordings: to compare on.
        called: how the file calls these recordings.
        on_clip: told after every recording.

    Raises:
        ArtifactError: the file is further from the network than its kind allows; nothing is written.
        ConfigError: no such kind, no recordings, or `folder` holds something else.
        AudioError: a recording cannot be read.
    """
    kind = kind_named(kind_name)
    exported.records(folder)  # is the folder ours? Known before the comparison, not after it
    packed = pack(sealed, kind_name, recordings, called, on_clip)
    file = folder / (sealed.name.replace("/", "-") + kind.suffix)
    exported.write(file, packed.content, packed.record)
    return Export(file, packed.record)


def pack(
    sealed: Artifact,
    kind_name: str,
    recordings: Sequence[Path],
    called: str,
    on_clip: Callable[[], object] = lambda: None,
) -> Packed:
    """Build a file and compare it with the network, without writing it; arguments and faults as for `export`."""
    kind = kind_named(kind_name)
    model = kind.build(sealed)
    session = exported.open_session(model.SerializeToString())
    measured = parity(sealed, kind.input, session, recordings, called, on_clip)
    if not measured.within(kind.limits):
        raise ArtifactError(f"{sealed.name} as {kind_name}: {fault_of(measured, kind.limits)}; nothing was written")
    facts = exported.metadata(sealed, kind_name, kind.input, kind.limits, measured, session)
    onnx.helper.set_model_props(model, exported.as_text(facts))
    content = model.SerializeToString()
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | facts
    del record["model_card"]  # long, and in the file
    return Packed(content, record)


def parity(
    sealed: Artifact,
    given: Input,
    session: onnxruntime.InferenceSession,
    recordings: Sequence[Path],
    called: str,
    on_clip: Callable[[], object] = lambda: None,
) -> Parity:
    """Compare a graph with the network whose weights lie in the artefact, on every recording."""
    if not recordings:
        raise ConfigError(f"{called}: no recordings to compare on")
    network, config = network_of(sealed), sealed.features
    differences, equal = [], 0
    for start in range(0, len(recordings), BATCH):
        some = recordings[start : start + BATCH]
        waveforms = [audio.load(path, config.sample_rate, end=HEARD * config.clip_seconds) for path in some]
        images = [features.log_mel_image(waveform, config) for waveform in waveforms]
        with torch.inference_mode():
            expected = network(torch.from_numpy(np.stack(images))).logits.softmax(-1).numpy()
        for waveform, image, truth in zip(waveforms, images, expected, strict=True):
            # One at a time, as most are used: int8 rounds a batch on one scale, so that clips disturb each other.
            found = exported.probabilities(session, given.name, given.of(waveform, image)[None])[0]
            differences.append(np.abs(found - truth).max())
            equal += int(found.argmax() == truth.argmax())
            on_clip()
    return Parity(called, len(recordings), equal / len(recordings), float(np.max(differences)))


def fault_of(measured: Parity, limits: Limits) -> str:
    """What is wrong with a file beyond its limits, in half a line."""
    kept = round(measured.equal_labels * measured.clips)
    return (
        f"it differs from the network by up to {measured.max_probability_difference:.1e} "
        f"({limits.max_probability_difference:g} is allowed) and keeps {kept} of {measured.clips} labels "
        f"({limits.min_equal_labels:.0%} are asked) on {measured.recordings}"
    )
