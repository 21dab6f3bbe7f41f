"""What a user would take instead: each function returns the work of turning one recording into its answer.

Weights are random where they would have to be downloaded: a network's cost does not depend on them.
"""

from collections.abc import Callable
from typing import Any

from feltone import artifact, audio, features
from feltone.recognizer import softmax
from feltone_benchmarks.recognition import STUDENT

SAMPLE_RATE = 16_000


def opensmile(wav: str, feature_set: str) -> Callable[[], object]:
    """openSMILE's functionals of a file, "ComParE_2016" (6,373) or "eGeMAPSv02" (88); the classifier is not counted."""
    from opensmile import FeatureLevel, FeatureSet, Smile

    smile = Smile(getattr(FeatureSet, feature_set), FeatureLevel.Functionals)
    return lambda: smile.process_file(wav)


def ast(wav: str) -> Callable[[], object]:
    """The Audio Spectrogram Transformer (86 M), which pads every clip to 10.24 s; features by its own extractor."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    return _network(wav, ASTForAudioClassification(ASTConfig()), ASTFeatureExtractor())


def wav2vec2(wav: str) -> Callable[[], object]:
    """wav2vec 2.0 base (95 M) with a head for classification, on the waveform."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    return _network(wav, Wav2Vec2ForSequenceClassification(Wav2Vec2Config()), Wav2Vec2FeatureExtractor())


def septr(wav: str) -> Callable[[], object]:
    """SepTr (8.9 M) as the laboratory has it, eager, behind Feltone's front end."""
    import torch

    from feltone.lab.models import build, variant

    network, config = build(variant("septr"), classes=7, seed=0).eval(), features.DEFAULT

    def work() -> object:
        image = features.log_mel_image(audio.load(wav, config.sample_rate, end=config.clip_seconds), config)
        with torch.inference_mode():
            return network(torch.from_numpy(image)[None]).logits.softmax(-1)

    return work


def openvino(wav: str, precision: str) -> Callable[[], object]:
    """Feltone's front end and fp32 graph, run by OpenVINO with inference precision "f32" or "bf16"."""
    from openvino import Core

    core, model = Core(), artifact.load(STUDENT)
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError("this processor has no bf16 arithmetic")
    wanted = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    network = core.compile_model(model.graph("fp32"), "CPU", wanted)

    def work() -> object:
        samples = audio.load(wav, model.features.sample_rate, end=model.features.clip_seconds)
        return softmax(network([features.log_mel_image(samples, model.features)[None]])["logits"])

    return work


def _network(wav: str, network: Any, extractor: Any) -> Callable[[], object]:
    """Eager fp32 PyTorch, as transformers builds it."""
    import torch

    network.eval()

    def work() -> object:
        samples = audio.load(wav, SAMPLE_RATE)
        inputs = extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            return network(**inputs).logits.softmax(-1)

    return work
