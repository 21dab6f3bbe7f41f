"""Where a clip's time goes, from the file to the probabilities, on one core: what there is left to gain.

    python -m feltone_benchmarks.profile --out results/speed/profile-NAME.json

The stages of the front end are timed as they are called; of the network, ONNX Runtime's own profile gives the time of
each kind of operator.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from feltone import audio, features, recognizer
from feltone.files import write_json
from feltone.lab import provenance
from feltone_benchmarks import report
from feltone_benchmarks.recognition import clip

REPEATS = 200
LISTED = 6  # kinds of operator with a line of their own


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="feltone-profile-") as folder:
        wav = clip(Path(folder), 4)
        found = {"front_end": front_end(wav)} | {
            precision: network(precision, wav, Path(folder)) for precision in ("fp32", "int8")
        }
    origin = provenance.origin()
    write_json(out, {"machine": report.machine()} | origin | found)
    print(table(found))


def front_end(wav: Path) -> dict[str, float]:
    """Stage -> milliseconds; `image` includes the stages below it."""
    config = features.DEFAULT
    samples = audio.load(wav)
    frames = np.zeros((features.FRAMES_AT_ONCE, config.fft_size), np.float32)
    spectra = np.empty((features.FRAMES_AT_ONCE, config.fft_size // 2 + 1), np.complex64)
    blocks, transform = -(-config.frames // features.FRAMES_AT_ONCE), features.real_transform()
    return {
        "decode": median_ms(lambda: audio.load(wav)),
        "image": median_ms(lambda: features.log_mel_image(samples)),
        "image: mel spectra": median_ms(lambda: features.mel_power(samples)),
        "image: mel spectra: transform": median_ms(lambda: [transform(frames, spectra) for _ in range(blocks)]),
    }


def network(precision: str, wav: Path, folder: Path) -> dict[str, float]:
    """Kind of operator -> milliseconds per clip, the most expensive first; `run` is the whole."""
    recognize = recognizer.from_model(precision=precision, threads=1)
    image = features.log_mel_image(audio.load(wav))[None]
    found = {"run": median_ms(lambda: recognize.images(image))}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.enable_profiling, options.profile_file_prefix = True, str(folder / precision)
    graph = str(recognize.artifact.graph(precision))
    profiled = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    for _ in range(REPEATS):
        profiled.run(None, {"image": image})
    spent: dict[str, float] = defaultdict(float)
    for event in json.loads(Path(profiled.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"] / 1_000 / REPEATS
    ranked = sorted(spent.items(), key=lambda item: -item[1])
    rest = {"other operators": sum(ms for _, ms in ranked[LISTED:])}
    return {name: round(ms, 3) for name, ms in (found | dict(ranked[:LISTED]) | rest).items()}


def median_ms(call: Callable[[], Any]) -> float:
    """Median of `REPEATS` calls, after some that are not counted."""
    seconds = []
    for _ in range(REPEATS // 10 + REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return round(1_000 * statistics.median(seconds[REPEATS // 10 :]), 3)


def table(found: dict[str, dict[str, float]]) -> str:
    """What was measured, as Markdown."""
    lines = ["| part | stage | ms |", "|---|---|--:|"]
    return "\n".join(lines + [f"| {part} | {name} | {ms:.2f} |" for part in found for name, ms in found[part].items()])


if __name__ == "__main__":
    main()
