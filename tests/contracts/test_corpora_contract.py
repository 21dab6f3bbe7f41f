"""What every corpus of the table must fulfil; a new corpus is tested by being in the table."""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import feltone
from feltone.errors import CorpusError
from feltone.lab import corpora
from feltone.lab.corpora import CORPORA, Corpus
from feltone.lab.corpora.verify import verify
from feltone.labels import EMOTIONS

every_corpus = pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)


def published(corpus: Corpus) -> list[str]:
    assert corpus.expected_names is not None
    return sorted(corpus.expected_names())


def miniature(corpus: Corpus, root: Path, count: int = 6, suffix: str = ".wav") -> list[str]:
    """The first clips of a corpus, as noise of various lengths."""
    rng = np.random.default_rng(0)
    names = published(corpus)[:count]
    for number, name in enumerate(names):
        (root / corpus.name / name[:4]).mkdir(parents=True, exist_ok=True)
        noise = rng.uniform(-0.5, 0.5, 1600 + 160 * number)
        soundfile.write(root / corpus.name / name[:4] / f"{name}{suffix}", noise, 16_000)
    return names


def test_table_is_keyed_by_the_names_a_user_types() -> None:
    assert list(CORPORA) == [corpus.name for corpus in CORPORA.values()]
    assert {"emodb", "ravdess", "crema-d", "savee", "tess"} <= set(CORPORA)


def test_only_emodb_and_crema_d_may_be_shipped() -> None:
    assert {name for name, corpus in CORPORA.items() if corpus.shippable} == {"emodb", "crema-d"}


@every_corpus
def test_says_whose_it_is_and_how_to_get_it(corpus: Corpus) -> None:
    for said in (corpus.title, corpus.licence, corpus.citation, corpus.obtain, corpus.language):
        assert len(said) > 3
    assert corpus.name in corpus.obtain  # the folder to put it in


@every_corpus
def test_published_names_parse_into_the_published_counts(corpus: Corpus) -> None:
    names = published(corpus)
    clips = [corpus.parse(Path("anywhere") / f"{name}.wav") for name in names]
    assert [clip.name for clip in clips if clip] == names
    assert Counter(clip.label for clip in clips if clip) == corpus.expected
    assert len({clip.speaker for clip in clips if clip}) == corpus.speakers
    assert len({clip.sentence for clip in clips if clip}) == corpus.sentences
    assert {clip.sex for clip in clips if clip} <= {"female", "male"}
    assert {clip.corpus for clip in clips if clip} == {corpus.name}


@every_corpus
def test_labels_are_words_of_feltone(corpus: Corpus) -> None:
    assert set(corpus.labels) <= set(EMOTIONS)
    assert list(corpus.labels) == sorted(corpus.labels)


@every_corpus
def test_a_speaker_has_one_sex(corpus: Corpus) -> None:
    clips = [corpus.parse(Path(f"{name}.flac")) for name in published(corpus)]
    assert len({(clip.speaker, clip.sex) for clip in clips if clip}) == corpus.speakers


@every_corpus
@pytest.mark.parametrize("name", ["noise", "readme", "IMG_0001", "999-999", "a"])
def test_foreign_names_are_no_clips(corpus: Corpus, name: str) -> None:
    assert corpus.parse(Path(f"{name}.wav")) is None


@every_corpus
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_reads_any_suffix_in_any_folder_sorted_by_name(corpus: Corpus, suffix: str, tmp_path: Path) -> None:
    names = miniature(corpus, tmp_path, suffix=suffix)
    from_above = corpora.read(corpus.name, tmp_path)
    assert [clip.name for clip in from_above] == names
    assert corpora.read(corpus.name, tmp_path / corpus.name) == from_above


@every_corpus
def test_one_clip_twice_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    names = miniature(corpus, tmp_path)
    miniature(corpus, tmp_path, count=1, suffix=".flac")
    with pytest.raises(CorpusError, match=f"1 clips stand more than once.*{corpus.name}/{names[0]}; keep one"):
        corpora.read(corpus.name, tmp_path)


@every_corpus
def test_absence_says_how_to_obtain_it(corpus: Corpus, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorpusError) as refused:
            corpora.read(corpus.name, folder)
        assert corpus.obtain in str(refused.value)
        assert "\n" not in str(refused.value)


@every_corpus
def test_verify_names_what_is_missing(corpus: Corpus, tmp_path: Path) -> None:
    names = miniature(corpus, tmp_path)
    report = verify(corpus, tmp_path)
    assert report.problems == {"missing": tuple(sorted(set(published(corpus)) - set(names)))}
    assert not report.ok
    assert report.clips == len(names)


@every_corpus
def test_real_recordings_are_complete(corpus: Corpus, corpora_root: Path) -> None:
    if not (corpora_root / corpus.name).is_dir():
        pytest.skip(f"no recordings of {corpus.title} below FELTONE_DATA")
    clips = corpora.read(corpus.name, corpora_root)
    assert [clip.name for clip in clips] == published(corpus)
    assert Counter(clip.label for clip in clips) == corpus.expected


def test_nothing_outside_knows_a_corpus_specially() -> None:
    """Corpora are reached through the table: no other module imports one of their files."""
    package = Path(feltone.__file__).parent
    files = {path.stem for path in (package / "lab" / "corpora").glob("*.py")}
    special = files - {"__init__", "clip", "corpus", "manifest", "rows", "verify"}
    for path in package.rglob("*.py"):
        if path.parent.name != "corpora":
            assert not special & _reached_in_corpora(path), path


def _reached_in_corpora(path: Path) -> set[str]:
    """Modules of the package `corpora` that a file imports."""
    reached = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "feltone.lab.corpora":
            reached |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("feltone.lab.corpora."):
            reached.add(str(node.module).rpartition(".")[2])
        elif isinstance(node, ast.Import):
            reached |= {alias.name.rpartition(".")[2] for alias in node.names if "lab.corpora." in alias.name}
    return reached
