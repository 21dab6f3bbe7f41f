"""The golden file that the browser page's twins are held to (web/tests) is what the definitions make today."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "golden"))
import page as golden

QUANTUM = 1 / 65_535  # of the stored pictures


def test_the_golden_file_of_the_page_is_what_python_makes() -> None:
    index, pictures = golden.stored()
    assert index == json.loads(json.dumps(golden.index()))
    for stored, made in zip(pictures, golden.pictures(), strict=True):
        assert np.abs(stored - made).max() < 1e-5 + QUANTUM


def test_the_front_end_in_onnx_makes_the_same_pictures() -> None:
    differences = golden.onnx_differences()
    assert set(differences) == set(golden.NAMES) and max(differences.values()) < 1e-4
