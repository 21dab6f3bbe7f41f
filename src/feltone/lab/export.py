"""A trained network -> an artefact: ONNX graphs in fp32 and int8, weights, ledger, card, and the parity measured.

The graph takes images and gives logits, embedding and attention. It is compared with the network it came from on
images the caller provides, and the largest difference is stored: an artefact says how far it can be trusted.
"""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from feltone import artifact, checks
from feltone.artifact import Artifact
from feltone.features import FeatureConfig
from feltone.files import write_atomically, write_text
from feltone.lab import card, ledger
from feltone.lab.calibration import Calibration, cooled
from feltone.lab.corpora.clip import Clip, manifest_digest
from feltone.lab.models import Network
from feltone.lab.models.cost import multiply_adds, parameters
from feltone.lab.training.folder import save_weights
from feltone.labels import LabelSet
from feltone.recognizer import Recognizer, softmax

OPSET = 20
PARITY_IMAGES = 64
PARITY_BATCH = 8  # of them at once; a SepTr holds half a gigabyte per image


@dataclass(frozen=True)
class Origin:
    """Where a network comes from; goes into the artefact as it is."""

    name: str
    variant: str
    corpus: str
    audio: str  # "original", or what was done to the recordings
    recipe: dict[str, Any]
    protocol: str
    fold: int
    seed: int
    train_seconds: float
    source: dict[str, str]  # title, licence, citation of the corpus
    device: str
    versions: dict[str, str]
    commit: str
    command: str
    date: str


def export(
    network: Network,
    labels: LabelSet,
    features: FeatureConfig,
    origin: Origin,
    trained_on: Sequence[Clip],
    images: NDArray[np.float32],
    folder: Path,
    calibration: Calibration | None = None,
) -> Artifact:
    """Write the artefact of a network.

    Args:
        network: the trained network; moved to the CPU.
        labels, features: what its outputs and inputs mean.
        origin: where it comes from.
        trained_on: every clip it has seen, for the ledger.
        images: float32 (n, mel bands, columns), to measure parity on.
        folder: of the artefact, made when missing.
        calibration: how sure it may be; its classifier is cooled and its card says so.
    """
    network = network.cpu().float().eval()
    if calibration:
        network = cooled(network, calibration.temperature)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(network, folder / artifact.WEIGHTS)
    write_graph(network, features, folder / artifact.GRAPHS["fp32"])
    quantize(folder / artifact.GRAPHS["fp32"], folder / artifact.GRAPHS["int8"])
    ledger.write(trained_on, folder / ledger.FILE)
    description = {
        "name": origin.name,
        "labels": list(labels),
        "outputs": len(labels),
        "features": features.to_dict(),
        "model": {"variant": origin.variant, **network.config.to_dict(), "patches": list(network.config.patches)},
        "macs": multiply_adds(network, network.config.image),
        "parameters": parameters(network),
        "manifest_sha256": manifest_digest(set(trained_on)),
        "origin": {key: value for key, value in vars(origin).items() if key not in ("name", "variant")},
    }
    if calibration:
        description |= {"calibration": calibration.to_dict(), "unsure_below": calibration.unsure_below}
    sealed = artifact.seal(folder, description)
    description["parity"] = {name: parity(network, sealed, name, images[:PARITY_IMAGES]) for name in artifact.GRAPHS}
    description["golden"] = checks.golden(sealed)
    write_text(folder / "README.md", card.write(description, scores=None))
    return artifact.seal(folder, description)


def write_graph(network: Network, features: FeatureConfig, file: Path) -> None:
    """The network as an ONNX graph with a free batch size.

    Where equal patches may be merged (`NetworkConfig.merges_padding`) the number of columns is free too, and there is a
    second input, `copies`: how many columns the last one stands for. It may be left out; then it is 1.
    """
    merges = network.config.merges_padding
    free = torch.export.Dim.DYNAMIC
    image = torch.rand(2, features.mel_bands, features.columns)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own future
        program = torch.onnx.export(
            network,
            (image, torch.ones(2)) if merges else (image,),
            input_names=["image", "copies"] if merges else ["image"],
            output_names=["logits", "embedding", "attention"],
            dynamic_shapes=({0: free, 2: free}, {0: free}) if merges else ({0: free},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    if merges:  # an initial value of the same name makes an input optional
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), "copies"))
        model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "batch_or_1"
    write_atomically(file, lambda handle: handle.write(model.SerializeToString()))


def quantize(graph: Path, file: Path) -> None:
    """8-bit weights, activations quantised as they come: a quarter of the size, and faster.

    Weights use 7 of their 8 bits: without VNNI instructions a processor adds two products in 16 bits, and full ones
    overflow there (largest difference of a probability on EmoDB by AVX2: 0.064 with 8 bits, 0.008 with 7). Every
    output has a scale of its own, which costs two kilobytes (the default model on the bundled clips: 0.020 without,
    0.012 with).
    """
    from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises, through the root logger, what is done here
    onnxruntime.set_default_logger_severity(3)  # and the runtime warns of an input that may be left out
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        # Convolutions stay in fp32: the runtime has no fast integer form of them on most CPUs.
        kinds = ["MatMul", "Gemm"]
        quantize_dynamic(
            str(prepared),
            str(file),
            weight_type=QuantType.QInt8,
            op_types_to_quantize=kinds,
            reduce_range=True,
            per_channel=True,
        )


def parity(network: Network, sealed: Artifact, precision: str, images: NDArray[np.float32]) -> dict[str, float]:
    """Largest difference of probability and share of equal labels between the network and its graph."""
    recognize, chunks = Recognizer(sealed, precision=precision), range(0, len(images), PARITY_BATCH)
    batches = [images[start : start + PARITY_BATCH] for start in chunks]
    with torch.inference_mode():
        expected = softmax(np.concatenate([network(torch.from_numpy(batch)).logits.numpy() for batch in batches]))
    found = np.concatenate([recognize.images(batch).probabilities for batch in batches])
    return {
        "images": len(images),
        "max_probability_difference": float(np.abs(expected - found).max()),
        "equal_labels": float((expected.argmax(-1) == found.argmax(-1)).mean()),
    }
