"""The bench: sides take turns, what cannot be measured says why and stops nobody, and the numbers add up."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from feltone.doors import cli
from feltone_benchmarks import recognition, report, startup
from feltone_benchmarks.harness import Missing, Side, Timing, alternated, document, measure, ratio
from feltone_benchmarks.worker import WARM_UP_CALLS

ROOT = Path(__file__).parents[1]
SIDES = """
import os, subprocess, sys

def quiet():
    return lambda: None

def logged(name, log):
    def work():
        with open(log, "a") as file:
            print(name, file=file)
    return work

def chatty():
    def work():
        print("printed")
        os.write(1, b"written\\n")
        subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
        assert sys.stdin.read() == ""
    return work

def failing(after, way):
    calls = []
    def work():
        calls.append(1)
        if len(calls) > after:
            if way == "raises":
                raise ValueError("this goes\\non and on")
            print("the last words", file=sys.stderr)
            os._exit(7)
    return work

def pinned(cores):
    if hasattr(os, "sched_getaffinity"):
        assert len(os.sched_getaffinity(0)) == cores
    assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == str(cores)
    return lambda: None
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Side]:
    """Makes sides whose work is one of `SIDES`."""
    (tmp_path / "fake_sides.py").write_text(SIDES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def side(name: str, function: str = "quiet", settings: dict[str, Any] | None = None, **rest: Any) -> Side:
        return Side(name, f"fake_sides:{function}", settings or {}, **rest)

    return side


def once(sides: list[Side], rounds: int = 2) -> dict[str, Timing | Missing]:
    """Measure with turns of a single call."""
    return measure(sides, rounds=rounds, turn_seconds=0)


def timing(*per_round_ms: float) -> Timing:
    return Timing.of([[ms] for ms in per_round_ms])


def test_every_round_visits_each_side_once_and_begins_with_another() -> None:
    sides = [Side(name, "m:f") for name in "abc"]
    order = "".join(side.name for side in alternated(sides, 4))
    assert order == "abcbcacababc"


def test_sides_work_in_turns_and_progress_reaches_its_total(fake: Callable[..., Side], tmp_path: Path) -> None:
    log = tmp_path / "log"
    sides = [fake(name, "logged", {"name": name, "log": str(log)}) for name in "ab"]
    seen: list[tuple[int, int]] = []
    results = measure(sides, rounds=3, turn_seconds=0, on_turn=lambda *turn: seen.append(turn))
    warm_up = ["a"] * WARM_UP_CALLS + ["b"] * WARM_UP_CALLS
    assert log.read_text().split() == warm_up + list("abbaab")
    assert seen == [(done, 8) for done in range(1, 9)]
    for result in results.values():
        assert isinstance(result, Timing) and result.repeats == len(result.per_round_ms) == 3
        assert result.low_ms <= result.median_ms <= result.high_ms and result.peak_mb > 0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"after": 0, "way": "raises"}, "ValueError: this goes on and on"),
        ({"after": WARM_UP_CALLS + 1, "way": "raises"}, "ValueError: this goes on and on"),
        ({"after": 0, "way": "exits"}, "the process ended with code 7: the last words"),
        ({"after": WARM_UP_CALLS + 1, "way": "exits"}, "the process ended with code 7: the last words"),
    ],
)
def test_a_side_that_fails_says_how_and_stops_nobody(
    fake: Callable[..., Side], settings: dict[str, Any], reason: str
) -> None:
    results = once([fake("first"), fake("bad", "failing", settings), fake("last")], rounds=3)
    assert results["bad"] == Missing(reason)
    for name in ("first", "last"):
        result = results[name]
        assert isinstance(result, Timing) and len(result.per_round_ms) == 3


def test_an_absent_package_is_named_with_the_command_that_brings_it(fake: Callable[..., Side]) -> None:
    results = once([fake("rival", needs=("json", "no_such_package", "nor_this")), fake("ours")])
    assert results["rival"] == Missing("needs no_such_package and nor_this: pip install no_such_package nor_this")
    assert isinstance(results["ours"], Timing)


def test_chatter_does_not_reach_the_protocol(fake: Callable[..., Side]) -> None:
    assert isinstance(once([fake("chatty", "chatty")])["chatty"], Timing)


def test_a_side_keeps_to_its_cores(fake: Callable[..., Side]) -> None:
    assert isinstance(once([fake("one", "pinned", {"cores": 1})])["one"], Timing)
    too_many = once([fake("many", cores=100_000)])["many"]
    assert isinstance(too_many, Missing) and "needs 100000 cores" in too_many.reason


def test_times_are_per_item_and_by_turn() -> None:
    found = Timing.of([[20.0, 40.0, 60.0], [100.0]], units=10)
    assert (found.median_ms, found.low_ms, found.high_ms, found.repeats) == (5.0, 2.0, 10.0, 4)
    assert found.per_round_ms == (4.0, 10.0)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """A machine that slows down for one round slows both sides of it."""
    assert ratio(timing(10, 100, 12), timing(5, 50, 4)) == 2
    assert ratio(Missing("absent"), timing(1)) is None and ratio(timing(1), Missing("absent")) is None
    assert startup.difference(timing(10, 100, 12), timing(9, 98, 8)) == 2


