"""Several processes that share every batch: the same curve as one, and they end together, however they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.lab import protocols, recipes
from feltone.lab.experiment import Material
from feltone.lab.training import loop
from feltone.lab.training.machine import Machine
from feltone.lab.training.run import train
from feltone_benchmarks import tiny
from toy import PLAIN, QUICKLY, know_tiny

# A sum of two halves rounds otherwise than the whole, 1e-7 of a loss, and what is learnt carries it on: over the few
# steps of these runs no further than this, of a loss.
TOLERANCE = 1e-4

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a helper is told of its leader's end on Linux alone")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recordings as a user lists them; the tiny recipes are known here as well."""
    know_tiny(monkeypatch)
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    tiny.write_recordings(tmp_path / "clips.csv")
    return tmp_path / "clips.csv"


def command(table: Path, out: Path, recipe: str, *options: str) -> list[str]:
    data = ["--corpus", "manifest", "--data", str(table), "--protocol", "speaker", "--folds", "2"]
    return ["train", recipe, *data, *QUICKLY, "--devices", "2", "--out", str(out), *options]


def start(*arguments: str) -> subprocess.Popen:
    line = [sys.executable, "-m", "feltone_benchmarks.tiny", *arguments]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def history(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def by_one_process(table: Path, recipe: str, out: Path) -> list[Path]:
    """The runs of both folds, trained here."""
    material = Material.read("manifest", table)
    folds = protocols.split("speaker", material.clips, seed=0, folds=2, published=None)
    for fold in folds:
        run, cache = out / "seed-0" / f"fold-{fold.index}", table.parent / "cache"
        train(recipes.recipe(recipe), fold, material.labels, run, seed=0, machine=PLAIN, cache=cache)
    return sorted((out / "seed-0").iterdir())


def assert_same_curve(one: Path, other: Path) -> None:
    for mine, theirs in zip(history(one), history(other), strict=True):
        assert mine.pop("loss") == pytest.approx(theirs.pop("loss"), rel=TOLERANCE)
        assert mine == theirs


def test_two_processes_follow_the_curve_of_one_through_every_fold(table: Path, tmp_path: Path) -> None:
    process = start(*command(table, tmp_path / "two", "tiny-teacher"))
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert "batches of 4 as 2 x 2" in told
    for run in by_one_process(table, "tiny-teacher", tmp_path / "one"):
        both = tmp_path / "two" / run.relative_to(tmp_path / "one")
        assert_same_curve(run, both)
        assert [row["step"] for row in history(both)] == [8, 8]  # 32 samples by fours: as many steps as one process
        assert (both / "teacher.tested.json").is_file()


def when(process: subprocess.Popen, there: Callable[[], bool]) -> None:
    while not there():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def helper_of(process: subprocess.Popen) -> int:
    (helper,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(helper)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; it may still wait for somebody to notice."""
    file = Path(f"/proc/{pid}/stat")
    return not file.exists() or file.read_text().rpartition(")")[2].split()[0] == "Z"


def test_they_end_together_and_one_continues_what_two_began(table: Path, tmp_path: Path) -> None:
    asked = command(table, tmp_path / "two", "tiny", "--fold", "1")
    run = tmp_path / "two" / "seed-0" / "fold-1"
    first = start(*asked)
    when(first, (run / "teacher.checkpoint").is_file)
    os.kill(helper_of(first), signal.SIGKILL)
    _, told = first.communicate(timeout=120)  # the one that is left does not wait for ever
    assert first.returncode in (2, -signal.SIGKILL), told  # Fabric kills what takes longer than 5 s to leave
    assert told.strip().endswith("the same command continues from the last checkpoint")
    second = start(*asked)
    when(second, (run / "matching.checkpoint").is_file)
    helper = helper_of(second)
    second.send_signal(signal.SIGTERM)
    _, told = second.communicate(timeout=120)
    assert second.returncode == 128 + signal.SIGTERM, told
    assert told.strip().endswith("stopped by SIGTERM in stage matching, with a checkpoint; the same command continues")
    until = time.monotonic() + 60
    while not is_gone(helper):  # which follows its leader a moment later
        assert time.monotonic() < until
        time.sleep(0.005)
    by_one_process(table, "tiny", tmp_path / "two")
    by_one_process(table, "tiny", tmp_path / "one")
    assert_same_curve(tmp_path / "one" / "seed-0" / "fold-1", run)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = command(table, tmp_path / "run", "tiny", "--devices", "3")
    assert cli.run(line) == 2
    assert "devices 3: cannot share a batch of 4 evenly; choose one of 1, 2, 4" in capsys.readouterr().err


def test_more_devices_than_there_are_is_refused() -> None:
    there = max(1, loop.torch.cuda.device_count())
    with pytest.raises(ConfigError, match=f"choose 1 to {there}, which is what cuda has here"):
        Machine.of("cuda", there + 1, "32", compiled=False, threads=None)


def test_a_folder_does_not_tell_how_many_processes_trained_it() -> None:
    assert replace(PLAIN, devices=4).rounding == PLAIN.rounding
