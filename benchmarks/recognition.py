"""Recognition, file -> probabilities: one 16-bit wav of 4 s, 16 kHz, mono, on one core, after warm-up."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import feltone
from feltone import audio
from feltone_benchmarks.harness import Result, Side, document, measure, ratio

STUDENT = "student-emodb"  # the shipped network of the paper's kind, which plain work is compared with

TURN_SECONDS = 1.0
SAMPLE_RATE = 16_000
FILES = 64  # in the folder that one and two cores recognise
SPEECH = Path(feltone.__file__).parent / "clips" / "anger.flac"

WHAT = {
    "plain": "librosa, eager fp32 PyTorch, one clip at a time",
    "feltone": "the default model, a residual network",
    "feltone-fp32": "the paper's student, as plain has it",
    "feltone-int8": 'the student, feltone.load("student-emodb", precision="int8")',
    "feltone-fp32-1s": "the student, a clip of 1 s",
    "feltone-fp32-2s": "the student, a clip of 2 s",
    "feltone-fp32-1core": f"the student, per clip of {FILES} files, recognize.files(workers=1)",
    "feltone-fp32-2cores": f"the student, per clip of {FILES} files, recognize.files(workers=2)",
    "feltone-openvino-fp32": "the student, Feltone's front end, OpenVINO in fp32",
    "feltone-openvino-bf16": "the student, Feltone's front end, OpenVINO in bf16",
    "opensmile-ComParE_2016": "6,373 functionals, no classifier",
    "opensmile-eGeMAPSv02": "88 functionals, no classifier",
    "ast": "transformers, 86 M, random weights, own features; pads to 10.24 s",
    "wav2vec2-base": "transformers, 95 M, random weights",
    "septr": "8.9 M, random weights, Feltone's front end",
}
"""Every side in a few words, in the order of the table."""

LESS_WORK = {"feltone-fp32-1s", "feltone-fp32-2s"}
"""Sides that have no ratio to plain, which recognises 4 s."""


def measure_recognition(
    rounds: int = 5, on_turn: Callable[[int, int], object] = lambda done, total: None
) -> dict[str, Any]:
    """All sides, and the numbers that are asked of them; None where a side is missing."""
    with tempfile.TemporaryDirectory(prefix="feltone-bench-") as folder:
        return summary(measure(sides(Path(folder)), rounds=rounds, turn_seconds=TURN_SECONDS, on_turn=on_turn))


def sides(folder: Path) -> list[Side]:
    """What is measured; the recordings are written into `folder`."""
    file = clip(folder, 4)
    wav, files = str(file), copies(file, FILES)
    here, rivals, torch = "feltone_benchmarks.recognition", "feltone_benchmarks.rivals", ("torch", "transformers")
    return [
        Side("plain", "feltone_benchmarks.plain:recognition", {"wav": wav}, ("librosa", "safetensors", "torch")),
        Side("feltone", f"{here}:one_file", {"wav": wav, "model": None}),
        Side("feltone-fp32", f"{here}:one_file", {"wav": wav}),
        Side("feltone-int8", f"{here}:one_file", {"wav": wav, "precision": "int8"}),
        *(
            Side(f"feltone-fp32-{seconds}s", f"{here}:one_file", {"wav": str(clip(folder, seconds))})
            for seconds in (1, 2)
        ),
        Side("feltone-fp32-1core", f"{here}:many_files", {"files": files, "workers": 1}, units=FILES),
        Side("feltone-fp32-2cores", f"{here}:many_files", {"files": files, "workers": 2}, cores=2, units=FILES),
        Side("feltone-openvino-fp32", f"{rivals}:openvino", {"wav": wav, "precision": "f32"}, ("openvino",)),
        Side("feltone-openvino-bf16", f"{rivals}:openvino", {"wav": wav, "precision": "bf16"}, ("openvino",)),
        *(
            Side(f"opensmile-{name}", f"{rivals}:opensmile", {"wav": wav, "feature_set": name}, ("opensmile",))
            for name in ("ComParE_2016", "eGeMAPSv02")
        ),
        Side("ast", f"{rivals}:ast", {"wav": wav}, torch),
        Side("wav2vec2-base", f"{rivals}:wav2vec2", {"wav": wav}, torch),
        Side("septr", f"{rivals}:septr", {"wav": wav}, ("torch",)),
    ]


def summary(results: dict[str, Result]) -> dict[str, Any]:
    """Results by side, and what they come to."""
    described = document(results)
    for name, row in described.items():
        row["what"] = WHAT[name]
        if "missing" not in row and name not in LESS_WORK:
            row["ratio_to_plain"] = ratio(results["plain"], results[name])
    return {
        "ms_per_clip_one_core": described["feltone-fp32"].get("median_ms"),
        "ms_per_clip_one_core_int8": described["feltone-int8"].get("median_ms"),
        "ratio_to_plain": described["feltone-fp32"].get("ratio_to_plain"),
        "ratio_to_plain_int8": described["feltone-int8"].get("ratio_to_plain"),
        "scaling_two_cores": ratio(results["feltone-fp32-1core"], results["feltone-fp32-2cores"]),
        "sides": described,
    }


def one_file(wav: str, precision: str = "fp32", model: str | None = STUDENT) -> Callable[[], object]:
    """Feltone on one file, as a user calls it; None for the default model."""
    recognize = feltone.load(model, precision=precision, threads=1)
    return lambda: recognize(wav)


def many_files(files: Sequence[str], workers: int) -> Callable[[], object]:
    """Feltone on a folder of files."""
    recognize = feltone.load(STUDENT, threads=1)

    def work() -> None:
        for _, outcome in recognize.files(files, workers=workers):
            if isinstance(outcome, feltone.FeltoneError):
                raise outcome

    return work


def clip(folder: Path, seconds: int) -> Path:
    """Speech of exactly `seconds`: a bundled clip, repeated and cut."""
    file = folder / f"{seconds}s.wav"
    soundfile.write(file, np.resize(audio.load(SPEECH, SAMPLE_RATE), seconds * SAMPLE_RATE), SAMPLE_RATE, "PCM_16")
    return file


def copies(file: Path, count: int) -> list[str]:
    """Paths of as many copies beside `file`."""
    return [str(shutil.copy(file, file.with_stem(f"{file.stem}-{n}"))) for n in range(count)]
