"""The limit: how fast this machine multiplies matrices, and how near a piece of work comes to it.

A network is little but products of matrices, so its multiply-adds (`feltone.lab.models.cost`) over its time, as a
share of what `torch.mm` reaches on large squares, say how much is left to gain without changing what is computed.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from feltone import machine
from feltone_benchmarks.harness import Missing, Result, Side, Timing, document, measure
from feltone_benchmarks.recognition import STUDENT, clip

SIZES = (1024, 2048)
TYPES = {"fp32": "float32", "bf16": "bfloat16"}
ROUNDS, TURN_SECONDS = 2, 0.4
RECOGNITION = {"recognition-file": "one_file", "recognition-network": "network"}  # of 4 s, fp32, one core

Peaks = Mapping[str, Mapping[str, float | None]]
"""Precision -> "one_core" or "all_cores" -> multiply-adds per second in 1e9, None where the machine has none."""


UNKNOWN: Mapping[str, Any] = {"peak": {}, "sides": {}}
"""What `measure_gemm` would say where nothing was measured: it knows processors alone."""


def measure_gemm(on_turn: Callable[[int, int], object] = lambda done, total: None) -> dict[str, Any]:
    """`peak` (see `Peaks`), what recognition reaches of it on one core, and all sides."""
    from feltone.lab.models.cost import cost

    with tempfile.TemporaryDirectory(prefix="feltone-bench-") as folder:
        results = measure(sides(Path(folder)), rounds=ROUNDS, turn_seconds=TURN_SECONDS, on_turn=on_turn)
    described = document(results)
    if not has_bf16():
        described["gemm-bf16"] = {"missing": "this processor has no bf16 arithmetic: emulated, it would take minutes"}
    peaks = {precision: peak(precision, results) for precision in TYPES}
    macs = cost("student").executed_macs
    for name in RECOGNITION:
        described[name]["gemm_share"] = share(macs, results[name], peaks, "one_core")
    for row in described.values():
        row["what"] = spoken(row.get("gemm_share", {}))
    return {"peak": peaks, "sides": described}


def sides(folder: Path) -> list[Side]:
    """Every size in every precision the processor has, on one core and on all; and recognition."""
    here = "feltone_benchmarks.gemm:"
    products = [
        Side(name(precision, cores, size), f"{here}product", {"size": size, "dtype": TYPES[precision]}, cores=cores)
        for precision in TYPES
        if precision == "fp32" or has_bf16()
        for cores in sorted({1, machine.cores()})
        for size in SIZES
    ]
    settings = {"wav": str(clip(folder, 4))}
    return products + [Side(name, f"{here}{make}", settings) for name, make in RECOGNITION.items()]


def turns() -> int:
    """How many turns `measure_gemm` reports."""
    precisions = 2 if has_bf16() else 1
    return (precisions * len({1, machine.cores()}) * len(SIZES) + len(RECOGNITION)) * (ROUNDS + 1)


def product(size: int, dtype: str) -> Callable[[], object]:
    """One product of two square matrices, into a third."""
    import torch

    one, other = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(one)
    return lambda: torch.mm(one, other, out=out)


def one_file(wav: str) -> Callable[[], object]:
    """Feltone's recognition, file -> probabilities."""
    from feltone_benchmarks import recognition

    return recognition.one_file(wav)


def network(wav: str) -> Callable[[], object]:
    """Its network alone, image -> probabilities."""
    import feltone
    from feltone import audio, features

    recognize = feltone.load(STUDENT, threads=1)
    image = features.log_mel_image(audio.load(wav), recognize.features)[None]
    return lambda: recognize.images(image)


def peak(precision: str, results: Mapping[str, Result]) -> dict[str, float | None]:
    """The best of all sizes, in 1e9 multiply-adds per second (twice as many floating-point operations)."""

    def best(cores: int) -> float | None:
        timed = ((size, results.get(name(precision, cores, size))) for size in SIZES)
        rates = [size**3 / timing.low_ms / 1e6 for size, timing in timed if isinstance(timing, Timing)]
        return round(max(rates), 1) if rates else None

    return {"one_core": best(1), "all_cores": best(machine.cores())}


def share(macs: float, result: Result, peaks: Peaks, cores: str) -> dict[str, float]:
    """How much of each precision's peak, on "one_core" or "all_cores", work of so many multiply-adds reaches."""
    if isinstance(result, Missing):
        return {}
    rate = macs / result.median_ms / 1e6
    return {precision: round(rate / best, 3) for precision, peak in peaks.items() if (best := peak[cores])}


def spoken(shares: Mapping[str, float]) -> str:
    """Shares of the limit in words.

    >>> spoken({"fp32": 0.25})
    '25 % of the fp32 GEMM peak'
    """
    return "; ".join(f"{100 * value:.0f} % of the {precision} GEMM peak" for precision, value in shares.items())


def name(precision: str, cores: int, size: int) -> str:
    """Key of a product in the JSON."""
    return f"gemm-{precision}-{cores}core{'s' * (cores > 1)}-{size}"


def has_bf16() -> bool:
    """Whether the processor multiplies in bf16."""
    from feltone.lab.training.machine import best_precision

    return best_precision("cpu") == "bf16-mixed"
