"""Start: fresh processes on files that the system has in memory, and what they load."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from feltone_benchmarks.harness import Result, Side, Timing, document, measure
from feltone_benchmarks.recognition import clip

TURN_SECONDS = 0.5
HEAVY = {"torch", "scipy", "pandas", "sklearn", "matplotlib", "librosa", "numba", "transformers", "onnx", "pyarrow"}
"""Packages whose import would be felt."""

PREDICT = "import sys; from feltone.doors.cli import run; code = run(['predict', sys.argv[1]])"
LOADED = "import json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"


def measure_start(rounds: int = 5, on_turn: Callable[[int, int], object] = lambda done, total: None) -> dict[str, Any]:
    """Milliseconds that `import feltone` adds to a bare Python, and that `feltone predict FILE` takes in all."""
    with tempfile.TemporaryDirectory(prefix="feltone-bench-") as folder:
        wav = str(clip(Path(folder), 4))
        starts = {
            "python": ["pass"],
            "import-feltone": ["import feltone"],
            "predict": [f"{PREDICT}; sys.exit(code)", wav],
        }
        sides = [Side(name, "feltone_benchmarks.startup:launch", {"code": code}) for name, code in starts.items()]
        results = measure(sides, rounds=rounds, turn_seconds=TURN_SECONDS, on_turn=on_turn)
        packages = loaded(wav)
    described = document(results)
    return {
        "import_ms": difference(results["import-feltone"], results["python"]),
        "predict_ms": described["predict"].get("median_ms"),
        "predict_loads": packages,
        "predict_loads_heavy": sorted(HEAVY.intersection(packages)),
        "sides": described,
    }


def launch(code: Sequence[str]) -> Callable[[], object]:
    """Start a Python on `code` (a program and its arguments) and wait for its end."""
    command = [sys.executable, "-c", *code]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def difference(whole: Result, part: Result) -> float | None:
    """Median over the rounds of what `whole` takes beyond `part`, in ms; None where one is missing."""
    if not (isinstance(whole, Timing) and isinstance(part, Timing)):
        return None
    return statistics.median(a - b for a, b in zip(whole.per_round_ms, part.per_round_ms, strict=True))


def loaded(wav: str) -> list[str]:
    """Top-level packages outside the standard library that `feltone predict` has imported when it is done."""
    command = [sys.executable, "-c", f"{PREDICT}; {LOADED}", wav]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names: list[str] = json.loads(done.stderr.splitlines()[-1])
    return [name for name in names if name not in sys.stdlib_module_names and not name.startswith("_")]
