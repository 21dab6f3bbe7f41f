"""The evidence: a plan that knows what is done, runs that go on where they were killed, rows that say how they came."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from feltone.doors import cli
from feltone.doors import reproduce as doors
from feltone.errors import ConfigError
from feltone.files import held
from feltone.lab import recipes, reproduce, tasks
from feltone.lab.protocols import PAPER_WARNING
from feltone.lab.recipes import Recipe
from feltone.lab.tasks import Task
from feltone.lab.tested import FoldResult
from feltone.lab.training.stages import three_stages
from feltone_benchmarks import tiny
from toy import QUICKLY, know_tiny

TASK = Task("paper", "emodb", "clean", seeds=2)


def in_small() -> Recipe:
    """The paper's recipe with a tiny student, the same for a teacher, and two epochs for fifty."""
    return replace(tiny.tiny(), name="paper")


def in_squares() -> Recipe:
    """The same with square patches."""
    return Recipe("paper-16x16", three_stages("tiny-16x16", "tiny-16x16", epochs=2))


@pytest.fixture(scope="module")
def short_paper() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        squares = {"tiny-16x16": replace(tiny.TINY, patch=(16, 16))}
        know_tiny(patch, squares, {"paper": in_small, "paper-16x16": in_squares})
        yield


@pytest.fixture(scope="module")
def finished(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory, short_paper: None) -> Path:
    """A folder in which table 3's own row was reproduced on the small corpus, under `clean` with two seeds."""
    folder = tmp_path_factory.mktemp("evidence")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FELTONE_CACHE", str(folder / "cache"))
        assert cli.run(command(synthetic_emodb, folder, "--seeds", "2")) == 0
    return folder


def command(data: Path, folder: Path, *options: str) -> list[str]:
    chosen = ["--recipe", "paper", "--corpus", "emodb", "--protocol", "clean", *options]
    where = ["--data", str(data), "--out", str(folder / "runs"), "--results", str(folder / "results")]
    return ["reproduce", "table3", *chosen, *where, *QUICKLY]


def test_a_row_is_pooled_over_its_seeds_and_names_the_command_that_makes_it(finished: Path) -> None:
    row = json.loads((finished / "results" / "emodb__clean__student.json").read_text())
    assert row["seeds"] == [0, 1] and row["folds_run"] == [1] and row["leakage"]["same_recording"] == 0
    assert row["command"] == TASK.command and row["train_seconds"] > 0
    verb, what, *options = row["command"].split()[1:]
    assert (verb, what) == ("reproduce", "all") and tasks.tasks(what, only=["paper"])
    assert options[options.index("--protocol") + 1] == "clean"


def test_networks_tested_directly_answer_as_their_artefacts_do(finished: Path, synthetic_emodb: Path) -> None:
    """What `feltone train` exports and tests through ONNX Runtime, from the very same weights."""
    (planned, *_), _ = reproduce.plan([TASK], synthetic_emodb, finished / "results")
    folder = finished / "runs" / TASK.out / "seed-0" / "fold-1"
    direct = FoldResult.read(reproduce.result_files(TASK, planned.job, finished / "results")["student"])
    out = str(finished / "runs" / TASK.out)
    options = ["--corpus", "emodb", "--protocol", "clean", "--data", str(synthetic_emodb), "--out", out]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FELTONE_CACHE", str(finished / "cache"))
        assert cli.run(["train", "paper", *options, *QUICKLY]) == 0
    exported = FoldResult.read(folder / "student.tested.json")
    assert exported.predictions.keys == direct.predictions.keys
    assert abs(exported.predictions.probabilities - direct.predictions.probabilities).max() < 1e-4


def test_nothing_is_done_twice(finished: Path, synthetic_emodb: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in (finished / "results").rglob("*.json")}
    assert cli.run(command(synthetic_emodb, finished, "--seeds", "2")) == 0
    assert "nothing is left to do" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in (finished / "results").rglob("*.json")} == before


