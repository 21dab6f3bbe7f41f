"""What is learnt from other corpora before a fold: once for all folds, never from what the fold tests, and told."""

import json
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from feltone.artifact import load
from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.files import held
from feltone.lab import corpora, protocols, recipes
from feltone.lab.augment import COPIES
from feltone.lab.experiment import Experiment, Material
from feltone.lab.ledger import read
from feltone.lab.models import ResidualConfig, build
from feltone.lab.protocols import Fold, Sample
from feltone.lab.recipes import after, recipe
from feltone.lab.reproduce import Planned, ahead
from feltone.lab.tasks import Task
from feltone.lab.training import before
from feltone.lab.training.machine import Machine
from feltone.lab.training.run import Run, train_many
from feltone.lab.training.schedule import Job
from feltone.labels import LabelSet
from feltone_benchmarks import tiny
from toy import QUICKLY


def test_all_copies_of_the_other_clips_come_before_and_both_parts_stay(two_corpora: Path) -> None:
    own, others = (corpora.read(name, two_corpora) for name in ("emodb", "savee"))
    for fold in protocols.split("speaker", own):
        found = before.preceded(fold, others)
        assert (found.train, found.test) == (fold.train, fold.test)
        assert {(sample.clip, sample.copy) for sample in found.before} == {(c, copy) for c in others for copy in COPIES}
        assert protocols.audit(found) == protocols.audit(fold)
        assert found == before.preceded(fold, others[::-1])


def test_the_audit_sees_what_came_before(two_corpora: Path) -> None:
    (fold,) = protocols.split("clean", corpora.read("emodb", two_corpora))
    leaking = replace(fold, before=fold.test)
    assert protocols.audit(fold).same_recording == 0 and protocols.audit(leaking).same_recording == 1


@pytest.mark.parametrize("corpus", ["emodb", "savee"])
def test_what_is_divided_or_tested_cannot_come_before(two_corpora: Path, corpus: str) -> None:
    wanted = Experiment("emodb", two_corpora, "cross", test_corpus="savee", before=(corpus,))
    with pytest.raises(ConfigError, match=f"corpus '{corpus}' is divided or tested on"):
        wanted.folds(Material.read("emodb", two_corpora))


def test_a_recording_of_ones_own_that_was_heard_under_a_corpus_name_is_not_tested(two_corpora: Path) -> None:
    table = two_corpora / "own.csv"
    files = sorted((two_corpora / "savee").glob("*.wav"))
    table.write_text("\n".join(["path,label,start,end", *(f"{file},{file.stem[3]},0,0.4" for file in files)]))
    others = corpora.read("savee", two_corpora)
    own = corpora.read("manifest", table)
    fold = Fold("own", 1, tuple(map(Sample, own[:5])), tuple(map(Sample, own[5:])))
    with pytest.raises(ConfigError, match=r"5 test recordings are named as in savee, .* \(.*\); test on others"):
        before.preceded(fold, others)
    before.preceded(replace(fold, test=()), others)


def test_a_recipe_that_learns_first_is_another_recipe() -> None:
    alone, found = recipe("honest-student"), after(recipe("honest-student"), ["savee", "emodb", "savee"])
    assert found.name == "honest-student-after-savee+emodb" and found == recipe(found.name)
    assert [stage.start for stage in found.stages] == ["before:teacher", "before:student", "matching"]
    assert [stage.start for stage in alone.stages] == [None, None, "matching"]
    told = json.loads(json.dumps(found.to_dict()))["before"]
    assert told["name"] == "honest-student-large" and told["corpora"] == ["savee", "emodb"]
    assert "before" not in alone.to_dict()


