"""An ONNX graph from a stranger: looked through before ONNX Runtime sees it, and asked whether it is the one promised.

A graph computes; it cannot read files or run code of its own unless it may name them. Two things in the format do:
tensors that lie in other files ("external data", whose path may lead anywhere), and operators of libraries that the
caller loads. Both are refused, and so is a tensor that claims more values than the file holds. What is looked at is
the encoding itself (protobuf: numbered fields, each with its length), so that no further library is needed.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from feltone import limits
from feltone.errors import ArtifactError

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Whose operators ONNX Runtime brings."""
OUTPUTS = ("logits", "embedding", "attention")
FAULTS = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
    runtime.EPFail,
    UnicodeDecodeError,  # where it says what is wrong with a name that is no text
)
"""What ONNX Runtime raises for a graph it cannot use; the classes share no parent of their own."""

# onnx.proto: kind of message -> its fields that hold messages, and which. The rest is passed over.
INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
FUNCTION_DOMAIN, NODE_TYPE, NODE_DOMAIN = 10, 4, 7
TENSOR_DIMS, TENSOR_NAME, TENSOR_EXTERNAL, TENSOR_LOCATION = 1, 8, 13, 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # how a field is encoded
VALUES_PER_BYTE = 8  # more than any type of ONNX packs


class Field(NamedTuple):
    """A field of a message."""

    number: int
    value: int | memoryview  # of a number, or the bytes of anything else


def session(file: Path, threads: int | None) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU with a graph that was looked through; `threads` None for as many as there are cores.

    Raises:
        ArtifactError: it reaches beyond its file, or ONNX Runtime cannot use it.
    """
    look_through(file)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an exception; of what else it says, nothing can be mended
    if threads:
        options.intra_op_num_threads = threads
    try:
        # Without a second attempt by the same provider, which it would announce on standard output.
        return onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
    except FAULTS as fault:
        raise ArtifactError(f"{file}: ONNX Runtime cannot use it ({_line(fault)}); obtain the model again") from None


def check_contract(file: Path, loaded: onnxruntime.InferenceSession, bands: int, columns: int, labels: int) -> None:
    """Refuse, with `ArtifactError`, a graph whose inputs and outputs are not those of a recogniser of this size."""
    given = {value.name: value for value in loaded.get_inputs()}
    made = {value.name: value for value in loaded.get_outputs()}
    absent = [name for name in ("image",) if name not in given] + [name for name in OUTPUTS if name not in made]
    if absent or len(given) > 1:
        asked = ", ".join(absent) if absent else f"more inputs than the image ({', '.join(given)})"
        raise ArtifactError(f"{file}: not the graph of a recogniser ({asked}); obtain the model again")
    wanted = {"image": (given["image"], (None, bands, columns)), "logits": (made["logits"], (None, labels))}
    for name, (value, shape) in wanted.items():
        sizes = zip(value.shape, shape, strict=False)
        clash = any(isinstance(size, int) and None not in (size, fixed) and size != fixed for size, fixed in sizes)
        if value.type != "tensor(float)" or len(value.shape) != len(shape) or clash:
            sized = ", ".join(str(size or "any") for size in shape)
            raise ArtifactError(f"{file}: its {name} is {value.type} {value.shape}, not float ({sized})")


def run(
    file: Path, loaded: onnxruntime.InferenceSession, given: dict[str, NDArray[np.float32]], labels: int
) -> list[NDArray[np.float32]]:
    """Logits, embedding and attention of a batch; raises `ArtifactError` where the graph does not give them."""
    try:
        logits, embedding, attention = loaded.run(OUTPUTS, given)
    except FAULTS as fault:
        raise ArtifactError(f"{file}: fails when it runs ({_line(fault)}); obtain the model again") from None
    shaped = logits.shape == (len(given["image"]), labels) and embedding.ndim == 2 and attention.ndim == 4
    if not shaped or not np.isfinite(logits).all():
        raise ArtifactError(f"{file}: gives no finite logits for {labels} labels; obtain the model again")
    return [logits, embedding, attention]


def look_through(file: Path) -> None:
    """Refuse, with `ArtifactError`, a graph that reaches beyond its file or claims more than it holds."""
    if file.stat().st_size > limits.GRAPH_BYTES:
        raise ArtifactError(f"{file}: larger than {limits.GRAPH_BYTES} bytes, the most a graph may have")
    try:
        domains, asked = _walk(file, memoryview(file.read_bytes()))
    except (IndexError, ValueError):
        raise ArtifactError(f"{file}: not an ONNX graph, or damaged; obtain the model again") from None
    for domain, operator in asked.items():
        if domain not in domains:
            raise ArtifactError(
                f"{file}: asks for operator {operator!r} of {domain!r}, code that does not come with Feltone; "
                f"do not use this model"
            )


def _walk(file: Path, content: memoryview) -> tuple[set[str], dict[str, str]]:
    """Domains whose operators there are, and those that are asked for with one operator of each."""
    domains, asked = set(DOMAINS), {}
    waiting = [("model", content)]  # instead of recursion, whose depth a file could choose
    while waiting:
        kind, message = waiting.pop()
        inside, fields = INSIDE[kind], list(_fields(message))
        for number, value in fields:
            if number in inside and isinstance(value, memoryview):
                waiting.append((inside[number], value))
        if kind == "node":
            asked[_text(fields, NODE_DOMAIN)] = _text(fields, NODE_TYPE)
        elif kind == "function":
            domains.add(_text(fields, FUNCTION_DOMAIN))
        elif kind == "tensor":
            _check_tensor(file, fields, len(message))
    return domains, asked


def _check_tensor(file: Path, fields: list[Field], size: int) -> None:
    name = _text(fields, TENSOR_NAME)
    if any(one.number == TENSOR_EXTERNAL or (one.number == TENSOR_LOCATION and one.value) for one in fields):
        raise ArtifactError(f"{file}: tensor {name!r} lies in another file; do not use this model")
    if math.prod(_numbers(fields, TENSOR_DIMS)) > VALUES_PER_BYTE * size:
        raise ArtifactError(f"{file}: tensor {name!r} claims more values than there are; obtain the model again")


def _text(fields: list[Field], number: int) -> str:
    found = [one.value for one in fields if one.number == number and isinstance(one.value, memoryview)]
    return bytes(found[-1]).decode() if found else ""


def _numbers(fields: list[Field], number: int) -> Iterator[int]:
    """A repeated number, packed into one field or not."""
    for one in fields:
        if one.number == number and isinstance(one.value, int):
            yield one.value
        elif one.number == number and isinstance(one.value, memoryview):
            at = 0
            while at < len(one.value):
                value, at = _varint(one.value, at)
                yield value


def _fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message; raises `ValueError` or `IndexError` where it is none."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, encoding = tag >> 3, tag & 7
        if encoding == VARINT:
            value, at = _varint(message, at)
            yield Field(number, value)
            continue
        if encoding == BYTES:
            size, at = _varint(message, at)
        elif encoding in (FIXED32, FIXED64):
            size = 4 if encoding == FIXED32 else 8
        else:
            raise ValueError("groups went out of use before ONNX came up")
        if at + size > len(message):
            raise ValueError("ends before its field")
        yield Field(number, message[at : at + size])
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, low ones first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("longer than 64 bits")


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())[:200]