def test_what_is_trained_and_was_not_tested_is_only_tested(
    finished: Path, synthetic_emodb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished / "runs", tmp_path / "runs")
    monkeypatch.setenv("FELTONE_CACHE", str(finished / "cache"))
    planned, _ = reproduce.plan([TASK], synthetic_emodb, tmp_path / "results")
    assert not any(one.done or any(one.steps_left(tmp_path / "runs").values()) for one in planned)
    assert cli.run(command(synthetic_emodb, tmp_path, "--seeds", "2")) == 0
    assert_same_answers(tmp_path, finished)


def test_attention_is_drawn_of_both_patch_shapes_once_they_are_trained(
    finished: Path, synthetic_emodb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = command(synthetic_emodb, finished, "--seeds", "1")
    line[1:4] = ["attention"]  # of both recipes; the slices are there already
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FELTONE_CACHE", str(finished / "cache"))
        assert cli.run(line) == 0
    picture = finished / "runs" / "attention-emodb-clean.png"
    assert str(picture) in capsys.readouterr().out.replace("\n", "")
    numbers = json.loads(picture.with_suffix(".json").read_text())
    assert set(numbers["studies"]) == {"128×1 patches", "16×16 patches"}
    with Image.open(picture) as drawn:
        assert drawn.width > 500


def test_results_of_another_recipe_do_not_count_and_are_not_lost(
    finished: Path, synthetic_emodb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def done() -> list[bool]:
        return [one.done for one in reproduce.plan([TASK], synthetic_emodb, finished / "results")[0]]

    assert done() == [True, True]
    longer = Recipe("paper", tuple(replace(stage, epochs=3) for stage in in_small().stages))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "RECIPES", recipes.RECIPES | {"paper": lambda: longer})
        assert done() == [False, False]
        before = {file: file.read_bytes() for file in (finished / "results").rglob("*.json")}
        assert cli.run(command(synthetic_emodb, finished, "--seeds", "2")) == 2
        assert "2 folds were made by another form of recipe 'paper'; move them away" in capsys.readouterr().err
        assert {file: file.read_bytes() for file in (finished / "results").rglob("*.json")} == before


def test_a_plan_is_printed_and_trains_nothing(
    synthetic_emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], short_paper: None
) -> None:
    assert cli.run(command(synthetic_emodb, tmp_path, "--plan")) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1].split()[:5] == ["paper", "emodb", "clean", "3", "0"]
    assert "without --plan" in told.err and not (tmp_path / "runs").exists() and not (tmp_path / "results").exists()
    assert "ask for less" not in told.err


def test_a_plan_of_days_says_how_to_ask_for_less(
    synthetic_emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--corpus", "emodb", "--data", str(synthetic_emodb), "--results", str(tmp_path), *QUICKLY]
    monkeypatch.setattr(doors, "A_DAY", 1.0)  # of a corpus that is small
    assert cli.run(["reproduce", "table1", "--protocol", "clean", "--recipe", "nope", *where, "--plan"]) == 0
    told = capsys.readouterr().err
    assert "more than a day: nope; --recipe, --protocol and --fold ask for less" in told and "--minutes" in told


def test_nothing_is_begun_that_would_take_longer_than_there_is_time(
    synthetic_emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], short_paper: None
) -> None:
    assert cli.run(command(synthetic_emodb, tmp_path, "--minutes", "0")) == 3
    told = capsys.readouterr().err
    assert told.count("left for another time") == 3 and "3 runs are left" in told
    assert not (tmp_path / "runs").exists() and not (tmp_path / "results").exists()


def test_a_corpus_that_cannot_be_divided_is_named_and_the_others_go_on(
    synthetic_emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], short_paper: None
) -> None:
    arguments = command(synthetic_emodb, tmp_path, "--plan", "--corpus", "savee", "--protocol", "emobox")
    assert cli.run(arguments) == 0
    told = capsys.readouterr()
    assert ["paper", "emodb", "clean"] in [line.split()[:3] for line in told.out.splitlines()]
    assert "savee under clean" in told.err and "emodb under emobox" in told.err
    arguments[arguments.index("emodb")] = "emodb@99"
    assert cli.run(arguments) == 2
    assert "nothing of this is possible; emodb@99 under clean: corpus 'emodb@99'" in capsys.readouterr().err


