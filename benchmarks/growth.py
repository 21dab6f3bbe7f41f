"""How cost grows with the corpus: recognition, the memory of training, and the time to its first batch.

    python -m feltone_benchmarks.growth --out results/speed/growth.json    # 100, 1,000, 10,000 clips; --full: 100,000

Every point is measured in a process of its own, on recordings made for it; nothing is extrapolated. The files have
just been written, so the system has them in memory. Beside the JSON stands a figure per question.
"""

import argparse
import io
import json
import math
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from feltone import FeltoneError
from feltone.files import write_atomically, write_json
from feltone_benchmarks.recognition import STUDENT, clip
from feltone_benchmarks.worker import peak_mb

if TYPE_CHECKING:  # a point imports no more than what it measures
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES, FULL = (100, 1_000, 10_000), 100_000  # clips
REPEATS, ONCE_FROM = 3, 10_000  # processes per point; a large one is measured once
WORKERS = 2
SEED = 0

Row = dict[str, float]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/speed/growth.json"))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="clips")
    parser.add_argument("--full", action="store_true", help=f"also {FULL:,} clips: 14 GB of disk, 14 GB of memory")
    parser.add_argument("--point", nargs=3, metavar=("KIND", "CLIPS", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        kind, clips, folder = asked.point
        print(json.dumps(POINTS[kind](int(clips), Path(folder))))
        return
    sizes = sorted({*asked.sizes, FULL} if asked.full else {*asked.sizes})
    document = measure_growth(sizes)
    write_json(asked.out, document)
    for name, figure in figures(document).items():
        write_atomically(
            asked.out.with_name(f"{asked.out.stem}-{name}.svg"), lambda file, image=figure: file.write(image)
        )


def measure_growth(sizes: Sequence[int]) -> dict[str, Any]:
    """Rows per kind of point, and where they come from."""
    from feltone_benchmarks import report

    rows: dict[str, list[Row]] = {}
    for kind in POINTS:
        with tempfile.TemporaryDirectory(prefix="feltone-growth-") as folder:
            PREPARED[kind](max(sizes), Path(folder))
            rows[kind] = [point(kind, clips, Path(folder)) for clips in sizes]
    command = shlex.join(["python", "-m", "feltone_benchmarks.growth", *sys.argv[1:]])
    return report.measure([], 0, lambda *_: None) | {"command": command, "workers": WORKERS} | rows


def point(kind: str, clips: int, folder: Path) -> Row:
    """One point: the median of its processes in every number."""
    command = [sys.executable, "-P", "-m", "feltone_benchmarks.growth", "--point", kind, str(clips), str(folder)]
    found: list[Row] = []
    for _ in range(1 if clips >= ONCE_FROM else REPEATS):
        begun = time.time()
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        found.append({k.replace("_at", "_s"): v - begun if k.endswith("_at") else v for k, v in row.items()})
    merged = {name: float(f"{statistics.median(row[name] for row in found):.4g}") for name in found[0]}
    print(kind, clips, merged, file=sys.stderr)
    return {"clips": clips} | merged


# Recognition ----------------------------------------------------------------------------------------------------------


def make_recordings(clips: int, folder: Path) -> None:
    """A folder of recordings of 1, 2, 3 and 4 s in turn, each a link to one of four."""
    originals = [clip(folder, seconds) for seconds in (1, 2, 3, 4)]
    for number in range(clips):
        name_of(folder, number).symlink_to(originals[number % len(originals)])


def name_of(folder: Path, number: int) -> Path:
    """Path of a recording."""
    return folder / f"recording-{number}.wav"


def recognise(clips: int, folder: Path) -> Row:
    """Recognise so many files."""
    import feltone

    recognize = feltone.load(STUDENT, threads=1)
    recognize(name_of(folder, 0))
    begun = time.perf_counter()
    for _, outcome in recognize.files((name_of(folder, number) for number in range(clips)), workers=WORKERS):
        if isinstance(outcome, FeltoneError):
            raise outcome
    seconds = time.perf_counter() - begun
    return {"clips_per_second": clips / seconds, "peak_mb": peak_mb()}


# Training -------------------------------------------------------------------------------------------------------------


def samples_of(clips: int, folder: Path) -> Iterator[Any]:
    """The four copies of so many clips, which differ in their names alone."""
    from feltone.lab.corpora.clip import Clip
    from feltone.lab.protocols import COPIES, Sample

    for number in range(clips):
        one = Clip("growth", str(number), folder / "4s.wav", "even" if number % 2 else "odd")
        yield from (Sample(one, copy) for copy in COPIES)


def make_cache(clips: int, folder: Path) -> None:
    """Cached images of so many clips; none is computed, and none is waited for to reach the disk."""
    from feltone.features import DEFAULT
    from feltone.lab import cache, dataset

    clip(folder, 4)
    image = np.random.default_rng(SEED).random((DEFAULT.mel_bands, DEFAULT.columns), np.float32)

    def write(file: Path, fill: Callable[[Any], object]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as handle:
            fill(handle)

    with patch.object(dataset, "image_of_copy", lambda *_: image), patch.object(cache, "write_atomically", write):
        for one in dict.fromkeys(sample.clip for sample in samples_of(clips, folder)):
            dataset.copies_of(one, DEFAULT, SEED, folder)


def first_batch(clips: int, folder: Path) -> Row:
    """Load a dataset that is in the cache, as a run does, and take a batch of it."""
    import torch

    from feltone.features import DEFAULT
    from feltone.lab import dataset
    from feltone.lab.training import run
    from feltone.lab.training.resident import Resident, TrainingData
    from feltone.labels import LabelSet

    fabric = run.Machine.of("cpu", 1, "auto", compiled=False, threads=None).fabric()
    samples, base = tuple(samples_of(clips, folder)), peak_mb()
    loaded = dataset.load(samples, LabelSet(("even", "odd")), DEFAULT, SEED, folder)
    data = TrainingData(loaded.images, loaded.targets)
    Resident(data, fabric.device).batch(torch.randperm(len(samples))[:4])
    features, peak = loaded.images.nbytes / (1 << 20), peak_mb()
    return {
        "features_mb": features,
        "base_mb": base,  # interpreter, torch and the laboratory, and the list of samples
        "peak_mb": peak,
        "peak_ratio": peak / features,
        "peak_above_base_ratio": (peak - base) / features,
        "first_batch_at": time.time(),
    }


POINTS: Mapping[str, Callable[[int, Path], Row]] = {"recognition": recognise, "training": first_batch}
PREPARED: Mapping[str, Callable[[int, Path], None]] = {"recognition": make_recordings, "training": make_cache}


# Figures --------------------------------------------------------------------------------------------------------------


def figures(document: Mapping[str, Any]) -> dict[str, bytes]:
    """A figure per question, as SVG."""
    drawn = {"recognition": draw_recognition, "memory": draw_memory, "start": draw_start}
    return {name: _svg(lambda figure, draw=draw: draw(figure, document)) for name, draw in drawn.items()}


def draw_recognition(figure: "Figure", document: Mapping[str, Any]) -> None:
    """Clips per second and memory against the number of files."""
    figure.suptitle("Recognising a folder", **TITLE)
    rows = document["recognition"]
    words = {"clips_per_second": "clips per second", "peak_mb": "peak memory, MB"}
    for axes, (key, label) in zip(figure.subplots(2, sharex=True), words.items(), strict=True):
        _line(axes, rows, "clips", key, "o-", BLUE)
        axes.set(ylim=(0, 1.15 * max(row[key] for row in rows)), ylabel=label)
        axes.set_xlabel("files" if key == "peak_mb" else "")


def draw_memory(figure: "Figure", document: Mapping[str, Any]) -> None:
    """Memory of training against the size of its features."""
    figure.suptitle("Memory of training", **TITLE)
    axes, rows = figure.subplots(), document["training"]
    _line(axes, rows, "features_mb", "peak_mb", "o-", BLUE, "peak of the process")
    _line(axes, rows, "features_mb", "base_mb", "s--", GREY, "before the features are loaded")
    limit = [row | {"limit_mb": 1.2 * row["features_mb"]} for row in rows]
    _line(axes, limit, "features_mb", "limit_mb", ":", VERMILION, "1.2 × the features")
    axes.set(xlabel="cached features, MB", ylabel="memory, MB")
    _decades(axes, [row[key] for row in limit for key in ("peak_mb", "base_mb", "limit_mb")])
    axes.legend(loc="lower right")


def draw_start(figure: "Figure", document: Mapping[str, Any]) -> None:
    """Time to the first batch against the size of the cache."""
    figure.suptitle("Training: start of the process to its first batch", **TITLE)
    axes, rows = figure.subplots(), document["training"]
    _line(axes, rows, "features_mb", "first_batch_s", "o-", BLUE)
    axes.set(xlabel="cached features, MB", ylabel="seconds")
    _decades(axes, [row["first_batch_s"] for row in rows])


BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#8C959F"  # as in feltone.lab.figures
TITLE: Mapping[str, Any] = {"x": 0.015, "ha": "left", "fontsize": 11, "fontweight": "bold"}


def _line(axes: "Axes", rows: Sequence[Row], x: str, y: str, style: str, colour: str, label: str | None = None) -> None:
    """A line over a logarithmic axis that names the measured points."""
    places = [row[x] for row in rows]
    axes.plot(places, [row[y] for row in rows], style, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:,.3g}" if place < 100 else f"{place:,.0f}" for place in places])
    axes.set_xticks([], minor=True)
    axes.grid(True)


def _decades(axes: "Axes", values: Sequence[float]) -> None:
    """A logarithmic axis over whole decades, in plain numbers."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [10.0**power for power in range(low, high + 1)]
    axes.set(yscale="log", ylim=(ticks[0], ticks[-1]))
    axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])


def _svg(draw: "Callable[[Figure], None]") -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from feltone.lab.figures import LOOK

    with rc_context({**LOOK, "svg.hashsalt": "feltone"}):
        figure = Figure((4.6, 3.6), layout="constrained")
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


if __name__ == "__main__":
    main()
