"""An archive is annotated exactly once: whatever is killed meanwhile, and wherever it lies."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

import feltone
from feltone.doors.annotate import dataset, plan
from feltone.doors.annotate.ledger import Ledger
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.run import settings_of
from feltone.doors.annotate.work import Worker

CLIPS = sorted((Path(feltone.__file__).parent / "clips").glob("*.flac"))
COMMAND = [sys.executable, "-m", "feltone.doors.cli", "annotate"]
SHARD = 2
COPIES = 9
PATIENCE = 240  # seconds


def in_this_process(source: str, out: Path, segments: str = "vad", shard: int = SHARD) -> pyarrow.Table:
    """What every engine is held to: shard after shard, in order."""
    folder = Folder(str(out))
    made = plan.make(folder, source, settings_of(None, segments, None, "fp32"), shard)
    worker, ledger = Worker(made), Ledger(folder)
    for number in range(made.shards):
        ledger.record(number, worker.work(number, {}, lambda recording: None))
    dataset.gather(folder, ledger, made.shards)
    return rows(out)


def rows(out: Path) -> pyarrow.Table:
    return parquet.read_table(out / dataset.DATASET)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled clips under many names, and a file that is no recording."""
    folder = tmp_path_factory.mktemp("archive")
    for copy in range(COPIES):
        for clip in CLIPS:
            (folder / f"{copy}-{clip.name}").symlink_to(clip)
    (folder / "4-bad.wav").write_text("this is no recording")
    return folder


