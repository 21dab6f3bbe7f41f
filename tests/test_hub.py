"""Models on the hub: what is pushed is what is loaded, and whatever stands in the way is said in one line.

The hub is a stand-in on this machine (`hub.py`); its client is the real one, in a process of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

import feltone
from feltone import artifact
from feltone.doors import cli
from feltone.lab import card, ledger, tables
from feltone.lab.corpora import CORPORA, Clip
from feltone.lab.protocols import PAPER_WARNING
from hub import OWNER, READER, TOKEN, Hub, serving_hub

CLIP = Path(feltone.__file__).parent / "clips" / "anger.flac"
PLACE = f"{OWNER}/toy"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub() as server:
        yield server


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Run:
    """The command line in its own process, whose hub is the stand-in."""

    def started(*arguments: str, token: str | None = TOKEN, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "feltone.doors.cli", *arguments]
        return subprocess.run(command, env=settings(hub, tmp_path, token) | environment, capture_output=True, text=True)

    return started


def settings(hub: Hub, home: Path, token: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    # The stand-in takes large files by HTTP, not by the hub's chunked storage.
    told = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    return kept | told | ({"HF_TOKEN": token} if token else {})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The shipped model, in a folder that holds something else as well."""
    folder = Path(shutil.copytree(artifact.find(), tmp_path / "toy"))
    (folder / ".DS_Store").write_text("not sealed")
    (folder / "notes.txt").write_text("not sealed")
    return folder


def cached(home: Path) -> Path:
    (snapshot,) = (home / "hf" / "hub" / f"models--{OWNER}--toy" / "snapshots").iterdir()
    return snapshot


def one_line(done: subprocess.CompletedProcess[str], expected: str) -> None:
    assert done.returncode == 2 and re.fullmatch(f"feltone: {expected}\n", done.stderr), done.stderr
    assert done.stdout == ""


def test_what_is_pushed_is_what_is_loaded(hub: Hub, run: Run, model: Path, tmp_path: Path) -> None:
    pushed = run("push", str(model), PLACE, "--message", "the first")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith(f"{hub.url}/{PLACE}/commit/")
    sealed = sorted([*artifact.load(model).description["files"], artifact.DESCRIPTION])
    assert sorted(hub.repositories[PLACE].files("main")[1]) == sealed  # and nothing else

    here = json.loads(run("predict", str(CLIP), "--json", "--model", str(model)).stdout)
    there = run("predict", str(CLIP), "--json", "--model", f"hf:{PLACE}", token=None)
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout)["predictions"] == here["predictions"]
    assert sorted(file.name for file in cached(tmp_path).iterdir()) == sealed
    assert all((cached(tmp_path) / name).read_bytes() == (model / name).read_bytes() for name in sealed)

    hub.broken = 503  # what is in the cache is enough, where the hub may not be asked and where it fails
    for offline in ("1", "0"):
        again = run("predict", str(CLIP), "--json", "--model", f"hf:{PLACE}", HF_HUB_OFFLINE=offline)
        assert json.loads(again.stdout) == json.loads(there.stdout), again.stderr
    one_line(run("predict", str(CLIP), "--model", f"hf:{OWNER}/other", HF_HUB_OFFLINE="1"),
             f"hf:{OWNER}/other: cannot be obtained: not in the cache, and HF_HUB_OFFLINE .*")  # fmt: skip


def test_a_revision_is_a_model_of_its_own_and_files_of_two_are_never_mixed(hub: Hub, run: Run, model: Path) -> None:
    assert run("push", str(model), PLACE).returncode == 0
    sent = len(hub.uploads)
    description = json.loads((model / artifact.DESCRIPTION).read_text())
    (model / "notes.txt").unlink()
    artifact.seal(model, description | {"name": "second"})
    assert run("push", str(model), PLACE, "--revision", "next").returncode == 0
    assert len(hub.uploads) == sent  # the graphs were there already
    for address, name in (
        (PLACE, description["name"]),
        (f"{PLACE}@next", "second"),
        (f"{PLACE}@main", artifact.DEFAULT_NAME),
    ):
        found = run("predict", str(CLIP), "--json", "--model", f"hf:{address}")
        assert json.loads(found.stdout)["model"] == name, found.stderr
    one_line(run("predict", str(CLIP), "--model", f"hf:{PLACE}@v9"), ".*@v9: cannot be obtained: .*no such revision.*")


