"""Writes page.json and page.bin.gz: what the browser page (web/src) must make of five bundled clips and other inputs.

    python tests/golden/page.py

and results/onnx_golden.json: how far the front end of `feltone export --to onnx-waveform` is from the same pictures.

page.bin.gz holds, one after the other and little-endian, int16 samples at 16 kHz (full scale 32768) and uint16
pictures (1 is 65535), row by row from the lowest band; page.json says which, and holds what is short enough for text.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from feltone import attention, audio, features
from feltone.doors.demo import CLIPS
from feltone.features import DEFAULT
from feltone.files import write_json
from feltone.lab import waveform_graph
from feltone.live import RollingImage
from feltone.recognizer import windows
from feltone.timeline import Segment, Timeline

Array = NDArray[np.float32]

HERE = Path(__file__).parent
INDEX, VALUES = HERE / "page.json", HERE / "page.bin.gz"
NAMES = ("anger", "boredom", "fear", "happiness", "sadness")
RESULT = HERE.parents[1] / "results" / "onnx_golden.json"
CHUNK = 4_000  # samples: the page's 250 ms
LOOKS = (20_000, 64_000, 100_000, 200_000)  # samples after which the rolling image is looked at
PATCHES = ((1, 128), (8, 8))
LENGTHS = (1, 7_999, 8_000, 64_000, 71_999, 72_000, 80_000, 87_999, 88_000, 160_000)  # samples of a recording

# Halves that Python rounds to even, exponents, quotes, commas, and letters outside ASCII.
TIMELINE = Timeline(
    "Gespräch „eins“ 🎙",
    1.0,
    (
        Segment(0.0, 4.0, "calm", {"calm": 0.5, 'so, "so"': 0.03125, "müde": 1.5e-7}, unsure=True),
        Segment(1.0, 5.0, "calm", {"calm": 0.25, 'so, "so"': 0.09375, "müde": 0.1 + 0.2}),
        Segment(2.0, 6.0, "silence", {"calm": 0.0, 'so, "so"': 0.0, "müde": 0.0}),
        Segment(3.0, 6.0625, "müde", {"calm": 1e-05, 'so, "so"': 0.15625, "müde": 0.123456789012345}, unsure=True),
        Segment(4.0, 6.1875, 'so, "so"', {"calm": 0.0001, 'so, "so"': 1.0, "müde": 3e-12}),
    ),
)


def clips() -> dict[str, Array]:
    """The five clips."""
    return {name: audio.load(CLIPS / f"{name}.flac") for name in NAMES}


def pictures() -> list[Array]:
    """Image of every clip; rolling image of all in a row after each of `LOOKS`; a mask for each of `PATCHES`."""
    heard = clips()
    images = [features.log_mel_image(clip) for clip in heard.values()]
    return images + rolling(np.concatenate(list(heard.values()))) + [mask(patches) for patches in PATCHES]


def rolling(signal: Array) -> list[Array]:
    """Its rolling image after each of `LOOKS`."""
    image, found = RollingImage(), []
    for end in range(CHUNK, len(signal), CHUNK):
        image.push(signal[end - CHUNK : end])
        if end in LOOKS:
            found.append(image.image())
    return found


def mask(patches: tuple[int, int]) -> Array:
    """Of an attention of 2 blocks and 3 heads that follows a formula: 1 + (7919 n mod 97) for its n-th number."""
    count = patches[0] * patches[1]
    numbers = 1 + 7_919 * np.arange(2 * 3 * count) % 97
    return attention.mask(numbers.reshape(2, 3, count).astype(np.float32), patches)


def index() -> dict[str, Any]:
    """What page.json holds."""
    cuts = {length: windows(iter([np.zeros(length, np.float32)]), DEFAULT, 1.0) for length in LENGTHS}
    seconds = {length: [[start, start + len(some) / 16_000] for start, some in cut] for length, cut in cuts.items()}
    rows = {"name": TIMELINE.name, "hop": TIMELINE.hop, "segments": [vars(one) for one in TIMELINE.segments]}
    spans = [vars(span) for span in TIMELINE.spans()]
    return {
        "features": DEFAULT.to_dict(),
        "clips": {name: len(clip) for name, clip in clips().items()},
        "chunk": CHUNK,
        "looks": LOOKS,
        "patches": PATCHES,
        "windows": seconds,
        "timeline": rows | {"spans": spans, "csv": TIMELINE.to_csv(), "json": TIMELINE.to_json()},
    }


def write() -> None:
    """Both files."""
    samples = [np.round(32_768 * clip).astype("<i2") for clip in clips().values()]
    drawn = [np.round(65_535 * picture).astype("<u2") for picture in pictures()]
    INDEX.write_text(json.dumps(index(), indent=1) + "\n")
    VALUES.write_bytes(gzip.compress(b"".join(array.tobytes() for array in [*samples, *drawn]), mtime=0))


def stored() -> tuple[dict[str, Any], list[Array]]:
    """The index and the pictures that were written."""
    shape = (len(NAMES) + len(LOOKS) + len(PATCHES), DEFAULT.mel_bands, DEFAULT.columns)
    values = np.frombuffer(gzip.decompress(VALUES.read_bytes()), "<u2")[-int(np.prod(shape)) :]
    return json.loads(INDEX.read_text()), list(np.float32(values / 65_535).reshape(shape))


def onnx_differences() -> dict[str, float]:
    """Clip -> largest difference of ONNX Runtime's image from the stored one."""
    model = waveform_graph.front_end(DEFAULT, ir=10, opset=20)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = {name: session.run(["image"], {"waveform": clip[None]})[0][0] for name, clip in clips().items()}
    return {
        name: float(np.abs(image - picture).max())
        for (name, image), picture in zip(images.items(), stored()[1], strict=False)
    }


if __name__ == "__main__":
    write()
    what = "largest difference of the exported front end's image from Python's, values in [0, 1]"
    write_json(RESULT, {"what": what, "onnxruntime": onnxruntime.__version__, "differences": onnx_differences()})
