"""That speed changes nothing: every EmoDB clip by the plain path and by Feltone's, in both precisions.

FELTONE_DATA=... python -m feltone_benchmarks.agreement --out results/speed/agreement.json
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

import feltone
from feltone.files import write_json
from feltone.lab import corpora, provenance
from feltone_benchmarks import plain, report
from feltone_benchmarks.recognition import STUDENT

PRECISIONS = ("fp32", "int8")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    clips = [clip.path for clip in corpora.read("emodb", Path(os.environ["FELTONE_DATA"]))]
    expected = np.array([list(plain.recognition(path)().values()) for path in clips])
    found: dict[str, Any] = {precision: compare(expected, clips, precision) for precision in PRECISIONS}
    origin = provenance.origin()
    write_json(out, {"machine": report.machine()} | origin | {"clips": len(clips)} | found)
    print(found)


def compare(expected: np.ndarray, clips: list[Path], precision: str) -> dict[str, float]:
    """The largest difference of a probability from plain, and how many labels differ."""
    recognize = feltone.load(STUDENT, precision=precision, threads=1)
    heard = np.array([list(recognize(path).scores.values()) for path in clips])
    return {
        "max_probability_difference": float(np.abs(heard - expected).max()),
        "labels_that_differ": int((heard.argmax(1) != expected.argmax(1)).sum()),
    }


if __name__ == "__main__":
    main()
