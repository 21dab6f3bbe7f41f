"""A model from a stranger: whatever was done to it, loading it runs nothing, opens nothing else, and says so."""

import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import feltone
from feltone import artifact
from feltone.artifact import DESCRIPTION
from feltone.doors import cli
from feltone.errors import ArtifactError
from feltone.lab import exported, portable, trained

CLIP = Path(feltone.__file__).parent / "clips" / "anger.flac"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The shipped model, to be tampered with."""
    return Path(shutil.copytree(artifact.find(), tmp_path / "models" / "student"))


def described(model: Path) -> dict:
    return json.loads((model / DESCRIPTION).read_text())


def redescribe(model: Path, **changes: object) -> None:
    (model / DESCRIPTION).write_text(json.dumps(described(model) | changes))


def reseal(model: Path) -> None:
    """As a stranger who knows how: the hashes are those of what now lies there."""
    artifact.seal(model, described(model))


def refusal(model: Path, fault: str, precision: str = "fp32") -> None:
    """Loading refuses with one line that names the fault, and so do `predict` and `verify`."""
    with pytest.raises(ArtifactError, match=fault) as caught:
        feltone.load(model, precision=precision)
    assert "\n" not in str(caught.value) and str(model) in str(caught.value)


def verdicts(model: Path, capsys: pytest.CaptureFixture[str], code: int) -> dict[str, str]:
    """What `feltone verify` found to be wrong, by what was asked."""
    assert cli.run(["verify", str(model), "--json"]) == code
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["sound"] == (code == 0) and "next: " in printed.err
    return {one["what"]: one["said"] for one in document["findings"] if one["verdict"] == "wrong"}


def test_a_sound_model_is_sound_and_told_so(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdicts(model, capsys, 0) == {}
    assert cli.run(["verify", str(model)]) == 0
    printed = capsys.readouterr()
    asked = [line.split()[0] for line in printed.out.splitlines()[1:]]
    assert asked == ["description", *sorted(described(model)["files"]), "folder", "weights", "fp32", "int8",
                     "network", "ledger"]  # fmt: skip
    assert printed.err.strip().splitlines()[-1] == f"next: feltone predict recording.wav --model {model}"


# ---- the description ----


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"files": {"../../secret": "0" * 64}}, "names a file outside the model"),
        ({"files": {"/etc/passwd": "0" * 64}}, "names a file outside the model"),
        ({"files": {"..\\secret": "0" * 64}}, "names a file outside the model"),
        ({"files": {"..": "0" * 64}}, "names a file outside the model"),
        ({"files": {"": "0" * 64}}, "names a file outside the model"),
        ({"files": {"a\0b": "0" * 64}}, "names a file outside the model"),
        ({"files": {"README.md": "0"}}, "has no SHA-256 for 'README.md'"),
        ({"files": {"README.md": None}}, "has no SHA-256 for 'README.md'"),
        ({"files": ["README.md"]}, "'files' is no dict"),
        ({"files": {}}, "has no 'fp32' graph"),
        ({"schema": 2}, "schema 2 is newer than this Feltone reads"),
        ({"schema": "1"}, "'schema' is no int"),
        ({"schema": 10**30}, "newer than this Feltone"),
        ({"labels": "anger"}, "'labels' is no list"),
        ({"labels": [1, 2, 3, 4, 5, 6, 7]}, "'labels' are not all text"),
        ({"outputs": None}, "'outputs' is no int"),
        ({"outputs": 6}, "7 labels for 6 outputs"),
        ({"features": []}, "'features' is no dict"),
        ({"features": {"clip_seconds": 1e9}}, "no front end is so large"),
        ({"features": {"mel_bands": 64}}, r"its image is tensor\(float\)"),
        ({"labels": ["a", "b"], "outputs": 2}, r"its logits is tensor\(float\)"),
        ({"name": ["x"]}, "'name' is no str"),
    ],
)
def test_a_description_that_lies_or_misleads_is_refused(model: Path, changes: dict, fault: str) -> None:
    redescribe(model, **changes)
    refusal(model, fault)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"schema": ' + b"1" * 5_000 + b"}", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"a": "\xff"}', "is not JSON"),
        (b"{}", "says nothing about 'schema'"),
        (pickle.dumps({"schema": 1}), "is not JSON"),
    ],
)
def test_a_description_of_no_form_is_refused(model: Path, content: bytes, fault: str) -> None:
    (model / DESCRIPTION).write_bytes(content)
    refusal(model, fault)


def test_a_description_cut_anywhere_is_refused(model: Path) -> None:
    whole = (model / DESCRIPTION).read_bytes().rstrip()
    for length in range(0, len(whole), 97):
        (model / DESCRIPTION).write_bytes(whole[:length])
        refusal(model, "is not JSON")


# ---- links ----


def link(name: str, target: str) -> Callable[[Path], None]:
    def make(model: Path) -> None:
        (model / name).unlink()
        (model / name).symlink_to(target.format(outside=model.parent / "outside"))

    return make


@pytest.mark.parametrize("name", ["README.md", "model.onnx", DESCRIPTION])
@pytest.mark.parametrize("target", ["{outside}", "../outside"])
def test_a_link_out_of_the_folder_is_not_followed_though_its_content_is_the_sealed_one(
    model: Path, name: str, target: str
) -> None:
    shutil.copy(model / name, model.parent / "outside")
    link(name, target)(model)
    refusal(model, r"is a link out of the model, to .*outside; do not use this model")


def test_a_link_in_a_circle_and_one_to_nothing_are_refused(model: Path) -> None:
    link("README.md", "README.md")(model)
    refusal(model, "README.md: is (missing|a link out)")
    link("README.md", "gone")(model)
    refusal(model, "README.md: is missing")


def test_the_folder_itself_may_be_a_link_and_the_hubs_cache_is_one_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(model)
    assert feltone.load(tmp_path / "latest").labels
    cache = tmp_path / "models--owner--student"
    snapshot = cache / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for number, file in enumerate(sorted(model.iterdir())):
        shutil.copy(file, cache / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert feltone.load(snapshot).labels


# ---- graphs ----


def tensor_elsewhere(graph: onnx.ModelProto, place: str) -> None:
    tensor = next(one for one in graph.graph.initializer if one.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)


def tensor_elsewhere_in_a_node(graph: onnx.ModelProto) -> None:
    tensor = onnx.helper.make_tensor("hidden", onnx.TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    inner = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=tensor)], "g", [], [])
    graph.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))


def operator_of_a_stranger(graph: onnx.ModelProto) -> None:
    graph.graph.node.append(onnx.helper.make_node("Run", ["image"], ["extra"], domain="evil"))
    graph.opset_import.append(onnx.helper.make_opsetid("evil", 1))


def huge_tensor(graph: onnx.ModelProto) -> None:
    tensor = graph.graph.initializer.add(name="huge", data_type=onnx.TensorProto.FLOAT)
    tensor.dims.extend([1 << 40, 1 << 20])


def other_outputs(graph: onnx.ModelProto) -> None:
    graph.graph.output.pop()


def not_a_number(graph: onnx.ModelProto) -> None:
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
            tensor.raw_data = np.full(np.prod(tensor.dims), np.nan, np.float32).tobytes()


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        pytest.param(lambda g: tensor_elsewhere(g, "/etc/passwd"), "lies in another file", id="absolute"),
        pytest.param(lambda g: tensor_elsewhere(g, "../../secret.bin"), "lies in another file", id="traversal"),
        pytest.param(lambda g: tensor_elsewhere(g, "README.md"), "lies in another file", id="inside"),
        pytest.param(tensor_elsewhere_in_a_node, "tensor 'hidden' lies in another file", id="hidden-in-a-branch"),
        pytest.param(operator_of_a_stranger, "asks for operator 'Run' of 'evil'", id="custom-operator"),
        pytest.param(huge_tensor, "tensor 'huge' claims more values than there are", id="huge-tensor"),
        pytest.param(other_outputs, r"not the graph of a recogniser \(attention\)", id="outputs"),
    ],
)
def test_a_graph_that_reaches_out_or_is_another_is_refused_before_it_runs(
    model: Path, tamper: Callable[[onnx.ModelProto], None], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = onnx.load(model / "model.onnx")
    tamper(graph)
    (model / "model.onnx").write_bytes(graph.SerializeToString())
    reseal(model)
    refusal(model, fault)
    assert cli.run(["predict", str(CLIP), "--model", str(model)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("feltone: ") and printed.err.count("\n") == 1 and not printed.out
    assert "fp32" in verdicts(model, capsys, 2)


@pytest.mark.parametrize("keep", [0, 1, 100, 5_000, 1_000_000, -1])
def test_a_graph_that_is_cut_is_refused(model: Path, keep: int) -> None:
    whole = (model / "model.onnx").read_bytes()
    (model / "model.onnx").write_bytes(whole[:keep])
    refusal(model, "differs from what was sealed")
    reseal(model)
    refusal(model, "not an ONNX graph, or damaged|ONNX Runtime cannot use it|not the graph of a recogniser")


def test_a_graph_that_gives_no_numbers_is_refused_when_it_does(model: Path) -> None:
    graph = onnx.load(model / "model.onnx")
    not_a_number(graph)
    (model / "model.onnx").write_bytes(graph.SerializeToString())
    reseal(model)
    with pytest.raises(ArtifactError, match="gives no finite logits for 7 labels"):
        feltone.load(model)(CLIP)


def test_a_graph_that_answers_otherwise_than_its_weights_is_found_by_verify(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = onnx.load(model / "model.onnx")
    weights = next(one for one in graph.graph.initializer if list(one.dims) == [7] or list(one.dims) == [256, 7])
    weights.raw_data = (-onnx.numpy_helper.to_array(weights)).astype(np.float32).tobytes()
    (model / "model.onnx").write_bytes(graph.SerializeToString())
    reseal(model)
    assert feltone.load(model)(CLIP), "it runs: only whoever knows the weights can tell"
    found = verdicts(model, capsys, 2)
    assert set(found) == {"fp32"} and "its golden answer is" in found["fp32"]
    redescribe(model, golden=None)
    found = verdicts(model, capsys, 2)
    assert set(found) == {"network"} and "weights and graph differ by" in found["network"]


def test_an_exported_file_is_verified_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = portable.export(artifact.load(), "onnx", tmp_path, [CLIP], "one clip").file
    assert verdicts(file, capsys, 0) == {}
    graph = onnx.load(file)
    tensor_elsewhere(graph, "/etc/passwd")
    file.write_bytes(graph.SerializeToString())
    assert "lies in another file" in verdicts(file, capsys, 2)["golden answer"]
    with pytest.raises(ArtifactError, match="no such file"):
        exported.verify(tmp_path / "absent.onnx")


# ---- weights, and what else may lie there ----


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def test_a_pickle_under_the_name_of_weights_is_never_opened(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "ran"
    (model / "model.safetensors").write_bytes(pickle.dumps(Bomb(mark)))
    reseal(model)
    sealed = artifact.load(model)
    feltone.load(model)
    assert "not safetensors (it may be a pickle" in verdicts(model, capsys, 2)["weights"]
    with pytest.raises(ArtifactError, match=r"model\.safetensors: not the weights of this network"):
        trained.network_of(sealed)
    assert not mark.exists()
    pickle.loads((model / "model.safetensors").read_bytes())
    assert mark.exists(), "the bomb is one"


@pytest.mark.parametrize(
    "tamper",
    [
        lambda content: content[:-4],
        lambda content: content + b"\0",
        lambda content: content.replace(b"F32", b"F64", 1),
        lambda content: content.replace(b'"shape":[256', b'"shape":[257', 1),
        lambda content: (2**63).to_bytes(8, "little") + content[8:],
        lambda content: content[:8] + b"[" * (len(content) - 8),
    ],
)
def test_weights_that_do_not_fit_their_file_are_found(
    model: Path, tamper: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    file = model / "model.safetensors"
    file.write_bytes(tamper(file.read_bytes()))
    reseal(model)
    assert set(verdicts(model, capsys, 2)) == {"weights"}


@pytest.mark.parametrize("name", ["weights.pkl", "model.pt", "setup.py", "libop.so"])
def test_files_that_no_model_has_are_found_sealed_or_not(
    model: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / name).write_bytes(b"import os")
    assert f"{name} did not come with the model" in verdicts(model, capsys, 2)["folder"]
    reseal(model)
    assert f"{name} is no kind of file that a model has" in verdicts(model, capsys, 2)["folder"]


def test_a_ledger_that_is_another_is_found(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = model / "training.csv"
    ledger.write_text(ledger.read_text().replace("emodb,03a01Fa,happiness,03", "emodb,03a01Fa,happiness,04"))
    reseal(model)
    assert set(verdicts(model, capsys, 2)) == {"ledger"}
    ledger.write_bytes(b"\xff")
    reseal(model)
    assert "is no ledger" in verdicts(model, capsys, 2)["ledger"]


def test_what_was_altered_is_named_and_the_rest_is_asked_all_the_same(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "README.md").write_text("mine")
    (model / "training.csv").unlink()
    found = verdicts(model, capsys, 2)
    assert set(found) == {"README.md", "training.csv"}
    assert "SHA-256" in found["README.md"] and "is missing" in found["training.csv"]
    redescribe(model, schema=99)
    assert "schema 99 is newer" in verdicts(model, capsys, 2)["description"]


def test_an_archive_is_not_unpacked(model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.write(model / DESCRIPTION, "../../outside.json")
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        archive.add(model, "../outside")
    before = sorted(os.walk(tmp_path))
    for name in ("model.zip", "model.tar"):
        with pytest.raises(ArtifactError, match=r"is a file, and a model is a folder; unpack an archive first"):
            feltone.load(tmp_path / name)
    assert sorted(os.walk(tmp_path)) == before
