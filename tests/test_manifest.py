"""A user's own recordings: every form that is read, and one clear line for everything that can be wrong with it."""

import json
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from feltone.errors import CorpusError
from feltone.lab import corpora
from feltone.lab.corpora import manifest, rows
from feltone.lab.corpora.clip import Clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings to point at: anger/1.wav, anger/2.wav, joy/1.wav."""
    root = tmp_path_factory.mktemp("own")
    for name in ("anger/1.wav", "anger/2.wav", "joy/1.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        soundfile.write(root / name, np.zeros(16_000), 16_000)
    return root


def table(folder: Path, text: str, name: str = "calls.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def told(clips: list[Clip]) -> list[tuple[str, str]]:
    return [(clip.name, clip.label) for clip in clips]


# --- what is read ---

ROWS = [
    {"path": "anger/1.wav", "label": "anger", "speaker": "anna", "start": 0.25, "end": 0.75},
    {"path": "joy/1.wav", "label": "happiness", "speaker": "ben", "start": None, "end": None},
]


def as_csv(folder: Path) -> Path:
    return table(folder, "path,label,speaker,start,end\nanger/1.wav,anger,anna,0.25,0.75\njoy/1.wav,happiness,ben,,\n")


def as_semicolons(folder: Path) -> Path:
    return table(folder, "path;label;speaker;start;end\nanger/1.wav;anger;anna;0.25;0.75\njoy/1.wav;happiness;ben;;\n")


def as_tabs(folder: Path) -> Path:
    lines = ["path\tlabel\tspeaker\tstart\tend", "anger/1.wav\tanger\tanna\t0.25\t0.75", "joy/1.wav\thappiness\tben"]
    return table(folder, "\r\n".join(lines), "calls.tsv")


def as_jsonl(folder: Path) -> Path:
    return table(folder, "\n\n".join(json.dumps(row) for row in ROWS), "calls.jsonl")


def as_parquet(folder: Path) -> Path:
    rows = [{**row, "audio_bytes": b"not read"} for row in ROWS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "calls.parquet")
    return folder / "calls.parquet"


def as_audformat(folder: Path) -> Path:
    text = (
        "file,start,end,emotion,speaker\n"
        "anger/1.wav,0 days 00:00:00.250000,0 days 00:00:00.750000,anger,anna\n"
        "joy/1.wav,0 days,,happiness,ben\n"
    )
    return table(folder, text.replace("0 days,,", "0 days 00:00:00,NaT,"), "db.emotion.csv")


def as_audformat_parquet(folder: Path) -> Path:
    spans = {
        "start": pyarrow.array([timedelta(seconds=0.25), timedelta(0)], pyarrow.duration("ns")),
        "end": pyarrow.array([timedelta(seconds=0.75), None], pyarrow.duration("ns")),
    }
    columns = {
        "file": ["anger/1.wav", "joy/1.wav"],
        **spans,
        "emotion": ["anger", "happiness"],
        "speaker": ["anna", "ben"],
    }
    parquet.write_table(pyarrow.table(columns), folder / "db.emotion.parquet")
    return folder / "db.emotion.parquet"


FORMS = [as_csv, as_semicolons, as_tabs, as_jsonl, as_parquet, as_audformat, as_audformat_parquet]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form, folder: Path) -> None:
    assert corpora.read("manifest", form(folder)) == [
        Clip("manifest", "anger/1.wav#t=0.25,0.75", folder / "anger/1.wav", "anger", "anna", start=0.25, end=0.75),
        Clip("manifest", "joy/1.wav", folder / "joy/1.wav", "happiness", "ben"),
    ]


def test_a_folder_per_label(folder: Path, tmp_path: Path) -> None:
    for name in ("Angry/deep/1.wav", "relief/1.wav", "relief/notes.txt", ".cache/1.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((folder / "joy/1.wav").read_bytes())
    (tmp_path / "README.md").write_text("mine")
    assert told(manifest.read(tmp_path)) == [("Angry/deep/1.wav", "anger"), ("relief/1.wav", "relief")]


@pytest.mark.parametrize("meaning", rows.COLUMNS)
def test_every_column_name_in_the_table_is_understood(meaning: str, folder: Path) -> None:
    values = {"path": "anger/1.wav", "label": "anger", "start": "0.5", "end": "0.9", "sex": "f"}
    expected = {"path": folder / "anger/1.wav", "start": 0.5, "end": 0.9, "sex": "female"}
    for column in rows.COLUMNS[meaning]:
        row = {"path": "anger/1.wav", "label": "anger", meaning: values.get(meaning, "x")}
        header = [column.upper() if name == meaning else name for name in row]
        (clip,) = manifest.read(table(folder, f"{','.join(header)}\n{','.join(row.values())}\n"))
        assert getattr(clip, meaning) == expected.get(meaning, values.get(meaning, "x"))


@pytest.mark.parametrize(
    ("written", "label"),
    [("Angry", "anger"), ("JOY", "happiness"), ("pleasant surprise", "surprise"), ("Relief", "Relief"), ("4", "4")],
)
def test_labels_become_feltones_words_where_it_has_them(written: str, label: str, folder: Path) -> None:
    assert told(manifest.read(table(folder, f"path,label\nanger/1.wav,{written}\n"))) == [("anger/1.wav", label)]


@pytest.mark.parametrize("written", ["F", "female", "Woman"])
def test_sex_is_understood(written: str, folder: Path) -> None:
    clips = manifest.read(table(folder, f"path,label,gender\nanger/1.wav,anger,{written}\njoy/1.wav,joy,other\n"))
    assert [clip.sex for clip in clips] == ["female", None]


def test_other_columns_and_a_byte_order_mark_do_no_harm(folder: Path) -> None:
    path = table(folder, '\ufeffpath,label,note\nanger/1.wav,anger,"said twice,\nand loud"\n')
    assert told(manifest.read(path)) == [("anger/1.wav", "anger")]


def test_segments_of_one_recording_are_clips_of_their_own(folder: Path) -> None:
    rows = "anger/1.wav,anger,0,0.5\nanger/1.wav,anger,0.5,\nanger/1.wav,anger,,"
    names = [clip.name for clip in manifest.read(table(folder, f"path,label,start,end\n{rows}\n"))]
    assert names == ["anger/1.wav", "anger/1.wav#t=0,0.5", "anger/1.wav#t=0.5"]


def test_names_do_not_depend_on_where_the_table_lies_or_how_it_spells_paths(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    spelled = ["anger/1.wav", "./anger//1.wav", "joy/../anger/1.wav", "anger\\1.wav", str(folder / "anger/1.wav")]
    for path in spelled:
        table(folder, f"path,label\n{path},anger\n")
        for named in (folder / "calls.csv", Path("calls.csv")):
            (clip,) = manifest.read(named)
            assert clip.name == "anger/1.wav"
            assert clip.path.is_absolute()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("1.5", 1.5), ("0 days 00:00:01.500000", 1.5), ("1 day 01:00:00", 90_000), ("01:02:03.5", 3723.5), ("2:05", 125)],
)
def test_times(written: str, seconds: float, folder: Path) -> None:
    (clip,) = manifest.read(table(folder, f"path,label,start\nanger/1.wav,anger,{written}\n"))
    assert clip.start == pytest.approx(seconds)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=4))
def test_any_text_is_read_or_refused_in_one_line(folder: Path, lines: list[str]) -> None:
    path = table(folder, "\n".join(["path,label", *lines]))
    try:
        manifest.read(path)
    except CorpusError as refused:
        assert str(path) in str(refused)


# --- what is refused ---

WRONG = {
    "missing column": ("path,mood\nanger/1.wav,anger\n", "no column says the label; name one of label, emotion, emo "),
    "no path": ("label\nanger\n", "no column says the path; name one of path, file, "),
    "two columns": ("path,label,emotion\na,b,c\n", "columns 'label' and 'emotion' both say the label; keep one"),
    "column twice": ("path,label,label\na,b,c\n", "columns 'label' and 'label' both say the label; keep one"),
    "empty label": ("path,label\nanger/1.wav,anger\nanger/2.wav, \n", "line 3: the label is empty; fill it in"),
    "empty path": ("path,label\n,anger\n", "line 2: the path is empty; fill it in"),
    "short row": ("path,label\nanger/1.wav\n", "line 2: the label is empty; fill it in"),
    "long row": ("path,label\nanger/1.wav,anger,loud\n", "line 2: has more fields than the header"),
    "no rows": ("path,label\n", "holds no rows; one row per recording is needed"),
    "empty file": ("", "holds no rows"),
    "absent": (
        "path,label\nx.wav,a\ny.wav,a\njoy/1.wav,a\n",
        r"2 of 3 recordings do not exist, for example \S+x.wav, ",
    ),
    "a folder": ("path,label\nanger,a\n", "1 of 1 recordings do not exist"),
    "backwards": ("path,label,start,end\njoy/1.wav,a,2,1\n", "line 2: the segment ends at 1 s but starts at 2 s"),
    "no length": ("path,label,end\njoy/1.wav,a,0\n", "line 2: the segment ends at 0 s but starts at 0 s"),
    "negative": ("path,label,start\njoy/1.wav,a,-1\n", "line 2: '-1' is not a time; write seconds from 0 up"),
    "infinite": ("path,label,end\njoy/1.wav,a,inf\n", "line 2: 'inf' is not a time"),
    "no number": ("path,label,start\njoy/1.wav,a,soon\n", "line 2: 'soon' is not a time"),
    "twice": ("path,label\njoy/1.wav,a\n./joy/1.wav,b\n", "line 3: joy/1.wav stands already in .*line 2; keep one"),
    "open quote": ('path,label\n"joy/1.wav,a\n', "line 2: not CSV"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_table_is_refused_in_one_line(text: str, message: str, folder: Path) -> None:
    path = table(folder, text)
    with pytest.raises(CorpusError, match=f"^{re.escape(str(path))}[:,] .*{message}") as refused:
        manifest.read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "line 2: not JSON"), ("[1]", "line 2: not a JSON object"), ('{"label": "x"}', "line 2: the path is empty")],
)
def test_a_wrong_line_of_json_is_refused(line: str, message: str, folder: Path) -> None:
    with pytest.raises(CorpusError, match=message):
        manifest.read(table(folder, f'{{"path": "joy/1.wav", "label": "joy"}}\n{line}\n', "calls.jsonl"))


def test_another_encoding_is_refused_with_its_line(folder: Path) -> None:
    path = folder / "latin.csv"
    path.write_bytes("path,label\njoy/1.wav,joy\njoy/1.wav,fröhlich\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"latin\.csv, line 3: not UTF-8; save the table with that encoding"):
        manifest.read(path)


def test_damaged_parquet_is_refused(folder: Path) -> None:
    path = folder / "calls.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(CorpusError, match=r"calls\.parquet: not Parquet, or damaged \(.*\); write it again"):
        manifest.read(path)


def test_a_missing_parquet_value_is_refused_with_its_row(folder: Path) -> None:
    path = folder / "calls.parquet"
    rows = [{"path": "joy/1.wav", "label": 1.0}, {"path": "anger/1.wav", "label": float("nan")}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    with pytest.raises(CorpusError, match="row 2: the label is empty"):
        manifest.read(path)


def test_no_manifest_and_no_kind_of_manifest(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere: no such manifest; name a table or a folder"):
        manifest.read(tmp_path / "nowhere")
    (tmp_path / "calls.xlsx").touch()
    with pytest.raises(CorpusError, match=r"not a kind of table that is read; save it as \.csv, "):
        manifest.read(tmp_path / "calls.xlsx")


def test_folders_that_say_no_label(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no folders; make one subfolder per label"):
        manifest.read(tmp_path)
    (tmp_path / "fear").mkdir()
    with pytest.raises(CorpusError, match="fear: holds no recordings of this label"):
        manifest.read(tmp_path)
    (tmp_path / "stray.wav").write_bytes((folder / "joy/1.wav").read_bytes())
    with pytest.raises(CorpusError, match=r"1 recordings lie outside the label folders \(first: stray\.wav\)"):
        manifest.read(tmp_path)