def test_a_push_that_is_killed_leaves_nothing_and_can_be_given_again(
    hub: Hub, run: Run, model: Path, tmp_path: Path
) -> None:
    coming, killed = threading.Event(), threading.Event()

    def wait() -> None:
        coming.set()
        killed.wait()

    hub.before_upload = wait
    command = [sys.executable, "-m", "feltone.doors.cli", "push", str(model), PLACE]
    with subprocess.Popen(command, env=settings(hub, tmp_path, TOKEN), stderr=subprocess.DEVNULL) as pushing:
        assert coming.wait(60)
        pushing.kill()
    killed.set()
    hub.before_upload = lambda: None
    assert hub.repositories[PLACE].files("main")[1] == {}
    one_line(run("predict", str(CLIP), "--model", f"hf:{PLACE}"), ".*: files of a model of Feltone are missing there.*")
    assert run("push", str(model), PLACE).returncode == 0
    assert run("predict", str(CLIP), "--model", f"hf:{PLACE}").returncode == 0


def test_a_download_that_differs_from_what_was_sealed_is_refused(hub: Hub, run: Run, model: Path) -> None:
    assert run("push", str(model), PLACE).returncode == 0
    digest = hub.repositories[PLACE].files("main")[1]["model.onnx"]
    hub.contents[digest] = hub.contents[digest][:-1] + b"?"
    one_line(run("predict", str(CLIP), "--model", f"hf:{PLACE}"), ".*model.onnx: differs from what was sealed.*")


def test_a_description_that_names_files_elsewhere_is_refused(hub: Hub, run: Run, model: Path) -> None:
    assert run("push", str(model), PLACE).returncode == 0
    files = hub.repositories[PLACE].files("main")[1]
    description = json.loads(hub.contents[files[artifact.DESCRIPTION]])
    description["files"]["../../../../token"] = "0"
    files[artifact.DESCRIPTION] = hub.keep(json.dumps(description).encode())
    one_line(run("predict", str(CLIP), "--model", f"hf:{PLACE}"), ".*names a file outside the model.*")


def test_whoever_may_not_push_is_told_so_in_one_line(hub: Hub, run: Run, model: Path) -> None:
    refused = f"{PLACE}: cannot be pushed: "
    one_line(run("push", str(model), PLACE, token=None), "the hub must know who you are: .*HF_TOKEN.*hf auth login")
    one_line(run("push", str(model), PLACE, token="hf_wrong"), f"{refused}.*token \\(401\\).*")
    one_line(run("push", str(model), PLACE, token=READER), f"{refused}your token does not allow it \\(403\\).*")
    one_line(run("push", str(model), "nobody/toy"), "nobody/toy: cannot be pushed: .*\\(403\\).*")
    one_line(run("push", str(model), PLACE, HF_ENDPOINT="http://127.0.0.1:9"), f"{refused}the hub cannot be reached.*")
    one_line(run("push", str(model), PLACE, HF_HUB_OFFLINE="1"), f"{refused}HF_HUB_OFFLINE .*")
    one_line(run("push", str(model), "toy"), "toy: not the name of a repository; write owner/model")
    one_line(run("push", str(model), f"{OWNER}/toy--"), f"{OWNER}/toy--: cannot be pushed: .*owner/model.*")
    assert hub.repositories == {}


def test_a_private_model_is_for_those_who_may_have_it(hub: Hub, run: Run, model: Path, tmp_path: Path) -> None:
    assert run("push", str(model), PLACE, "--private").returncode == 0
    assert hub.repositories[PLACE].private
    assert run("predict", str(CLIP), "--model", f"hf:{PLACE}").returncode == 0
    elsewhere = str(tmp_path / "a cache without it")
    for token in (None, READER):  # to the one the hub says 401, to the other 404
        found = run("predict", str(CLIP), "--model", f"hf:{PLACE}", token=token, HF_HOME=elsewhere)
        one_line(found, f"hf:{PLACE}: cannot be obtained: no such model, or a private one; .*")
    hub.repositories[PLACE].private = False
    one_line(run("push", str(model), PLACE, "--private"), f"{PLACE}: exists and is public; .*")


def test_an_artefact_that_fails_verification_is_not_pushed(hub: Hub, run: Run, model: Path) -> None:
    (model / "training.csv").write_text("corpus,name\n")
    one_line(run("push", str(model), PLACE), ".*training.csv: differs from what was sealed.*")
    assert hub.repositories == {}


