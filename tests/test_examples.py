"""The examples outside Feltone say what Feltone says; each runs where its runtime is found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile

import feltone
from feltone import artifact
from feltone.lab import portable

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "onnx"
CLIPS = Path(feltone.__file__).parent / "clips"
NODE_MODULES = (EXAMPLES / "node_modules", ROOT / "web" / "node_modules")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    return portable.export(artifact.load(), "onnx-waveform", folder, [CLIPS / "fear.flac"], "one clip").file


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clips") / "fear.wav"
    samples, rate = soundfile.read(CLIPS / "fear.flac", dtype="int16")
    soundfile.write(file, samples, rate, subtype="PCM_16")
    return file


@pytest.fixture(scope="module")
def scores(clip: Path) -> dict[str, float]:
    return feltone.load()(clip).scores


def printed(command: list[str], **environment: str) -> list[str]:
    """Lines that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def assert_same(lines: list[str], scores: dict[str, float]) -> None:
    said = {label: float(probability) for label, probability in map(str.split, lines)}
    assert list(said) == list(scores)
    assert said == pytest.approx(scores, abs=1e-3)


def test_python_with_onnxruntime_alone(model: Path, clip: Path, scores: dict[str, float]) -> None:
    source = (EXAMPLES / "recognize.py").read_text()
    assert "import feltone" not in source and "from feltone" not in source
    assert_same(printed([sys.executable, str(EXAMPLES / "recognize.py"), str(model), str(clip)]), scores)


@pytest.mark.parametrize("package", ["onnxruntime-node", "onnxruntime-web"])
def test_javascript(package: str, model: Path, clip: Path, scores: dict[str, float], tmp_path: Path) -> None:
    """The example requires one package, and says that the other has the same interface."""
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    places = [str(place) for place in NODE_MODULES] + [os.environ.get("NODE_PATH", "")]
    searched = os.pathsep.join(filter(None, places))
    if subprocess.run(["node", "-e", f"require.resolve('{package}')"], env=os.environ | {"NODE_PATH": searched},
                      capture_output=True).returncode:  # fmt: skip
        pytest.skip(f"needs {package} from npm, in examples/onnx/ or web/, or its node_modules in NODE_PATH")
    source = (EXAMPLES / "recognize.js").read_text()
    assert "require('onnxruntime-node')" in source
    program = tmp_path / "recognize.js"
    program.write_text(source.replace("require('onnxruntime-node')", f"require('{package}')"))
    assert_same(printed(["node", str(program), str(model), str(clip)], NODE_PATH=searched), scores)


def test_cpp(model: Path, clip: Path, scores: dict[str, float], tmp_path: Path) -> None:
    headers = os.environ.get("ONNXRUNTIME_INCLUDE")
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not headers or not libraries or not shutil.which("g++"):
        pytest.skip("needs g++, and ONNX Runtime's headers: set ONNXRUNTIME_INCLUDE to their folder")
    (tmp_path / "libonnxruntime.so.1").symlink_to(libraries[-1])  # the name that it gives itself
    program, library = str(tmp_path / "recognize"), str(tmp_path / "libonnxruntime.so.1")
    sources = [f"-I{headers}", str(EXAMPLES / "recognize.cpp"), library, f"-Wl,-rpath,{tmp_path}"]
    subprocess.run(["g++", "-std=c++17", "-Wall", "-Werror", *sources, "-o", program], check=True)
    labels, *probabilities = printed([program, str(model), str(clip)])
    assert labels == str(list(scores)).replace("'", '"')
    assert np.array(probabilities, float) == pytest.approx(list(scores.values()), abs=1e-3)


def test_the_readme_names_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    programs = {file.name for file in EXAMPLES.glob("recognize.*")}
    assert len(programs) == 3 and all(f"]({name})" in readme for name in programs)
