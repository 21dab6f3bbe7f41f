"""The way from a waveform to named outputs as one ONNX graph, for runtimes that have no Feltone to compute images.

    waveform -> front_end -> image -> an artefact's graph -> summary -> probabilities, attention over time

The front end repeats `features.log_mel_image`, the one definition, in operators that every runtime has and every
processor is fast at: the transform is a convolution (a cosine and a sine kernel per frequency, with the window folded
in), mel filters and area averaging are matrix products. ONNX's own STFT operator would be shorter to write and is
twice as slow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.compose
import onnx.parser
from numpy.typing import ArrayLike, NDArray

import feltone
from feltone.features import SILENCE_POWER, FeatureConfig, area_matrix, hamming, mel_matrix

NETWORK = "network/"  # before every name that comes from the artefact's graph

FRONT_END = """
<ir_version: {ir}, opset_import: ["": {opset}]>
front_end (float[batch, samples] waveform) => (float[batch, {mel_bands}, {columns}] image) {{
    clip = Slice (waveform, start, clip_samples, time)
    padded = Pad (clip, margins)
    reached = Slice (padded, start, reach, time)
    channel = Unsqueeze (reached, middle)
    waves = Conv <strides = [{hop_size}]> (channel, kernels)
    squares = Mul (waves, waves)
    real, imaginary = Split <axis = 1, num_outputs = 2> (squares)
    power = Add (real, imaginary)
    mel = MatMul (triangles, power)
    peak = ReduceMax (mel, bands_and_frames)
    silent = Less (peak, silence)
    reference = Where (silent, unity, peak)
    relative = Div (mel, reference)
    audible = Max (relative, inaudible)
    level = Log (audible)
    scaled = Div (level, span)
    raised = Add (scaled, unity)
    frames = Relu (raised)
    means = MatMul (frames, areas)
    image = Min (means, unity)
}}
"""

SUMMARY = """
<ir_version: {ir}, opset_import: ["": {opset}]>
summary (float[batch, {classes}] logits, float[batch, depth, heads, patches] weights)
    => (float[batch, {classes}] probabilities, float[batch, {columns}] attention) {{
    probabilities = Softmax <axis = -1> (logits)
    last = Gather <axis = 1> (weights, last_block)
    mean = ReduceMean <keepdims = 0> (last, of_heads)
    spread = MatMul (mean, patches_to_columns)
    whole = ReduceSum (spread, of_columns)
    attention = Div (spread, whole)
}}
"""


def from_waveform(
    network: onnx.ModelProto, features: FeatureConfig, classes: int, patches: tuple[int, int]
) -> onnx.ModelProto:
    """An artefact's graph with the front end before it and readable outputs behind it.

    Inputs and outputs of the result: `waveform` float32 (B, samples), mono at `features.sample_rate`, any length from
    one sample on -> `probabilities` (B, classes), and `attention` (B, columns), each column's share of the last
    block's attention: `attention.over_time` without smoothing.

    Args:
        network: `image` -> `logits`, `attention`, ...; other inputs keep their initial values.
        features: the front end.
        classes: how many outputs the network has.
        patches: rows and columns of patches that its attention is over.
    """
    versions = {"ir": network.ir_version, "opset": opset_of(network)}
    front = front_end(features, **versions)
    summary = _parsed(SUMMARY.format(**versions, classes=classes, columns=features.columns), _maps(features, patches))
    middle = onnx.compose.add_prefix(_with_image_alone(network), NETWORK)
    heard = onnx.compose.merge_models(
        front, middle, [("image", f"{NETWORK}image")], outputs=[f"{NETWORK}logits", f"{NETWORK}attention"]
    )
    said = [(f"{NETWORK}logits", "logits"), (f"{NETWORK}attention", "weights")]
    return tidied(onnx.compose.merge_models(heard, summary, said))


def front_end(features: FeatureConfig, *, ir: int, opset: int) -> onnx.ModelProto:
    """`features.log_mel_image` as a graph: `waveform` float32 (B, samples) -> `image` (B, mel bands, columns).

    What lies below the floor becomes exactly 0 by the Relu, and so does digital silence, whose reference is 1.
    """
    reach = (features.frames - 1) * features.hop_size + features.window_size  # samples that all frames read
    floor = 10 ** (features.floor_db / 10)
    constants: dict[str, ArrayLike] = {
        "start": [0],
        "time": [1],
        "middle": [1],
        "clip_samples": [features.clip_samples],
        "reach": [reach],
        "margins": [0, features.window_size // 2, 0, reach],  # frames are centred; behind there is more than needed
        "bands_and_frames": [1, 2],
        "kernels": _kernels(features),
        "triangles": mel_matrix(features).T,
        "areas": area_matrix(features.frames, features.columns),
        "silence": np.float32(SILENCE_POWER),
        "unity": np.float32(1),
        "inaudible": np.float32(floor / 2),  # below the floor, yet with a finite logarithm
        "span": np.float32(-np.log(floor)),
    }
    return _parsed(FRONT_END.format(**features.to_dict(), ir=ir, opset=opset), constants)


def opset_of(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators that a model uses."""
    return next(int(used.version) for used in model.opset_import if used.domain == "")


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with readable names of its free sizes, and without traces of the machine that made it."""
    model.producer_name, model.producer_version = "feltone", feltone.__version__
    used = {node.domain for node in model.graph.node}
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain in used}
    del model.opset_import[:], model.metadata_props[:], model.graph.value_info[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*entry) for entry in versions.items())
    for node in model.graph.node:  # the exporter leaves stack traces there
        del node.metadata_props[:]
    image, outputs = model.graph.input[0], model.graph.output
    free = zip(_sizes(image)[::2], ("batch", "columns"), strict=False)  # between them, the bands are fixed
    names = {size.dim_param: name for size, name in free if size.dim_param}
    for size in (size for value in (image, *outputs) for size in _sizes(value)):
        if size.dim_param in names:
            size.dim_param = names[size.dim_param]
    return model


def _kernels(features: FeatureConfig) -> NDArray[np.float32]:
    """Cosines, then sines, of every frequency of the transform over one window: (2 * bins, 1, window_size)."""
    sample, bins = np.arange(features.window_size), np.arange(features.fft_size // 2 + 1)[:, None]
    # Whole turns are taken off while the product is an integer: no precision is lost in large angles.
    angle = 2 * np.pi * (bins * sample % features.fft_size) / features.fft_size
    waves = np.concatenate([np.cos(angle), np.sin(angle)]) * hamming(features.window_size)
    return waves[:, None].astype(np.float32)


def _maps(features: FeatureConfig, patches: tuple[int, int]) -> Mapping[str, ArrayLike]:
    """Constants of the summary; squares share their attention among the columns they cover."""
    rows, columns = patches
    shares = np.repeat(np.eye(columns, dtype=np.float32), features.columns // columns, axis=1)
    return {
        "last_block": np.int64(-1),
        "of_heads": [1],
        "of_columns": [1],
        "patches_to_columns": np.tile(shares, (rows, 1)),
    }


def _sizes(value: onnx.ValueInfoProto) -> list[Any]:
    return list(value.type.tensor_type.shape.dim)


def _parsed(text: str, constants: Mapping[str, ArrayLike]) -> onnx.ModelProto:
    model = onnx.parser.parse_model(text)
    for name, value in constants.items():
        array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def _with_image_alone(network: onnx.ModelProto) -> onnx.ModelProto:
    """The graph whose other inputs have become the constants that their initial values are."""
    alone = onnx.ModelProto()
    alone.CopyFrom(network)
    kept = [entry for entry in alone.graph.input if entry.name == "image"]
    del alone.graph.input[:]
    alone.graph.input.extend(kept)
    return alone
