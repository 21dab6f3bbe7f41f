"""The page as files: what `feltone serve` answers at `/` and `feltone export --to web` writes."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import feltone
from feltone import artifact
from feltone.doors import browser
from feltone.doors.export import export_model
from feltone.doors.serve.site import policy
from feltone.errors import ConfigError
from feltone.lab import portable
from feltone.recognizer import Recognizer, softmax
from serving import CLIPS, Running, serving, told

PAGE = """<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'self'"><p>a page</p>"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page in place of the built one, which is not everywhere."""
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "sw.js").write_text("worker")
    (folder / "assets" / "some-AbCd.wasm").write_bytes(b"\0asm")
    monkeypatch.setattr(browser, "PAGE", folder)
    return folder


@pytest.fixture
def running(page: Path) -> Iterator[Running]:
    with serving(feltone.load(threads=1), tokens=frozenset({"secret"})) as running:
        yield running


def test_the_page_is_public_isolated_and_held_to_its_own_policy(running: Running) -> None:
    for address in ("/", "/index.html"):
        answer = running.get(address)
        assert (answer.status_code, answer.text) == (200, PAGE)
        assert answer.headers["content-type"].startswith("text/html")
    worker = running.get("/sw.js").headers
    assert worker["content-security-policy"] == policy(PAGE) == "default-src 'self'; frame-ancestors 'none'"
    assert worker["cross-origin-opener-policy"] == "same-origin"
    assert worker["cross-origin-embedder-policy"] == "require-corp"
    told(running.get("/v1/model"), 401, "unauthorised")


def test_files_have_their_types_and_are_kept_as_long_as_they_are_right(running: Running) -> None:
    wasm = running.get("/assets/some-AbCd.wasm")
    assert wasm.content == b"\0asm" and wasm.headers["content-type"] == "application/wasm"
    assert "immutable" in wasm.headers["cache-control"]
    for address in ("/", "/sw.js", "/model/model.json", "/clips/clips.json", "/clips/anger.flac"):
        first = running.get(address)
        assert first.headers["cache-control"] == "no-cache", address
        again = running.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304 and not again.content
    assert running.get("/clips/anger.flac").headers["content-type"] == "audio/flac"


def test_only_the_pages_files_are_served_and_other_refusals_stay_as_they_were(running: Running) -> None:
    for address in ("/assets/", "/clips/../artifact.py", "/clips/%2e%2e/artifact.py", "/model", "/nothing.html"):
        told(running.get(address), 404, "no_such_path")
    with running.client() as client:
        told(client.post("/"), 405, "wrong_method")
        assert client.head("/").headers["content-length"] == str(len(PAGE))
        told(client.get("/v1/predict", headers={"Authorization": "Bearer secret"}), 405, "wrong_method")
    paths = running.get("/openapi.json").json()["paths"]
    assert not {"/", "/sw.js", "/model/model.json"} & set(paths)


def test_what_the_page_is_told_of_the_model_is_true_of_the_graph_it_is_given(running: Running) -> None:
    graph, record = running.get("/model/model.onnx").content, running.get("/model/model.json").json()
    assert record["bytes"] == len(graph) and record["sha256"] == hashlib.sha256(graph).hexdigest()
    sealed = artifact.load()
    assert record["labels"] == list(sealed.labels) and record["features"] == sealed.features.to_dict()
    assert record["patches"] == list(sealed.patches) and record["image"] == [128, 128]
    assert record["model_card"] == (sealed.folder / "README.md").read_text()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    image = np.outer(range(128), range(128)).astype(np.float32) % 128 / 127
    logits = session.run(["logits"], {"image": np.float32(image)[None]})[0]
    assert np.abs(softmax(logits)[0] - record["golden"]["probabilities"]).max() < 1e-5 < record["golden"]["tolerance"]


def test_an_artefact_that_says_little_is_served_all_the_same(page: Path, tmp_path: Path) -> None:
    sealed = artifact.load()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(sealed.graph().read_bytes())
    little = {key: sealed.description[key] for key in ("name", "labels", "outputs", "features", "model")}
    with serving(Recognizer(artifact.seal(tmp_path / "model", little), threads=1)) as running:
        record = running.get("/model/model.json").json()
        assert record["source"] is None and record["model_card"] is None
        assert running.get("/model/model.onnx").content == sealed.graph().read_bytes()


def test_the_page_is_served_where_the_laboratory_is_not_installed() -> None:
    program = """
import sys
for name in ("torch", "onnx", "onnxscript", "safetensors", "sklearn", "matplotlib", "pyarrow"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
import feltone.doors.serve.site
from feltone import artifact
from feltone.doors import browser
graph, record = browser.model_of(artifact.load())
assert record["precision"] == "int8" and len(graph) == record["bytes"]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_where_the_page_is_not_built_one_line_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "PAGE", tmp_path)
    with serving(feltone.load(threads=1)) as running:
        assert "make web" in told(running.get("/"), 404, "no_page")["remedy"]
        assert running.get("/healthz").status_code == 200
    with pytest.raises(ConfigError, match="make web"):
        export_model(None, "web", tmp_path / "out", CLIPS / "fear.flac", as_json=False)
    assert not (tmp_path / "out").exists()


def test_the_export_is_the_page_with_a_model_that_was_compared(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # the second time over the first
        assert export_model(None, "web", out, CLIPS / "fear.flac", as_json=True) == 0
        told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(out / "model" / "model.onnx") and told["parity"]["equal_labels"] == 1
    assert (out / "index.html").read_text() == PAGE and (out / "assets" / "some-AbCd.wasm").read_bytes() == b"\0asm"
    assert (out / "clips" / "anger.flac").read_bytes() == (CLIPS / "anger.flac").read_bytes()
    assert portable.verify(out / "model" / "model.onnx") < 1e-5
    record = json.loads((out / "model" / "model.json").read_text())
    assert record["sha256"] == artifact.digest(out / "model" / "model.onnx")
    assert set(record) == set(browser.model_of(artifact.load())[1]), "one form for both doors"


def test_a_folder_that_holds_something_else_stays_as_it_is(page: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "mine.txt"):
        with pytest.raises(ConfigError, match="choose a folder of its own"):
            export_model(None, "web", folder, CLIPS / "fear.flac", as_json=False)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]