def test_a_row_under_paper_carries_its_warning(
    synthetic_emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], short_paper: None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
        chosen = command(synthetic_emodb, tmp_path, "--seeds", "1")
        assert cli.run(["paper" if word == "clean" else word for word in chosen]) == 0
    assert capsys.readouterr().out.count(PAPER_WARNING) == 2  # teacher and student
    row = json.loads((tmp_path / "results" / "emodb__paper__student.json").read_text())
    assert row["warning"] == PAPER_WARNING and row["leakage"]["same_recording"] > 0.9


def begun(data: Path, folder: Path, finished: Path, *options: str) -> subprocess.Popen[str]:
    """The command in a process of its own, which keeps checkpoints often."""
    program = (
        "import sys; from dataclasses import replace; from feltone.doors import cli; from feltone.lab import recipes; "
        "from feltone_benchmarks import tiny; tiny.register(); "
        "recipes.RECIPES |= {'paper': lambda: replace(tiny.tiny(), name='paper')}; "
        "sys.exit(cli.run(sys.argv[1:]))"
    )
    line = [sys.executable, "-c", program, *command(data, folder, "--seeds", "2", *options)]
    hook = {"worker_process_setup_hook": "feltone_benchmarks.tiny.register"}  # for those of a cluster
    environment = os.environ | {
        "FELTONE_CACHE": str(finished / "cache"),
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": hook}),
    }
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_matching(folder: Path) -> None:
    until = time.monotonic() + 240
    while not list((folder / "runs").rglob("matching.checkpoint")) and time.monotonic() < until:
        time.sleep(0.02)


def assert_same_answers(folder: Path, finished: Path) -> None:
    files = [file.relative_to(folder) for file in folder.glob("results/folds/**/*.json")]
    assert len(files) == 4  # of two networks, by two seeds
    for file in files:
        mine, other = FoldResult.read(folder / file), FoldResult.read(finished / file)
        assert (mine.predictions.probabilities == other.predictions.probabilities).all()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_in_the_middle_the_same_command_finishes_with_the_same_answers(
    synthetic_emodb: Path, tmp_path: Path, finished: Path
) -> None:
    started = begun(synthetic_emodb, tmp_path, finished)
    wait_for_matching(tmp_path)
    started.kill()
    started.communicate()
    assert started.returncode == -signal.SIGKILL and not list((tmp_path / "results").rglob("*.json"))
    (first, second), _ = reproduce.plan([TASK], synthetic_emodb, tmp_path / "results")
    left, whole = (sum(steps.values()) for steps in (first.steps_left(tmp_path / "runs"), first.steps))
    assert 0 < left <= whole * 2 / 3  # the first of three stages is behind it
    assert second.steps_left(tmp_path / "runs") == second.steps
    again = begun(synthetic_emodb, tmp_path, finished)
    _, told = again.communicate()
    assert again.returncode == 0, told
    assert_same_answers(tmp_path, finished)


def test_a_cluster_that_loses_a_node_gives_the_same_answers(
    synthetic_emodb: Path, tmp_path: Path, finished: Path, ray_cluster: subprocess.Popen[str]
) -> None:
    assert ray_cluster.stdin and ray_cluster.stdout
    address = ray_cluster.stdout.readline().strip()
    run = begun(synthetic_emodb, tmp_path, finished, "--ray", address)
    wait_for_matching(tmp_path)
    ray_cluster.stdin.write("\n")
    assert ray_cluster.stdout.readline() == "killed\n" and run.poll() is None
    rows, told = run.communicate()
    assert run.returncode == 0, told
    assert "2 tasks on" in told and "failed" not in told and "student" in rows
    assert_same_answers(tmp_path, finished)
    row, same = (json.loads((at / "results/emodb__clean__student.json").read_text()) for at in (tmp_path, finished))
    assert row["seeds"] == same["seeds"] and row["wa"] == same["wa"]
    with held(tmp_path / "runs" / TASK.out / "seed-2" / "fold-1"):  # somebody else is at work on a third one
        again = begun(synthetic_emodb, tmp_path, finished, "--ray", address, "--seeds", "3")
        _, told = again.communicate()
    assert again.returncode == 3, told
    assert "failed: paper emodb clean fold 1 seed 2" in told and "is at work here" in told
    assert "1 runs are left, give the same command again" in told


