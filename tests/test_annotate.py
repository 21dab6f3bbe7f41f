"""What `feltone annotate` says of a recording is what Feltone says of it elsewhere; nothing asked for is lost."""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow
import pytest
import soundfile
from PIL import Image, ImageColor
from pyarrow import parquet

import feltone
from feltone import audio
from feltone.doors import cli
from feltone.doors.annotate import dataset, pieces, plan, sources
from feltone.doors.annotate.ledger import Ledger
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.run import settings_of
from feltone.doors.annotate.work import Worker
from feltone.doors.segments import Span, recognise
from feltone.errors import CorpusError
from feltone.recognizer import Recognizer
from feltone.timeline import SILENCE
from feltone_benchmarks import scaling

ROOT = Path(__file__).parents[1]
CLIPS = Path(feltone.__file__).parent / "clips"
RATE = 16_000
CLOSE = 1e-5  # rounding: images are recognised together with others


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load(threads=1)


def speech(name: str) -> np.ndarray:
    return audio.load(CLIPS / f"{name}.flac", RATE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, a long recording with pauses at another rate, silence, what is no recording, and one that is cut off."""
    root = tmp_path_factory.mktemp("folder")
    (root / "clips").mkdir()
    for name in ("anger", "sadness"):
        (root / "clips" / f"{name}.flac").write_bytes((CLIPS / f"{name}.flac").read_bytes())
    quiet = np.zeros(2 * RATE, np.float32)
    soundfile.write(root / "long.wav", np.concatenate([quiet, speech("anger"), quiet, speech("fear"), quiet]), RATE)
    soundfile.write(root / "silence.wav", quiet, RATE)
    (root / "bad.wav").write_text("this is no recording")
    (root / "notes.txt").write_text("neither is this, and nobody says that it is")
    (root / "cut.flac").write_bytes((CLIPS / "boredom.flac").read_bytes()[:20_000])
    return root


@pytest.fixture
def annotated(tmp_path: Path) -> Callable[..., list[dict]]:
    """Rows of a source, by the work that every engine has done."""

    def annotated(source: object, segments: str = "whole", hop: float | None = None, shard: int = 3) -> list[dict]:
        out = Folder(str(tmp_path / segments))
        made = plan.make(out, str(source), settings_of(None, segments, hop, "fp32"), shard)
        worker, ledger = Worker(made), Ledger(out)
        for number in reversed(range(made.shards)):  # in whatever order
            ledger.record(number, worker.work(number, {}, lambda recording: None))
        dataset.gather(out, ledger, made.shards)
        return parquet.read_table(tmp_path / segments / dataset.DATASET).to_pylist()

    return annotated


def scores(row: dict, recognize: Recognizer) -> list[float]:
    return [row[label] for label in recognize.labels]


def test_whole_recordings_are_what_predict_says(
    folder: Path, recognize: Recognizer, annotated: Callable[..., list[dict]]
) -> None:
    found = annotated(folder)
    listed = [str(path) for path in audio.walk(folder)]
    assert [row["path"] for row in found] == listed and len(listed) == 6
    for row in found:
        if Path(row["path"]).stem in ("bad", "cut"):
            assert (
                row["error"].startswith(row["path"])
                and row["label"] is None
                and row["confidence"] is row["unsure"] is None
            )
        elif Path(row["path"]).stem == "silence":
            assert row["label"] == SILENCE and row["error"] is None and row["anger"] is None
        else:
            said = recognize(row["path"])
            assert (row["start"], row["end"], row["label"]) == (0.0, pytest.approx(said.seconds), said.label)
            assert scores(row, recognize) == pytest.approx(list(said.scores.values()), abs=CLOSE)
            assert row["confidence"] == max(scores(row, recognize))
            assert row["unsure"] == (row["confidence"] < recognize.artifact.unsure_below)


def test_windows_are_those_of_a_timeline(
    folder: Path, recognize: Recognizer, annotated: Callable[..., list[dict]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "MOST_IMAGES", 2)  # so that a recording comes in several pieces
    found = annotated(folder / "long.wav", "windows", 1.0)
    expected = list(recognize.segments(folder / "long.wav", hop=1.0))
    assert [(r["start"], r["end"], r["label"]) for r in found] == [(s.start, s.end, s.label) for s in expected]
    for row, segment in zip(found, expected, strict=True):
        if segment.label != SILENCE:
            assert scores(row, recognize) == pytest.approx(list(segment.scores.values()), abs=CLOSE)


def test_speech_is_found_where_it_is(folder: Path, annotated: Callable[..., list[dict]]) -> None:
    found = [row for row in annotated(folder, "vad") if row["path"].endswith(("long.wav", "silence.wav"))]
    *spoken, silent = found
    first, second = 2.0, 4.0 + len(speech("anger")) / RATE
    limits = [(first, first + len(speech("anger")) / RATE), (second, second + len(speech("fear")) / RATE)]
    assert len(spoken) == len(limits)
    for row, (start, end) in zip(spoken, limits, strict=True):
        assert row["start"] == pytest.approx(start, abs=0.35) and row["end"] == pytest.approx(end, abs=0.35)
    assert (silent["label"], silent["start"], silent["end"]) == (SILENCE, 0.0, 2.0)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_segments_of_a_table_are_what_predict_says_of_them(
    folder: Path, recognize: Recognizer, annotated: Callable[..., list[dict]], tmp_path: Path, kind: str
) -> None:
    asked = [("long.wav", 2.0, 3.5), ("long.wav", 1.0, None), ("bad.wav", None, None), ("gone.wav", None, None)]
    asked += [("long.wav", 5.0, 4.0), ("long.wav", 600.0, None), ("clips/anger.flac", None, 1.0)]
    listed = pyarrow.table(
        {"File": [a for a, *_ in asked], "start": [b for _, b, _ in asked], "end": [c for *_, c in asked]}
    )
    table = folder / f"calls.{kind}"
    if kind == "parquet":
        parquet.write_table(listed, table)
    elif kind == "jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in listed.to_pylist()))
    else:
        lines = [",".join("" if value is None else str(value) for value in row) for row in asked]
        table.write_text("\n".join(["File,start,end", *lines]))
    found = annotated(table)
    table.unlink()
    expected = recognise(recognize, [Span(folder / path, start or 0.0, end) for path, start, end in asked])
    assert [row["path"] for row in found] == [path for path, *_ in asked]
    for row, answer in zip(found, expected, strict=True):
        assert (row["label"], row["error"]) == (answer.label, answer.error)
        if answer.label:
            assert scores(row, recognize) == pytest.approx(list(answer.scores.values()), abs=CLOSE)


def test_a_fault_in_the_middle_keeps_what_came_before_it(folder: Path, annotated: Callable[..., list[dict]]) -> None:
    damaged = folder / "damaged.flac"
    soundfile.write(damaged, np.random.default_rng(0).normal(0, 0.1, 30 * RATE), RATE)
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    found = annotated(damaged, "windows")
    damaged.unlink()
    assert len(found) > 2 and [row["error"] is None for row in found] == [True] * (len(found) - 1) + [False]
    assert all(row["end"] <= 15 for row in found[:-1])


def test_a_bad_row_of_a_table_costs_itself(folder: Path, annotated: Callable[..., list[dict]], tmp_path: Path) -> None:
    table = tmp_path / "calls.csv"
    table.write_text(f"path,start\n{folder}/clips/anger.flac,0\n,1\n{folder}/clips/anger.flac,soon\n")
    first, second, third = annotated(table)
    assert first["error"] is None
    assert "line 3: the path is empty" in second["error"] and "'soon' is not a time" in third["error"]


def test_a_plan_holds_every_entry_once_whatever_the_shards(tmp_path: Path) -> None:
    table = tmp_path / "calls.csv"
    names = [f"{number}.wav" for number in range(200)]
    table.write_text("path\n" + "\n".join(names))
    for shard in (7, 64, 5000):
        out = Folder(str(tmp_path / str(shard)))
        made = plan.make(out, str(table), settings_of(None, "whole", None, "fp32"), shard)
        groups = [[entry.path for entry in plan.entries_of(made, number)] for number in range(made.shards)]
        assert [name for group in groups for name in group] == names and max(map(len, groups)) == min(shard, 200)
        assert made.entries == 200


def test_large_recordings_and_tars_make_small_shards(tmp_path: Path) -> None:
    big = sources.Entry("big.wav", size=plan.SHARD_BYTES)
    small, tar = sources.Entry("small.wav", size=1), sources.Entry("a.tar", size=1)
    cut = list(plan.shards_of(iter([small, small, big, small, tar, tar, small]), 100))
    assert cut == [[small, small], [big], [small], [tar], [tar], [small]]
    segments = [big._replace(start=float(second)) for second in range(5)]  # of one recording, which is read once
    assert list(plan.shards_of(iter(segments), 100)) == [segments]


def test_the_dataset_is_in_row_groups_and_parts_and_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "GROUP_ROWS", 10)
    monkeypatch.setattr(dataset, "PART_ROWS", 40)
    out = Folder(str(tmp_path))
    sizes = np.random.default_rng(0).integers(0, 9, 30)
    numbers = iter(range(1000))
    text, number = pyarrow.string(), pyarrow.float64()
    schema = pyarrow.schema([("path", text), ("start", number), ("end", number), ("error", text)])
    for shard, size in enumerate(sizes):
        paths = [str(next(numbers)) for _ in range(size)]
        content = pyarrow.table([paths, [0.0] * size, [1.0] * size, [None] * size], schema=schema)
        out.write(f"shards/{shard:07d}.00000.parquet", lambda file, content=content: parquet.write_table(content, file))
        Ledger(out).record(shard, {"rows": float(size), "pieces": 1.0})
    count = dataset.gather(out, Ledger(out), len(sizes))
    files = [parquet.ParquetFile(tmp_path / "annotations" / f"part-{k:05d}.parquet") for k in range(count)]
    assert count > 1
    paths = [path for file in files for path in file.read()["path"].to_pylist()]
    assert paths == [str(number) for number in range(sizes.sum())]
    for file in files:
        groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        assert set(groups[:-1]) <= {10} and groups[-1] <= 10
    assert all(file.metadata.num_rows >= 40 for file in files[:-1])


def test_the_command_does_it_all_and_again_does_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["annotate", str(folder), "--out", str(tmp_path / "out"), "--workers", "1", "--price", "0.05", "--json"]
    assert cli.run(command) == 3
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert (told["recordings"], told["errors"]) == (6, 2) and "errors.parquet" in printed.err
    assert told["cost"]["price"] == pytest.approx(0.05 * told["cost"]["core_hours"], abs=1e-6)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["annotations", "errors.parquet", "plan.json", "run.json"]
    counted = duckdb.sql(f"SELECT label, count(*) FROM '{tmp_path}/out/annotations/*.parquet' WHERE label IS NOT NULL "
                         "GROUP BY label").fetchall()  # fmt: skip
    assert dict(counted) == told["labels"]
    faulty = duckdb.sql(f"SELECT path FROM '{tmp_path}/out/errors.parquet' ORDER BY path").fetchall()
    assert [Path(path).name for (path,) in faulty] == ["bad.wav", "cut.flac"]
    assert cli.run(command) == 3
    again = capsys.readouterr()
    assert json.loads(again.out) == told and "is complete; nothing was done" in again.err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--segments", "whole"], "holds a run with another segments; choose another --out, or repeat it"),
        (["--precision", "int8"], "holds a run with another model_id, precision; choose another --out, or repeat it"),
        (["--segments", "words"], "segments 'words' are not known; known: vad, windows, whole"),
        (["--hop", "1"], "--hop is for --segments windows"),
        (["--segments", "windows", "--hop", "9"], "hop 9 s: choose more than none, and the window (4 s) at most"),
        (["--model", "nobody"], "nobody: no such model; shipped: "),
    ],
)
def test_another_run_in_the_folder_and_wrong_options_get_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    out = Folder(str(tmp_path))
    plan.make(out, str(folder), settings_of(None, "vad", None, "fp32"))
    assert cli.run(["annotate", str(folder), "--out", str(tmp_path), *options]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and line in printed.err and printed.out == ""


def test_a_table_that_has_changed_is_not_continued(tmp_path: Path) -> None:
    table, out = tmp_path / "calls.csv", Folder(str(tmp_path / "out"))
    how = settings_of(None, "whole", None, "fp32")
    table.write_text("path\na.wav\n")
    made = plan.make(out, str(table), how)
    assert plan.make(out, str(table), how) == made
    table.write_text("path\na.wav\nb.wav\n")
    with pytest.raises(feltone.FeltoneError, match="another manifest_sha256"):
        plan.make(out, str(table), how)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("nowhere", "nowhere: no such file or folder; name a folder, "),
        ("nowhere.csv", "nowhere.csv: no such table"),
        (".", ".: holds no recordings (looked for "),
        ("nope://bucket/x", "nope://bucket/x: "),
    ],
)
def test_a_source_that_is_not_there_is_said(
    source: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["annotate", source, "--out", str(tmp_path / "out" / "x")]) == 2
    assert line in capsys.readouterr().err
    if source == ".":
        with pytest.raises(CorpusError), sources.read("*.wav") as found:
            plan.make(Folder("out"), "*.wav", {})
        assert not list(found.entries)


def test_turns_are_joined_to_what_was_recognised_in_them(
    recognize: Recognizer, annotated: Callable[..., list[dict]], tmp_path: Path
) -> None:
    """The example of docs/scale.md, over two speakers of whom one is heard in the second minute alone."""
    parts = [speech("anger"), np.zeros(60 * RATE, np.float32), speech("sadness")]
    soundfile.write(tmp_path / "talk.flac", np.concatenate(parts), RATE)
    edges = np.cumsum([0, *map(len, parts)]) / RATE
    turns = tmp_path / "turns.csv"
    lines = [f"talk.flac,{edges[0]},{edges[1]},anna", f"talk.flac,{edges[2]},{edges[3]},bert"]
    turns.write_text("\n".join(["path,start,end,speaker", *lines]))
    said = [row["label"] for row in annotated(turns)]
    question = re.search(r"```sql\n(.*?)```", (ROOT / "docs" / "scale.md").read_text(), re.DOTALL)
    assert question
    asked = question[1].replace("talk/annotated", str(tmp_path / "whole")).replace("talk/turns.csv", str(turns))
    assert duckdb.sql(asked).fetchall() == [("anna", 0, said[0], 1), ("bert", 1, said[1], 1)]
    script = ROOT / "examples" / "archive" / "minutes.py"
    command = [sys.executable, str(script), str(tmp_path / "whole"), str(turns), str(tmp_path / "minutes.png")]
    subprocess.run(command, check=True)
    with Image.open(tmp_path / "minutes.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or []}
    assert {ImageColor.getrgb(minutes_colour(script, label)) for label in said} <= colours


def minutes_colour(script: Path, label: str) -> str:
    return str(runpy.run_path(str(script))["COLOURS"].get(label, "black"))


@pytest.mark.parametrize(("cores", "expected"), [(1, 400.0), (4, 100.0), (1000, 40.0)])
def test_the_simulation_is_as_fast_as_its_slowest_part(cores: int, expected: float) -> None:
    """A thousand shards of 0.3 s, fetched in 0.1 s; the driver takes 0.04 s for each."""
    shard = scaling.Shard(seconds=0.3, bytes=1e6, entries=1, audio_hours=1)
    place = scaling.Place(1, cores, bytes_per_second=1e7 * cores, entry_seconds=0, record_seconds=0.04)
    assert scaling.simulate(1000, shard, place) == pytest.approx(expected, rel=0.05)