@pytest.mark.parametrize(
    ("name", "corpus", "says"),
    [
        ("honest", "iemocap", r"corpus 'iemocap' is not known; known: .*emodb"),
        ("paper", "savee", "do: honest, everyday, honest-st"),
    ],
)
def test_what_cannot_be_learnt_first_is_refused(name: str, corpus: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        after(recipe(name), [corpus])


@pytest.mark.parametrize("labels", ["anger calm fear", "anger calm fear joy", "anger calm joy"])
def test_other_labels_leave_the_classifier_as_drawn_and_the_same_ones_take_it(labels: str) -> None:
    told = LabelSet.of(["anger", "calm", "fear"])
    known, wanted = before.Known(build(ResidualConfig(), 3, seed=1), told), LabelSet.of(labels.split())
    network, drawn = (build(ResidualConfig(), len(wanted), seed=2) for _ in range(2))
    before.begin_from(network, wanted, known)
    expected = known.network if wanted == told else drawn
    assert same(network.classifier, expected.classifier)
    assert same(network.blocks, known.network.blocks) and same(network.embed, known.network.embed)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_folds_share_what_comes_before_and_say_so(
    two_corpora: Path, tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--corpus", "emodb", "--data", str(two_corpora), "--protocol", "speaker"]
    line = ["train", "small", *where, "--after", "savee", "--out", str(tmp_path / "run"), *QUICKLY]
    assert cli.run([*line, "--fold", "1"]) == 0
    (shared,) = (quick / "before").iterdir()
    written = (shared / "teacher.safetensors").stat().st_mtime_ns
    assert cli.run([*line, "--fold", "2"]) == 0
    assert [shared] == list((quick / "before").iterdir())
    assert (shared / "teacher.safetensors").stat().st_mtime_ns == written
    folder = tmp_path / "run" / "seed-0" / "fold-1" / "teacher"
    seen = read(folder)
    assert {clip.corpus for clip in seen} == {"emodb", "savee"} and "surprise" in {clip.label for clip in seen}
    assert "surprise" not in load(folder).labels
    assert load(folder).description["origin"]["recipe"]["name"] == "small-after-savee"
    assert "SAVEE" in (folder / "README.md").read_text()
    tested = json.loads((folder.parent / "teacher.tested.json").read_text())
    assert tested["recipe"]["before"]["corpora"] == ["savee"]
    capsys.readouterr()


def test_seeds_that_are_trained_together_learn_first_what_each_alone_would(
    two_corpora: Path, tmp_path: Path, quick: Path
) -> None:
    made, material = after(recipe("small"), ["savee"]), Material.read("emodb", two_corpora)
    machine, runs = Machine(compiled=False, precision="32-true", threads=1), []
    for seed in (0, 1):
        fold = Experiment("emodb", two_corpora, "speaker", seed, before=("savee",)).folds(material)[0]
        runs.append(Run(fold, Job(fold, 10, seed).labels, seed, tmp_path / f"seed-{seed}"))
    together = train_many(made, runs, machine=machine, cache=quick)
    assert len(list((quick / "before").iterdir())) == 2
    alone = train_many(made, [replace(runs[1], out=tmp_path / "alone")], machine=machine, cache=tmp_path / "another")
    one, other = (networks[-1]["teacher"].state_dict() for networks in (together, alone))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value)


def test_a_plan_counts_what_comes_first_once_a_seed_until_it_is_there(two_corpora: Path, quick: Path) -> None:
    made, material = after(recipe("small"), ["savee"]), Material.read("emodb", two_corpora)
    task, machine = Task(made.name, "emodb", "speaker", 2), Machine(compiled=False, precision="32-true")
    planned = [
        Planned(task, Job(fold, 10, seed), material, made, done=False)
        for seed in (0, 1)
        for fold in Experiment("emodb", two_corpora, "speaker", seed, before=("savee",)).folds(material)
    ]
    samples = len(corpora.read("savee", two_corpora)) * len(COPIES)
    found = ahead(planned, machine, quick)
    assert [one.samples for one in found.values()] == [samples, samples] and len(planned) > 2
    assert ahead([replace(one, done=True) for one in planned], machine, quick) == {}
    (first, _) = found
    first.mkdir(parents=True)
    (first / "teacher.safetensors").touch()
    assert ahead(planned, machine, quick) == {place: one for place, one in found.items() if place != first}


def test_a_fold_begins_where_the_other_corpora_left_off(two_corpora: Path, tmp_path: Path, quick: Path) -> None:
    """Under a learning rate of nothing, what came before is what comes out."""
    still = replace(recipe("small"), stages=tuple(replace(s, learning_rate=1e-12) for s in recipe("small").stages))
    recipes.RECIPES["small"] = lambda: still
    where = ["--corpus", "emodb", "--data", str(two_corpora), "--protocol", "speaker", "--fold", "1"]
    for name, options in {"after": ["--after", "savee"], "alone": []}.items():
        assert cli.run(["train", "small", *where, *options, "--out", str(tmp_path / name), *QUICKLY]) == 0
    (shared,) = (quick / "before").iterdir()
    known = build(tiny.TINY, 7, seed=0)
    before_weights, after_weights, alone_weights = (
        load_state(folder / "teacher.safetensors")
        for folder in (shared, *(tmp_path / name / "seed-0" / "fold-1" for name in ("after", "alone")))
    )
    inner = [name for name in known.state_dict() if not name.startswith("classifier")]
    for name in inner:
        torch.testing.assert_close(after_weights[name], before_weights[name], atol=1e-6, rtol=0)
    assert any((after_weights[name] - alone_weights[name]).abs().max() > 1e-3 for name in inner)


def load_state(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def test_who_comes_second_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "PATIENCE", 0.01)
    holds, release = threading.Event(), threading.Event()

    def first() -> None:
        with held(tmp_path / "before"):
            holds.set()
            release.wait(30)

    other = threading.Thread(target=first)
    other.start()
    assert holds.wait(30)
    threading.Timer(0.3, release.set).start()
    begun = time.monotonic()
    with ExitStack() as holding:
        before.hold(tmp_path / "before", holding)
        assert release.is_set() and time.monotonic() > begun
    other.join()
