"""Tables of recordings: what is recognised in a row is what is recognised in its recording, and no row is lost."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import soundfile
from pyarrow import parquet

import feltone
from feltone import audio
from feltone.doors import cli
from feltone.doors.segments import Span, cuts, recognise
from feltone.errors import AudioError, ConfigError
from feltone.recognizer import Recognizer

CLIPS = Path(feltone.__file__).parent / "clips"
RATE = 16_000


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load(threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two bundled clips, a file that is no recording, and nine seconds of noise at another rate."""
    for name in ("anger", "sadness"):
        (tmp_path / f"{name}.flac").write_bytes((CLIPS / f"{name}.flac").read_bytes())
    (tmp_path / "bad.wav").write_text("this is no recording")
    noise = np.random.default_rng(0).normal(0, 0.1, 9 * 22_050)
    soundfile.write(tmp_path / "long.wav", noise * np.linspace(0.1, 1, len(noise)), 22_050)
    return tmp_path


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def recognised(recognize: Recognizer, path: Path) -> dict[str, float]:
    return {label: round(score, 6) for label, score in recognize(path).scores.items()}


def test_a_row_says_what_predict_says_of_its_recording_and_keeps_what_it_said(
    folder: Path, recognize: Recognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = ['with "quotes", and a comma', "zwei\nZeilen", " ünïcode "]
    files = ["sadness.flac", str(folder / "long.wav"), "anger.flac"]
    with (folder / "calls.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([["note", "File", "id"], *zip(notes, files, ["007", "1e3", ""], strict=True)])
    assert cli.run(["predict", str(folder / "calls.csv")]) == 0
    rows = rows_of(capsys.readouterr().out)
    added = ["label", "unsure", *recognize.labels, "seconds", "error"]
    assert list(rows[0]) == ["note", "File", "id", *added]
    assert [(r["note"], r["File"], r["id"]) for r in rows] == list(zip(notes, files, ["007", "1e3", ""], strict=True))
    for row, file in zip(rows, files, strict=True):
        expected = recognize(folder / file)
        assert row["label"] == expected.label and row["error"] == ""
        assert row["unsure"] == str(expected.unsure).lower()
        assert {label: float(row[label]) for label in recognize.labels} == recognised(recognize, folder / file)
        assert float(row["seconds"]) == pytest.approx(expected.seconds, abs=1e-6)


def test_rows_that_fail_say_why_and_the_others_are_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder / "calls.csv"
    table.write_text(
        "path,start,end\nanger.flac,,\nbad.wav,,\nmissing.wav,1,2\n,,\nanger.flac,0.5,1.5\nanger.flac,60,\n"
        "anger.flac,2,1\nanger.flac,soon,\n"
    )
    assert cli.run(["predict", str(table)]) == 3
    printed = capsys.readouterr()
    rows = rows_of(printed.out)
    faults = ["", "bad.wav: ", "missing.wav: no such file", "line 5: the path is empty", "",
              "anger.flac: ends at 2.03 s", "from 2 to 1 s is empty", "line 9: 'soon' is not a time"]  # fmt: skip
    assert all(fault in row["error"] for fault, row in zip(faults, rows, strict=True))
    assert [bool(row["label"]) for row in rows] == [not fault for fault in faults] == [not r["error"] for r in rows]
    assert printed.err == "feltone: 2 recognised, 6 not; column 'error' says why\n"
    table.write_text("path\nmissing.wav\n")
    assert cli.run(["predict", str(table)]) == 2
    assert len(rows_of(capsys.readouterr().out)) == 1


def test_a_table_without_rows_stays_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "none.csv").write_text("path,id\n")
    assert cli.run(["predict", str(folder / "none.csv")]) == 0
    assert capsys.readouterr().out.startswith("path,id,label,")


SPANS = [(0.0, None), (3.0, 5.5), (0.0, 9.0), (2.99, 3.01), (8.5, 20.0), (3.0, 5.5), (5.0, None), (1.0, 2.0)]


def test_segments_hold_the_samples_that_audio_load_cuts(folder: Path) -> None:
    longest = 4 * RATE
    spans = [Span(folder / "long.wav", *span) for span in SPANS]
    found = dict(cuts(spans, RATE, longest))
    assert sorted(found) == list(range(len(spans)))
    for position, span in enumerate(spans):
        expected = audio.load(span.path, RATE, start=span.start, end=span.end)[:longest]
        assert np.array_equal(found[position], expected)


def test_a_recording_that_many_rows_name_is_decoded_once_and_no_further_than_needed(
    folder: Path, recognize: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    stream = audio.stream

    def counted(source: audio.Source, rate: int):
        for chunk in stream(source, rate):
            decoded.append(len(chunk))
            yield chunk

    monkeypatch.setattr(audio, "stream", counted)
    answers = recognise(recognize, [Span(folder / "long.wav", begin / 10, begin / 10 + 1) for begin in range(50)])
    assert all(answer.seconds == 1.0 for answer in answers)
    assert 5.9 * RATE < sum(decoded) < 7.1 * RATE


def test_what_was_read_before_a_recording_breaks_is_recognised(folder: Path, recognize: Recognizer) -> None:
    soundfile.write(folder / "long.flac", audio.load(folder / "long.wav"), RATE)
    whole = (folder / "long.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    answers = recognise(recognize, [Span(folder / "cut.flac", 0.5, 1.5), Span(folder / "cut.flac", 7, 8)])
    assert answers[0].scores == recognise(recognize, [Span(folder / "long.flac", 0.5, 1.5)])[0].scores
    assert answers[1].label is None and "cut.flac" in str(answers[1].error)
    with pytest.raises(AudioError):
        audio.load(folder / "cut.flac", start=7, end=8)


def test_parquet_keeps_its_types_and_says_what_csv_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pyarrow.table({
        "file": pyarrow.array(["anger.flac", "bad.wav", "long.wav"]).dictionary_encode(),
        "start": pyarrow.array([0, None, 1_500_000_000], pyarrow.duration("ns")),
        "end": pyarrow.array([1_000_000_000, None, None], pyarrow.duration("ns")),
        "words": [["so", "what"], [], None],
        "taken": pyarrow.array([0, 1, None], pyarrow.timestamp("ns")),
    })  # fmt: skip
    parquet.write_table(table, folder / "calls.parquet")
    out = folder / "out.parquet"
    assert cli.run(["predict", str(folder / "calls.parquet"), "--out", str(out)]) == 3
    written = parquet.read_table(out)
    assert written.select(table.column_names).equals(table)
    assert cli.run(["predict", str(folder / "calls.parquet")]) == 2  # refused before anything is recognised
    assert "column 'words' holds list<" in capsys.readouterr().err

    (folder / "calls.csv").write_text(
        "file,start,end\nanger.flac,0 days,0 days 00:00:01\nbad.wav,,\nlong.wav,1.5,NaT\n"
    )
    assert cli.run(["predict", str(folder / "calls.csv")]) == 3
    from_csv = rows_of(capsys.readouterr().out)
    for name in ("label", "anger", "seconds"):
        said = [str(value) if value is not None else "" for value in written[name].to_pylist()]
        assert said == [row[name] for row in from_csv]


def test_a_written_table_is_named_with_its_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "calls.csv").write_text("path\nanger.flac\nsadness.flac\n")
    assert cli.run(["predict", str(folder / "calls.csv"), "--out", str(folder / "found.csv")]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"{folder / 'found.csv'}: 2 rows recognised; next: ")


def test_jsonl_in_every_direction(folder: Path) -> None:
    records = [{"path": "anger.flac", "n": 1, "tags": ["a"]}, {"path": "sadness.flac", "who": None}]
    (folder / "calls.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for kind in ("jsonl", "tsv", "parquet"):
        assert cli.run(["predict", str(folder / "calls.jsonl"), "--out", str(folder / f"out.{kind}")]) == 0
    written = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [{key: row[key] for key in record} for row, record in zip(written, records, strict=True)] == records
    assert "n" not in written[1] and written[0]["error"] is None
    assert (folder / "out.tsv").read_text().splitlines()[1].startswith('anger.flac\t1\t"[""a""]"\t')
    assert parquet.read_table(folder / "out.parquet")["n"].to_pylist() == [1, None]


@pytest.mark.parametrize(
    ("header", "options", "line"),
    [
        ("path,label", [], r"feltone: t\.csv: column 'label' would stand twice; .*--prefix predicted_"),
        ("path,path", [], r"feltone: t\.csv: column 'path' would stand twice; .*"),
        ("path,file", [], r"feltone: t\.csv: columns path and file both say the path; rename one"),
        ("name,id", [], r"feltone: t\.csv: no column holds the paths; name one of its columns: name, id"),
        ("name,id", ["--column", "nam"], r"feltone: t\.csv: has no column 'nam'; name one of its columns: name, id"),
        ("path,id", ["--out", "x.xlsx"], r"feltone: x\.xlsx: not a kind of table that is written; .*\.parquet"),
        ("path,id", ["--out", "no/x.csv"], r"feltone: no/x\.csv: cannot be written; .*"),
        ("path,id", ["--json"], r"feltone: t\.csv: --json and --timeline are not for tables; .*"),
        ("path,id", ["other.wav"], r"feltone: t\.csv: a table is recognised by itself; name it alone"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    header: str, options: list[str], line: str, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    Path("t.csv").write_text(f"{header}\nanger.flac,anger\n")
    assert cli.run(["predict", "t.csv", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and re.fullmatch(line + "\n", printed.err)


def test_options_of_tables_are_refused_for_recordings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(folder / "anger.flac"), "--out", "x.csv"]) == 2
    assert capsys.readouterr().err.startswith("feltone: --out, --column and --prefix are for tables of recordings")


@pytest.mark.parametrize("name", ["gone.csv", "damaged.parquet", "damaged.jsonl"])
def test_a_table_that_cannot_be_read_is_refused(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name.startswith("damaged"):
        (folder / name).write_text("PAR1 or not")
    assert cli.run(["predict", str(folder / name)]) == 2
    printed = capsys.readouterr()
    assert name in printed.err and printed.err.count("\n") == 1


def test_a_column_by_name_and_a_prefix_let_a_manifest_be_recognised(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = feltone.load(threads=1)(folder / "anger.flac").label
    (folder / "t.csv").write_text("path,label,wave\nx,happiness,anger.flac\n")
    assert cli.run(["predict", str(folder / "t.csv"), "--column", "wave", "--prefix", "heard_"]) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert (row["label"], row["heard_label"], row["heard_error"]) == ("happiness", heard, "")


def test_csv_needs_nothing_more_and_parquet_names_what_it_needs(folder: Path) -> None:
    program = """
import sys
for name in ("pyarrow", "pandas", "torch", "sklearn"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
from feltone.doors.cli import run
assert run(["predict", "t.csv", "--out", "out.jsonl"]) == 0
assert run(["predict", "t.csv", "--out", "out.parquet"]) == 2
"""
    (folder / "t.csv").write_text("path\nanger.flac\n")
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written, refused = done.stderr.splitlines()
    assert written.startswith("out.jsonl: 1 rows") and refused.endswith("pip install 'feltone[tables]'")


def test_pandas_gets_the_same_answers_at_the_same_index(folder: Path, recognize: Recognizer) -> None:
    pandas = pytest.importorskip("pandas", reason="tables of pandas need pandas")
    from feltone.doors.frames import predict_table

    frame = pandas.DataFrame(
        {"File": ["anger.flac", "bad.wav", None, "long.wav"], "start": [None, None, None, 1.5]}, index=[5, 3, 3, "x"]
    )
    found = predict_table(frame, recognize, root=folder)
    assert found.index.equals(frame.index)
    assert list(found.columns) == ["label", "unsure", *recognize.labels, "seconds", "error"]
    expected = recognize(folder / "anger.flac")
    assert found.loc[5, "label"] == expected.label and dict(found.loc[5, list(recognize.labels)]) == expected.scores
    late = recognize.waveform(audio.load(folder / "long.wav", start=1.5))
    assert found.loc["x", "anger"] == late.scores["anger"]
    assert found["error"].notna().tolist() == [False, True, True, False] == found["label"].isna().tolist()
    series, sad = pandas.Series(["sadness.flac"], index=["a"]), recognize(folder / "sadness.flac")
    assert predict_table(series, recognize, root=folder)["label"].to_dict() == {"a": sad.label}
    assert predict_table(frame, recognize, root=folder, column="File").equals(found)
    with pytest.raises(ConfigError, match="no column holds the paths"):
        predict_table(pandas.DataFrame({"x": []}), recognize)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # audformat 1.4 on pandas 3.1
def test_audformat_takes_and_holds_what_was_recognised(folder: Path, recognize: Recognizer) -> None:
    audformat = pytest.importorskip("audformat", reason="audformat's tables need audformat")
    from feltone.doors.frames import predict_table

    segments = audformat.segmented_index(
        ["anger.flac", "long.wav", "long.wav"], ["0s", "1s", "3.5s"], ["1s", None, "5s"]
    )
    found = predict_table(segments, recognize, root=folder)
    assert audformat.is_segmented_index(found) and found["error"].isna().all()
    files = audformat.filewise_index(["anger.flac", "sadness.flac"])
    assert audformat.is_filewise_index(predict_table(files, recognize, root=folder))

    database = audformat.Database("held")
    database.schemes["emotion"] = audformat.Scheme(labels=list(recognize.labels))
    database.schemes["chance"] = audformat.Scheme("float", minimum=0, maximum=1)
    database["heard"] = audformat.Table(found.index)
    database["heard"]["label"] = audformat.Column(scheme_id="emotion")
    for label in recognize.labels:
        database["heard"][label] = audformat.Column(scheme_id="chance")
    database["heard"].set(found.drop(columns=["unsure", "seconds", "error"]).to_dict("series"))
    database.save(str(folder))
    held = audformat.Database.load(str(folder))["heard"].get()
    assert held.index.equals(found.index) and held["label"].astype(str).tolist() == found["label"].tolist()
    assert np.allclose(held[list(recognize.labels)], found[list(recognize.labels)], atol=1e-6)
    # The database's own file is a table that the command line takes: paths are relative to it.
    table, again = folder / "db.heard.parquet", folder / "again.parquet"
    assert cli.run(["predict", str(table), "--prefix", "again_", "--out", str(again)]) == 0
    assert parquet.read_table(again)["again_label"].to_pylist() == found["label"].tolist()
