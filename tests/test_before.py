"""Training in company: other corpora's clips join the training part, and nothing of the test part comes with them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from feltone.artifact import load
from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.lab import corpora, protocols
from feltone.lab.experiment import Experiment, Material, joined
from feltone.lab.ledger import read
from feltone.lab.recipes import in_company, recipe

QUICKLY = ["--accelerator", "cpu", "--no-compile", "--precision", "32", "--threads", "1"]
SAVEE = {"DC": "a01 d01 f01 h01 n01 sa01 su01", "KL": "a02 n02 su02"}  # speaker -> clips


@pytest.fixture(scope="module")
def two_corpora(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small EmoDB, and a few clips under SAVEE's names, surprise among them, which EmoDB has not."""
    root = tmp_path_factory.mktemp("two")
    (root / "emodb").symlink_to(synthetic_emodb / "emodb")
    (root / "savee").mkdir()
    some = sorted((synthetic_emodb / "emodb").glob("*.wav"))
    names = [f"{speaker}_{name}.wav" for speaker, clips in SAVEE.items() for name in clips.split()]
    for source, name in zip(some, names, strict=False):
        waveform, rate = soundfile.read(source)
        soundfile.write(root / "savee" / name, waveform * 0.5, rate)
    return root


def test_clips_of_known_labels_join_as_recorded_and_the_test_part_stays(two_corpora: Path) -> None:
    own, others = (corpora.read(name, two_corpora) for name in ("emodb", "savee"))
    for fold in protocols.split("speaker", own):
        found = joined(fold, [*others, *own])
        assert found.test == fold.test and found.train[: len(fold.train)] == fold.train
        added = found.train[len(fold.train) :]
        assert {sample.clip.corpus for sample in added} == {"savee"}
        assert all(sample.copy == "original" for sample in added)
        assert {sample.clip for sample in added} == {clip for clip in others if clip.label != "surprise"}
        assert protocols.audit(found) == protocols.audit(fold)


def test_the_corpus_that_is_tested_never_joins(two_corpora: Path) -> None:
    wanted = Experiment("emodb", two_corpora, "cross", test_corpus="savee", company=("savee", "emodb"))
    (fold,) = wanted.folds(Material.read("emodb", two_corpora))
    (alone,) = replace(wanted, company=()).folds(Material.read("emodb", two_corpora))
    assert fold.train == alone.train and {sample.clip.corpus for sample in fold.test} == {"savee"}


def test_order_on_the_disk_does_not_matter(two_corpora: Path) -> None:
    own, others = (corpora.read(name, two_corpora) for name in ("emodb", "savee"))
    (fold,) = protocols.split("clean", own)
    assert joined(fold, others) == joined(fold, others[::-1])
    assert joined(fold, []) == fold


def test_a_recipe_in_company_is_another_recipe() -> None:
    alone, found = recipe("paper"), in_company(recipe("paper"), ["savee", "emodb", "savee"])
    assert found.name == "paper-with-savee-emodb" and found.to_dict()["company"] == ["savee", "emodb"]
    assert "company" not in alone.to_dict() and found.stages == alone.stages
    with pytest.raises(ConfigError, match=r"corpus 'iemocap' is not known; known: .*emodb"):
        in_company(alone, ["iemocap"])


def test_what_was_learnt_from_company_is_told(
    two_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    where = ["--corpus", "emodb", "--data", str(two_corpora), "--protocol", "speaker", "--fold", "1"]
    line = ["train", "smoke", *where, "--with", "savee", "--out", str(tmp_path / "run"), *QUICKLY]
    assert cli.run(line) == 0
    folder = tmp_path / "run" / "seed-0" / "fold-1" / "student"
    seen = read(folder)
    assert {clip.corpus for clip in seen} == {"emodb", "savee"} and "surprise" not in load(folder).labels
    assert load(folder).description["origin"]["recipe"]["name"] == "smoke-with-savee"
    tested = json.loads((folder.parent / "student.tested.json").read_text())
    assert tested["recipe"]["company"] == ["savee"]
    assert "SAVEE" in (folder / "README.md").read_text()
    capsys.readouterr()
    line[line.index("savee")] = "nowhere"
    assert cli.run(line) == 2 and "corpus 'nowhere' is not known" in capsys.readouterr().err
