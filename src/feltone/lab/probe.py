"""Frozen speech models of the Hugging Face hub as a way of hearing: for the baseline `probe`, and as teachers.

Every encoder that `AutoModel` knows and whose feature extractor takes a waveform: wav2vec 2.0, HuBERT, WavLM,
data2vec, Whisper (its encoder alone), AST. What is kept of a recording is the mean over time of one layer's hidden
states, by default of the last one's.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from feltone.errors import ConfigError
from feltone.features import Waveform
from feltone.files import in_a_name
from feltone.lab.baselines import SAMPLE_RATE, Baseline, Hearing, Vector, regression
from feltone.lab.models.ast import library
from feltone.lab.models.cost import parameters, products

COUNTED_SECONDS = 4  # of the clip that the cost is told for, as for our networks


def probe(name: str, layer: int | None = None) -> Baseline:
    """A frozen encoder and a logistic regression.

    Args:
        name: of the encoder on the hub, or a folder that `save_pretrained` wrote.
        layer: whose hidden states are averaged: 0 is what goes into the first one, 1 what comes out of it; None for
            the encoder's own last output.

    Raises:
        ConfigError: there is no such encoder, or no such layer.
        MissingExtraError: transformers is not installed.
    """
    hearing = encoder(name, layer)
    return Baseline("probe" if layer is None else f"probe-layer-{layer}", hearing, regression)


def encoder(name: str, layer: int | None, accelerator: str = "cpu") -> Hearing:
    """The hidden states of an encoder; arguments and faults as for `probe`.

    `accelerator`, where it computes, is torch's name of a device.
    """
    extract, network = _load(name)
    digest = _digest(network)
    network.to(accelerator)
    depth = network.config.num_hidden_layers
    if layer is not None and not 0 <= layer <= depth:
        raise ConfigError(f"layer {layer}: '{name}' has 0 (what goes into the first layer) to {depth}")

    def vector(waveform: Waveform) -> Vector:
        given = extract(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        values = given[extract.model_input_names[0]].to(accelerator)
        with torch.inference_mode():
            found = network(values, output_hidden_states=layer is not None)
        states = found.last_hidden_state[0] if layer is None else found.hidden_states[layer][0]
        return np.asarray(
            states[: _sounding(extract, len(states), len(waveform))].mean(0).float().cpu().numpy(), np.float32
        )

    four_seconds = np.zeros(COUNTED_SECONDS * SAMPLE_RATE, np.float32)
    settings = {"encoder": name, "weights_sha256": digest, "layer": layer, "pooled": "mean over time"}
    short = in_a_name(Path(name).name)
    macs = products(network, lambda: vector(four_seconds))
    return Hearing(f"probe-{short}", settings, vector, parameters(network), macs, weights=name)


def _load(name: str) -> tuple[Any, Any]:
    """Feature extractor and encoder, in fp32 on the CPU; raises `ConfigError` for what does not hear our clips."""
    transformers = library("a frozen speech model")
    try:
        transformers.AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as fault:
        reason = str(fault).splitlines()[0].partition(". ")[0]
        remedy = "check name and network, or name a folder that save_pretrained wrote"
        raise ConfigError(f"encoder '{name}': cannot be had ({reason}); {remedy}") from None
    silent = (
        f"encoder '{name}': does not take sound, or lacks its preprocessor_config.json; name one of speech or audio"
    )
    try:
        extract = transformers.AutoFeatureExtractor.from_pretrained(name)
        network = transformers.AutoModel.from_pretrained(name, attn_implementation="eager", dtype=torch.float32)
    except (OSError, ValueError):
        raise ConfigError(silent) from None
    layers = getattr(network.config, "num_hidden_layers", 0)  # codecs of sound have none
    if network.main_input_name != extract.model_input_names[0] or not layers:
        raise ConfigError(silent)
    if extract.sampling_rate != SAMPLE_RATE:
        rates = f"hears {extract.sampling_rate} samples a second, clips have {SAMPLE_RATE}"
        raise ConfigError(f"encoder '{name}': {rates}; name one for {SAMPLE_RATE} Hz")
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    return extract, network.eval().requires_grad_(False)


def _sounding(extract: Any, states: int, samples: int) -> int:
    """How many of the hidden states are of the recording: Whisper fills every one up to half a minute with silence."""
    filled = getattr(extract, "n_samples", None)
    return states if not filled else max(1, min(states, round(states * samples / filled)))


def _digest(network: nn.Module) -> str:
    """SHA-256 of the weights: a folder's name does not say what lies in it."""
    found = hashlib.sha256()
    for key, value in network.state_dict().items():
        found.update(key.encode() + value.detach().contiguous().numpy().tobytes())
    return found.hexdigest()