def test_a_dry_run_tells_files_and_sizes_and_asks_the_hub_nothing(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["push", str(model), PLACE, "--dry-run"]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()[1:]]
    expected = [*artifact.load(model).description["files"], artifact.DESCRIPTION]
    assert {name: int(size.replace(",", "")) for name, size in rows} == {
        n: (model / n).stat().st_size for n in expected
    }


def trained_on(model: Path, *corpora: str) -> Path:
    (model / "notes.txt").unlink()
    clips = [Clip(corpus, f"{k}", Path(), "anger") for k, corpus in enumerate(corpora)]
    ledger.write(clips, model / ledger.FILE)
    artifact.seal(model, json.loads((model / artifact.DESCRIPTION).read_text()))
    return model


@pytest.mark.parametrize("closed", [name for name, corpus in CORPORA.items() if not corpus.shippable])
def test_weights_whose_recordings_forbid_it_are_never_shared(
    closed: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger decides, whatever the description says of the corpus."""
    command = ["push", str(trained_on(model, "emodb", closed)), PLACE, "--dry-run"]
    for options in ([], ["--i-may-share"]):
        assert cli.run([*command, *options]) == 2
        said = capsys.readouterr().err
        assert CORPORA[closed].licence in said and "do not let its weights be shared" in said and said.count("\n") == 1


def test_weights_of_ones_own_recordings_are_shared_when_one_says_so(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["push", str(trained_on(model, "emodb", "manifest")), PLACE, "--dry-run"]
    assert cli.run(command) == 2
    said = capsys.readouterr().err
    assert "'manifest', of which Feltone knows no licence" in said and "--i-may-share" in said
    assert cli.run([*command, "--i-may-share"]) == 0


def description_of(*corpora: str) -> dict:
    shipped = artifact.load("student-emodb").description  # which learnt from nothing before
    return shipped | {"origin": shipped["origin"] | {"corpus": "+".join(corpora)}}


def header_of(text: str) -> dict:
    _, header, body = text.split("---\n", 2)
    assert body.startswith("\n# ")
    return yaml.safe_load(header)


@pytest.mark.parametrize("name", CORPORA)
def test_the_hub_learns_from_a_card_what_it_asks(name: str) -> None:
    said = header_of(card.write(description_of(name), None))
    assert said["library_name"] == "feltone" and said["pipeline_tag"] == "audio-classification"
    assert said["language"] == [card.LANGUAGES[CORPORA[name].language]]
    assert said["license"] == ("apache-2.0" if CORPORA[name].shippable else "other")
    assert said["datasets"] == [name] and "model-index" not in said
    both = header_of(card.write(description_of("emodb", name), None))
    assert both["license"] == said["license"]
    own = header_of(card.write(description_of(name, "manifest"), None))
    assert own["license"] == "other" and own["datasets"] == [name]
    assert header_of(card.write(description_of(f"{name}@2"), None)) == said


def test_scores_in_a_card_name_their_protocol_and_carry_its_warning() -> None:
    rows = tables.read_rows(Path(__file__).parents[1] / "results" / "accuracy")
    text = card.write(description_of("emodb"), None, rows)
    (index,) = header_of(text)["model-index"]
    for row, result in zip(rows, index["results"], strict=True):
        place = result["dataset"]["name"]
        assert f"protocol {row['protocol']}" in place and (PAPER_WARNING in place) == (row["protocol"] == "paper")
        assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {
            "accuracy": row["wa"]["mean"], "recall": row["uar"]["mean"], "f1": row["macro_f1"]["mean"],
        }  # fmt: skip
    # as the hub's own reader has it
    assert len(ModelCard(text).data.eval_results) == 3 * len(rows)


@pytest.mark.parametrize("new", [True, False])
def test_a_card_without_a_header_is_pushed_as_it_is_and_said_to_be(run: Run, model: Path, hub: Hub, new: bool) -> None:
    (model / "notes.txt").unlink()
    text = card.write(artifact.load(model).description, None)
    (model / "README.md").write_text(text if new else text.split("---\n", 2)[2])
    artifact.seal(model, json.loads((model / artifact.DESCRIPTION).read_text()))
    pushed = run("push", str(model), PLACE)
    assert pushed.returncode == 0 and ("neither licence nor language" in pushed.stderr) != new
    assert "Warning" not in pushed.stderr