def test_jobs_are_grouped_by_recipe_and_labels_not_by_protocol(finished: Path, synthetic_emodb: Path) -> None:
    tasks = [TASK, replace(TASK, protocol="speaker", seeds=1), replace(TASK, recipe="nope", seeds=1)]
    planned, _ = reproduce.plan(tasks, synthetic_emodb, finished / "nowhere")
    sizes = [[(one.task.recipe, one.task.protocol) for one in group] for group in reproduce.together(planned, 16)]
    assert sorted(map(len, sizes)) == [1, 6]  # two seeds under clean with four folds of speakers; and one of nope
    assert {recipe for group in sizes for recipe, _ in group} == {"paper", "nope"}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"what": "table9"}, "table1"),
        ({"what": "all", "wanted": ["own"]}, "protocol 'own'"),
        ({"what": "table3", "only": ["ast"]}, "paper, septr"),
    ],
)
def test_what_is_not_known_is_told_with_what_is(arguments: dict, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        tasks.tasks(**arguments)


def test_what_says_most_for_its_cost_comes_first() -> None:
    order = [(task.recipe, task.corpus, task.protocol) for task in tasks.tasks("all")]
    assert order[0] == ("paper", "emodb", "paper")
    assert {recipe for recipe, corpus, _ in order[-20:]} == {"septr"}
    assert order.index(("paper", "crema-d", "paper")) > order.index(("ast", "emodb", "paper"))


def test_recipes_for_honest_protocols_are_asked_for_where_they_mean_something() -> None:
    """Not under `paper`; large ones on the large corpus alone; and no corpus before itself."""
    asked = [(task.recipe, task.corpus, task.protocol) for task in tasks.tasks("all") if "honest" in task.recipe]
    assert {protocol for *_, protocol in asked} == {"clean", "emobox", "speaker"}
    assert {corpus for recipe, corpus, _ in asked if "large" in recipe} == {"crema-d"}
    assert not [one for one in asked if one[1] in recipes.recipe(one[0]).corpora_before]
    joined = tasks.tasks("honest", corpora=["emodb+crema-d", "emodb+savee", "crema-d@6"], wanted=["speaker"])
    assert all(("large" in task.recipe) == ("crema-d" in task.corpus) for task in joined) and len(joined) > 2
    ablated = tasks.tasks("ablation", corpora=["emodb", "crema-d"])
    assert {task.recipe for task in ablated} > {f"honest-{name}-after-crema-d" for name in recipes.ABLATIONS}
    parts = [task for task in ablated if "no-" in task.recipe or "student" in task.recipe]
    assert {(task.corpus, task.protocol) for task in parts} == {("emodb", "emobox")}


@pytest.mark.parametrize("name", recipes.ABLATIONS)
def test_an_ablation_changes_one_thing(name: str) -> None:
    (whole,), (without,) = (recipes.recipe(recipe).stages for recipe in ("honest", f"honest-{name}"))
    changed = {key for key, value in vars(whole).items() if value != getattr(without, key)}
    assert changed in ({"regimen"}, {"losses"})
    assert recipes.recipe(f"honest-{name}-after-crema-d").before == recipes.recipe("honest-after-crema-d").before


def test_a_student_takes_as_many_steps_however_it_is_taught() -> None:
    taught, unmatched, untaught = (
        [stage for stage in recipes.recipe(name).stages if stage.learner == "student-relative"] for name in tasks.TAUGHT
    )
    for students in (taught, unmatched, untaught):
        assert sum(stage.epochs for stage in students) == sum(stage.epochs for stage in taught)
        assert {(s.batch, s.learning_rate, s.regimen) for s in students} == {
            (s.batch, s.learning_rate, s.regimen) for s in taught
        }
    assert {name for stage in unmatched for name in stage.losses} == {"smoothed_cross_entropy", "teacher_cross_entropy"}
    assert {name for stage in untaught for name in stage.losses} == {"smoothed_cross_entropy"}