@pytest.fixture(scope="module")
def expected(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> pyarrow.Table:
    return in_this_process(str(archive), tmp_path_factory.mktemp("expected"))


def begun(archive: Path | str, out: Path | str, *options: str, **environment: str) -> subprocess.Popen[str]:
    command = [*COMMAND, str(archive), "--out", str(out), "--shard", str(SHARD), *options]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def ended(run: subprocess.Popen[str]) -> str:
    said = run.communicate(timeout=PATIENCE)[1]
    assert run.returncode == 3, said  # the bad file
    return said


def done(out: Path) -> int:
    return len(list((out / "shards").glob("*.json")))


def test_a_driver_killed_again_and_again_loses_nothing_and_doubles_nothing(
    archive: Path, expected: pyarrow.Table, tmp_path: Path
) -> None:
    for _ in range(3):
        before, run = done(tmp_path), begun(archive, tmp_path, "--workers", "2")
        wait_for(lambda before=before: done(tmp_path) > before)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert done(tmp_path) > 0 and not (tmp_path / "run.json").exists()
    assert "goes on with" in ended(begun(archive, tmp_path, "--workers", "2"))
    assert rows(tmp_path).equals(expected)
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["recordings"] == told["entries"] == COPIES * len(CLIPS) + 1 and told["errors"] == 1


def processes_of(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def to_its_reader(pipe: Path) -> int | None:
    """A pipe opened to write; None while nobody has it open to read from."""
    with suppress(OSError):
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    return None


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux' /proc")
def test_a_recording_that_kills_its_readers_costs_one_row(tmp_path: Path) -> None:
    """A pipe that nobody writes to holds its reader, which is killed there as a fault in a decoder would kill it."""
    (tmp_path / "in").mkdir()
    for clip in CLIPS[:3]:
        (tmp_path / "in" / clip.name).symlink_to(clip)
    pipe = tmp_path / "in" / "b-deadly.wav"
    os.mkfifo(pipe)
    run = begun(tmp_path / "in", tmp_path / "out", "--workers", "1", "--segments", "whole")
    held: list[int] = []
    for _ in range(2):
        wait_for(lambda: (writing := to_its_reader(pipe)) is not None and not held.append(writing))
        for pid in processes_of(run.pid):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists())
        os.close(held.pop())
    ended(run)
    found = rows(tmp_path / "out")
    assert found["path"].to_pylist() == sorted(str(path) for path in (tmp_path / "in").iterdir())
    (error,) = parquet.read_table(tmp_path / "out" / "errors.parquet").to_pylist()
    assert error["path"] == str(pipe) and "ended 2 processes that read it (signal SIGKILL)" in error["error"]


def test_a_cluster_that_loses_a_node_gives_what_one_process_gives(
    archive: Path, expected: pyarrow.Table, tmp_path: Path, ray_cluster: subprocess.Popen[str]
) -> None:
    assert ray_cluster.stdin and ray_cluster.stdout
    run = begun(archive, tmp_path, "--ray", ray_cluster.stdout.readline().strip())
    wait_for(lambda: done(tmp_path) > 0 or run.poll() is not None)
    left = COPIES * len(CLIPS) // SHARD - done(tmp_path)
    ray_cluster.stdin.write("\n")
    assert ray_cluster.stdout.readline() == "killed\n" and left > 4
    said = ended(run)
    assert "failed on the cluster" not in said
    assert rows(tmp_path).equals(expected)


def assert_alike(row: dict, same: dict) -> None:
    """Alike but for what the recording is called, and for rounding: others were recognised together with it."""
    for name in row.keys() - {"path", "error"}:
        assert row[name] == (pytest.approx(same[name], abs=1e-5) if isinstance(same[name], float) else same[name])


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Object storage on this machine, by its address and keys."""
    with (tmp_path / "moto.log").open("w+") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", "0"], stdout=log, stderr=log)
        wait_for(lambda: "Running on http" in (tmp_path / "moto.log").read_text())
        address = (tmp_path / "moto.log").read_text().split("Running on ")[1].split()[0]
        keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_DEFAULT_REGION": "us-east-1"}
        yield keys | {"AWS_ENDPOINT_URL": address}
        server.terminate()
        server.wait()


def test_object_storage_is_read_and_written_as_a_disk_is(
    archive: Path, storage: dict[str, str], tmp_path: Path
) -> None:
    some = {path.name: path for path in archive.glob("4-*")}
    upload = (
        "import s3fs, sys; files = s3fs.S3FileSystem(); files.mkdir('bucket')\n"
        "for path in sys.argv[1:]: files.put(path, 'bucket/in/' + path.rpartition('/')[2])"
    )
    download = "import s3fs, sys; s3fs.S3FileSystem().get('bucket/out/', sys.argv[1], recursive=True)"
    environment = os.environ | storage
    subprocess.run([sys.executable, "-c", upload, *map(str, some.values())], env=environment, check=True)
    ended(begun("s3://bucket/in", "s3://bucket/out", "--segments", "whole", **storage))
    subprocess.run([sys.executable, "-c", download, f"{tmp_path}/out/"], env=environment, check=True)
    there = rows(tmp_path / "out").to_pylist()
    here = in_this_process(f"{archive}/4-*", tmp_path / "here", "whole").to_pylist()
    assert {row["path"] for row in there} == {f"s3://bucket/in/{name}" for name in some}
    by_name = {Path(row["path"]).name: row for row in here}
    for row in there:
        same = by_name[Path(row["path"]).name]
        assert_alike(row, same)
        assert (row["error"] or "").replace("s3://bucket/in", str(archive)) == (same["error"] or "")
    assert not (tmp_path / "out" / "shards").exists()


def test_recordings_in_tars_and_by_their_names_are_the_same(archive: Path, tmp_path: Path) -> None:
    files = sorted(archive.glob("4-*"))
    for number in range(2):
        with tarfile.open(tmp_path / f"shard-{number}.tar", "w", dereference=True) as tar:
            for file in files[number::2]:
                tar.add(file, file.name)
            (tmp_path / "note.json").write_text("{}")
            tar.add(tmp_path / "note.json", "note.json")
    whole, last = (tmp_path / "shard-1.tar").read_bytes(), files[1::2][-1]
    (tmp_path / "shard-1.tar").write_bytes(whole[: whole.index(last.name.encode()) + 1000])
    found = in_this_process(str(tmp_path), tmp_path / "out", "whole").to_pylist()
    here = in_this_process(f"{archive}/4-*", tmp_path / "here", "whole").to_pylist()
    reference = {Path(row["path"]).name: row for row in here}
    for row in found[:-1]:
        name = row["path"].removeprefix("tar://").partition("::")[0]
        assert_alike(row, reference[name])
    assert found[-1]["path"] == str(tmp_path / "shard-1.tar")
    assert "shard-1.tar: not a tar, or damaged or cut here" in found[-1]["error"]
    assert len(found) == len(files)