def test_the_summary_of_recognition_compares_like_with_like() -> None:
    results: dict[str, Timing | Missing] = dict.fromkeys(recognition.WHAT, Missing("absent"))
    results |= {"plain": timing(40, 80), "feltone-fp32": timing(4, 4), "feltone-fp32-1s": timing(1, 1)}
    results |= {"feltone-fp32-1core": timing(3, 3), "feltone-fp32-2cores": timing(1.5, 1.5)}
    found = recognition.summary(results)
    assert found["ms_per_clip_one_core"] == 4 and found["ratio_to_plain"] == 15
    assert found["ms_per_clip_one_core_int8"] is None and found["ratio_to_plain_int8"] is None
    assert found["scaling_two_cores"] == 2
    assert "ratio_to_plain" not in found["sides"]["feltone-fp32-1s"]
    assert found["sides"]["ast"]["missing"] == "absent"


def test_recordings_are_as_long_as_they_say_and_every_side_is_described(tmp_path: Path) -> None:
    sides = recognition.sides(tmp_path)
    assert {side.name for side in sides} == set(recognition.WHAT)
    for seconds in (1, 2, 4):
        found = soundfile.info(tmp_path / f"{seconds}s.wav")
        assert (found.frames, found.samplerate, found.channels) == (seconds * 16_000, 16_000, 1)
        assert found.subtype == "PCM_16"
    assert len(list(tmp_path.iterdir())) == 3 + recognition.FILES


def test_feltone_itself_runs_as_a_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "FILES", 3)
    ours = [side for side in recognition.sides(tmp_path) if side.name in ("feltone-fp32", "feltone-fp32-1core")]
    assert all(isinstance(result, Timing) for result in once(ours, rounds=1).values())


@pytest.fixture
def small_parts(fake: Callable[..., Side], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one fake side each, the second without the number that is asked of it."""

    def part(number: float | None, *sides: Side) -> Callable[..., dict[str, Any]]:
        return lambda rounds, on_turn: {
            "number": number,
            "sides": document(measure(sides, rounds=rounds, turn_seconds=0, on_turn=on_turn)),
        }

    monkeypatch.setattr(
        report, "PARTS", {"start": part(1.0, fake("ours")), "training": part(None, fake("x", needs=("absent_one",)))}
    )
    monkeypatch.setattr(report, "TOLERATED_ELSEWHERE", 1)  # whatever else this machine does
    monkeypatch.setattr(report, "HEADLINES", {part: {"number": "asked for"} for part in report.PARTS})


@pytest.mark.usefixtures("small_parts")
def test_json_is_one_document_and_the_same_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed" / "here.json"
    assert cli.run(["bench", "--json", "--only", "start", "--rounds", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found == json.loads(out.read_text())
    assert set(found) == {"machine", "command", "commit", "date", "start"}
    assert found["start"]["sides"]["ours"]["repeats"] == 2
    assert str(out) in printed.err.splitlines()[-1]


@pytest.mark.usefixtures("small_parts")
def test_what_is_missing_is_a_row_a_line_and_code_three(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "--rounds", "1"]) == 3
    printed = capsys.readouterr()
    assert "| x | – | – | – | – | missing: needs absent_one: pip install absent_one |" in printed.out
    assert "| ours |" in printed.out and "1.00 asked for" in printed.out and "– asked for" in printed.out
    assert "feltone: x: needs absent_one: pip install absent_one" in printed.err
    assert printed.err.splitlines()[-1].startswith("next: pip install 'feltone[bench]'")


@pytest.mark.parametrize("options", [["--only", "speech"], ["--only", ""], ["--rounds", "0"], ["--out", "."]])
def test_a_wrong_request_is_refused_before_anything_is_measured(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("feltone: ") and printed.err.count("\n") == 1


def test_the_core_alone_can_measure_and_names_what_it_lacks() -> None:
    program = """
import sys
for name in ("torch", "sklearn", "matplotlib", "librosa", "transformers", "opensmile", "openvino"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
from feltone.doors.cli import run
sys.exit(run(["bench", "--json", "--only", "training"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert found["training"]["total_ratio"] is None and found["machine"]["cores"] >= 1
    assert "pip install 'feltone[train]'" in done.stderr and "Traceback" not in done.stderr


def test_a_machine_that_is_busy_elsewhere_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 s of two cores 140 were busy, of which 40 with us."""
    clock = iter([(1000.0, 600.0, 5.0), (1200.0, 740.0, 45.0)])
    monkeypatch.setattr(report, "_processor_seconds", lambda: next(clock))
    monkeypatch.setattr(report, "PARTS", {"start": lambda rounds, on_turn: {"import_ms": 1.0, "predict_ms": None}})
    measured = report.watched("start", 1, lambda done, total: None)
    assert measured["busy_elsewhere"] == 0.5 and report.disturbed(measured)
    assert "50% of the machine was busy elsewhere" in report.asked("start", measured)
    assert not report.disturbed({"busy_elsewhere": None})


def test_every_package_is_shipped() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    source = ROOT / "src"
    there = {".".join(file.parent.relative_to(source).parts) for file in source.rglob("__init__.py")}
    assert set(listed) == there | {"feltone_benchmarks"}
