"""Everything that can be asked of a model folder without the laboratory; one bad answer leaves the other questions.

description     schema, labels, front end, names of files        files      there, inside the folder, as sealed
folder          nothing that was not sealed, no kind of file      weights    the header of safetensors: names, sizes,
                that a model does not have                                   nothing between or behind them
fp32, int8      inputs, outputs, a run on the golden image: finite, of the right shape, as stored where it is stored
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feltone import artifact, limits
from feltone.artifact import DESCRIPTION, GRAPHS, WEIGHTS, Artifact
from feltone.errors import ArtifactError, FeltoneError
from feltone.features import FeatureConfig
from feltone.recognizer import Recognizer

OK, WRONG, SKIPPED = "ok", "wrong", "not checked"
KINDS = frozenset({".onnx", ".safetensors", ".csv", ".json", ".md", ".txt", ".html", ".png"})
"""Endings of a model's files. What holds code, or becomes code when it is opened (pickles), is none of them."""
BYTES_OF = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
BYTES_OF |= {"I8": 1, "U8": 1, "BOOL": 1}
GOLDEN_FORMULA = "image[0][band][column] = (band * column mod 128) / 127, for every band and column"
GOLDEN_TOLERANCE = {"fp32": 1e-3, "int8": 2e-2}  # of a probability; 8-bit weights round differently by processor


class Finding(NamedTuple):
    """An answer: what was asked, the verdict, and what was found."""

    what: str
    verdict: str
    said: str


def findings(folder: Path) -> Iterator[Finding]:
    """The answers for a model folder, in the order of the table above."""
    try:
        told = artifact.described(folder)
    except ArtifactError as fault:
        yield Finding("description", WRONG, _without(fault, folder / DESCRIPTION))
        return
    sizes = f"{len(told.labels)} labels, images of {told.features.mel_bands} by {told.features.columns}"
    yield Finding("description", OK, f"schema {told.description['schema']}, {sizes}")
    intact = set()
    for name in told.description["files"]:
        one = _asked(name, folder / name, partial(_sealed, told, name))
        intact |= {name} if one.verdict == OK else set()
        yield one
    yield _asked("folder", folder, partial(_strays, told))
    if WEIGHTS in told.description["files"]:
        yield _asked("weights", folder / WEIGHTS, partial(_weights, told))
    for precision, name in GRAPHS.items():
        if name in intact:  # what was altered is not run
            yield _asked(precision, folder / name, partial(_graph, told, precision))
        elif name in told.description["files"]:
            yield Finding(precision, SKIPPED, f"{name} is not what was sealed, and is not run")
    if not set(GRAPHS.values()) & set(told.description["files"]):
        yield Finding("graph", WRONG, f"none; a model has {' or '.join(GRAPHS.values())}")


def golden_image(config: FeatureConfig) -> NDArray[np.float32]:
    """The input that a graph's answer is stored for: a formula over whole numbers, the same in every language."""
    image = np.outer(np.arange(config.mel_bands), np.arange(config.columns)) % 128 / 127
    return image.astype(np.float32)[None]


def golden(sealed: Artifact) -> dict[str, Any]:
    """What each graph of a model says of the golden image, to be stored with it."""
    image = golden_image(sealed.features)
    there = [precision for precision, name in GRAPHS.items() if name in sealed.description["files"]]
    answers = {name: Recognizer(sealed, precision=name, threads=1).images(image).probabilities[0] for name in there}
    return {"formula": GOLDEN_FORMULA, "probabilities": {name: answers[name].tolist() for name in there}}


def _asked(what: str, file: Path, question: Callable[[], str]) -> Finding:
    try:
        return Finding(what, OK, question())
    except FeltoneError as fault:
        return Finding(what, WRONG, _without(fault, file))


def _without(fault: FeltoneError, file: Path) -> str:
    """A message without the name of the file that stands beside it."""
    return str(fault).removeprefix(f"{file}: ")


def _sealed(told: Artifact, name: str) -> str:
    artifact.check_file(told.folder, name, told.description["files"][name])
    return f"{(told.folder / name).stat().st_size:,} bytes, as sealed"


def _strays(told: Artifact) -> str:
    listed = set(told.description["files"])
    odd = sorted(name for name in listed if Path(name).suffix not in KINDS)
    if odd:
        raise ArtifactError(f"{odd[0]} is no kind of file that a model has; do not open it")
    there = {file.name for file in told.folder.iterdir()} - {DESCRIPTION}
    strays = sorted(name for name in there - listed if not name.startswith("."))
    if strays:
        raise ArtifactError(f"{', '.join(strays[:3])} did not come with the model; take it out, or do not open it")
    return f"{len(listed)} files, and none beside them"


def _weights(told: Artifact) -> str:
    file = told.folder / WEIGHTS
    count = sum(math.prod(entry["shape"]) for entry in safetensors_header(file).values())
    expected = told.description.get("parameters")
    if isinstance(expected, int) and count < expected:
        raise ArtifactError(f"{file}: holds {count:,} numbers, its description says {expected:,}")
    return f"{count:,} numbers, by name"


def safetensors_header(file: Path) -> dict[str, dict[str, Any]]:
    """Name -> dtype, shape and place of every tensor; `ArtifactError` where they do not fill the file exactly."""
    with file.open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        if size > min(limits.DESCRIPTION_BYTES, file.stat().st_size):
            raise ArtifactError(f"{file}: not safetensors (it may be a pickle, which runs code); do not open it")
        content = handle.read(size)
    try:
        header: dict[str, dict[str, Any]] = json.loads(content)
        header.pop("__metadata__", None)
        places = sorted(_place(**entry) for entry in header.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArtifactError(f"{file}: its header is damaged; obtain the model again") from None
    at = 0
    for begin, end, needed in [*places, (file.stat().st_size - 8 - size,) * 2 + (0,)]:
        if begin != at or end - begin != needed:
            raise ArtifactError(f"{file}: its tensors do not fill it exactly; obtain the model again")
        at = end
    return header


def _place(dtype: str, shape: list[int], data_offsets: list[int]) -> tuple[int, int, int]:
    """Where a tensor begins and ends, and how many bytes it needs."""
    begin, end = data_offsets
    if not all(isinstance(one, int) and one >= 0 for one in (begin, end, *shape)):
        raise ValueError("sizes are whole numbers")
    return begin, end, BYTES_OF[dtype] * math.prod(shape)


def _graph(told: Artifact, precision: str) -> str:
    recognize = Recognizer(told, precision=precision, threads=1)
    found = recognize.images(golden_image(told.features))
    patches = math.prod(told.patches)
    if found.attention.shape[-1] != patches:
        raise ArtifactError(f"attends to {found.attention.shape[-1]} patches, its description says {patches}")
    stored = told.description.get("golden")
    if stored is None:
        return "inputs, outputs and a run are sound; no golden answer is stored"
    try:
        if stored["formula"] != GOLDEN_FORMULA:
            raise ArtifactError("its golden image is unknown to this version; upgrade feltone")
        expected = np.asarray(stored["probabilities"][precision], np.float32)
        difference = float(np.abs(found.probabilities[0] - expected).max())
    except (KeyError, TypeError, ValueError):
        raise ArtifactError("its golden answer is damaged; obtain the model again") from None
    if not difference <= GOLDEN_TOLERANCE[precision]:
        raise ArtifactError(f"its golden answer is {difference:.1e} off ({GOLDEN_TOLERANCE[precision]:g} is allowed)")
    return f"inputs, outputs and a run are sound; {difference:.0e} from its golden answer"
