"""What can go wrong during a training: it is named, nothing is lost, and what comes after is as if it had not been."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from feltone.doors import cli
from feltone.errors import ConfigError, FeltoneError, FeltoneWarning, Stopped, StorageError, TrainingError
from feltone.files import LOCK
from feltone.lab.models import build
from feltone.lab.training import checkpoint, loop
from feltone.lab.training.folder import History, load_weights, save_weights, seconds_of
from feltone.lab.training.learner import Learner, Tick, epoch_order
from feltone.lab.training.loop import fit_many
from feltone.lab.training.machine import Machine
from feltone.lab.training.stages import Stage
from feltone.lab.training.stopping import obeyed
from feltone_benchmarks import tiny
from toy import CLASSIFY, PLAIN, QUICKLY, TINY, know_tiny, run_fit, same_weights, toy_data

NAMES = [f"clip-{number:02}" for number in range(24)]
FULL = 60_000  # bytes: more than any small file of a run, less than a checkpoint of the tiny network


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint and a report after every step."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    """What comes out when nothing goes wrong."""
    return run_fit(CLASSIFY, tmp_path_factory.mktemp("straight") / "toy.checkpoint")


class InterruptedAtError(Exception):
    """Raised by a test in place of a kill."""


def stop_at(epoch: int, step: int) -> Callable[[Tick], None]:
    def stop(tick: Tick) -> None:
        if (tick.epoch, tick.step) == (epoch, step):
            raise InterruptedAtError

    return stop


def begun(file: Path) -> Path:
    """A checkpoint of a training that was interrupted in its second epoch, and the one before it."""
    with pytest.raises(InterruptedAtError):
        run_fit(CLASSIFY, file, on_tick=stop_at(2, 5))
    return file


# numbers


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["looked at every step", "looked at each epoch"])
def test_a_loss_that_is_no_number_is_named_with_its_batch_and_the_checkpoint_is_kept(
    tmp_path: Path, straight: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, value: float, seconds: float
) -> None:
    file = begun(tmp_path / "toy.checkpoint")
    before = file.read_bytes()
    monkeypatch.setattr(loop, "TICK_SECONDS", seconds)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 1e9)
    order = epoch_order(24, 0, "toy", 1)
    data, spoilt = toy_data(), int(order[21])  # in the last batch of the epoch that was under way
    data.images[spoilt, 0, 0] = value
    with pytest.raises(TrainingError) as fault:
        run_fit(CLASSIFY, file, data, names=NAMES)
    batch = ", ".join(NAMES[row] for row in order[20:24])
    assert f"{tmp_path}: stage toy, epoch 2, step 6: the loss is no number" in str(fault.value)
    assert f" on {batch}; " in str(fault.value) and NAMES[spoilt] in batch
    assert file.read_bytes() == before
    assert same_weights(run_fit(CLASSIFY, file), straight)  # with the clip mended


def test_of_networks_in_one_step_the_one_that_failed_is_named(tmp_path: Path) -> None:
    sound, spoilt = toy_data(), toy_data()
    spoilt.images[int(epoch_order(24, 1, "toy", 0)[9])] = math.nan
    learners = [
        Learner(build(TINY, 2, seed), data, seed, tmp_path / str(seed) / "c", names=NAMES)
        for seed, data in enumerate([sound, spoilt])
    ]
    with pytest.raises(TrainingError, match=rf"^{tmp_path}/1: stage toy, epoch 1, step 3: the loss is no number"):
        fit_many(CLASSIFY, learners, fabric=PLAIN.fabric(), compiled=False)
    assert all(
        weights.isfinite().all()
        for it in learners
        for weights in checkpoint.read(it.checkpoint)["network"].values()  # that of step 2
    )


def test_weights_that_are_no_numbers_are_not_kept_though_the_loss_was_one(tmp_path: Path) -> None:
    file, steps = tmp_path / "toy.checkpoint", []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        steps.append(gradient)
        return gradient * (math.nan if len(steps) == 4 else 1)

    network = build(TINY, 2, seed=0)
    network.classifier.weight.register_hook(spoil)
    learner = Learner(network, toy_data(), 0, file, names=NAMES)
    batch = ", ".join(NAMES[row] for row in epoch_order(24, 0, "toy", 0)[12:16])
    with pytest.raises(
        TrainingError, match=f"epoch 1, step 4: weights are no numbers any more, after learning on {batch}"
    ):
        fit_many(CLASSIFY, [learner], fabric=PLAIN.fabric(), compiled=False)
    assert checkpoint.read(file)["position"]["step"] == 3


def test_what_float16_cannot_hold_is_learnt_in_bfloat16_and_float16_is_not_offered(tmp_path: Path) -> None:
    data = toy_data(feature=32)
    data.feature.mul_(1e6)  # float16 ends at 65,504
    stage = Stage("m", "student", {"feature_l1": 1.0}, teacher="t", epochs=1, learning_rate=1e-3)
    ticks = []
    run_fit(stage, tmp_path / "c", data, fabric=replace(PLAIN, precision="bf16-mixed").fabric(), on_tick=ticks.append)
    assert ticks[-1].loss > 65_504 and math.isfinite(ticks[-1].loss)
    with pytest.raises(ConfigError, match="precision '16' is not known; known: auto, bf16, 32"):
        Machine.of("cpu", 1, "16", compiled=False, threads=None)


def test_two_threads_learn_what_one_does(tmp_path: Path) -> None:
    """Sums are cut into other parts, so they round otherwise: by this much of a loss, of a weight's change, at most."""
    tolerance, curves, trained = 1e-4, [], []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            ticks = []
            fabric = replace(PLAIN, threads=threads).fabric()
            trained.append(run_fit(CLASSIFY, tmp_path / str(threads), fabric=fabric, on_tick=ticks.append))
            curves.append([tick.loss for tick in ticks])
    finally:
        torch.set_num_threads(before)
    assert np.allclose(*curves, rtol=tolerance)
    fresh, *both = (
        torch.cat([w.flatten() for w in net.state_dict().values()]) for net in (build(TINY, 2, 0), *trained)
    )
    assert (both[0] - both[1]).abs().mean() < tolerance * (both[0] - fresh).abs().mean()


# checkpoints


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def turned(content: bytes) -> bytes:
    """One bit in the middle of the weights, which would be read without complaint."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def blank(content: bytes) -> bytes:
    return bytes(len(content))


def empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut, turned, blank, empty])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before_it(
    tmp_path: Path, straight: torch.nn.Module, damage: Callable
) -> None:
    file = begun(tmp_path / "toy.checkpoint")
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    with pytest.warns(FeltoneWarning, match=f"{file}: is damaged, kept as {file.name}.damaged; .* the one before it"):
        position = checkpoint.read(file)["position"]
    assert (position["epoch"], position["step"]) == (1, 3)  # the newest was of step 4
    assert file.with_name("toy.checkpoint.damaged").read_bytes() == damaged
    assert same_weights(run_fit(CLASSIFY, file), straight)


def test_when_both_are_damaged_the_stage_begins_anew_and_says_so(tmp_path: Path, straight: torch.nn.Module) -> None:
    file = begun(tmp_path / "toy.checkpoint")
    for one in (file, file.with_name("toy.checkpoint.before")):
        one.write_bytes(cut(one.read_bytes()))
    with pytest.warns(FeltoneWarning) as told:
        continued = run_fit(CLASSIFY, file)
    assert [str(one.message).rpartition("from ")[2] for one in told] == [
        "the one before it",
        "the beginning of the stage",
    ]
    assert same_weights(continued, straight)


def test_killed_between_two_checkpoints_the_one_before_is_there(tmp_path: Path, straight: torch.nn.Module) -> None:
    file = begun(tmp_path / "toy.checkpoint")
    file.unlink()  # as between the two renamings
    assert checkpoint.read(file)["position"]["step"] == 3
    assert same_weights(run_fit(CLASSIFY, file), straight)


def test_a_checkpoint_of_an_earlier_version_is_continued(tmp_path: Path, straight: torch.nn.Module) -> None:
    file = begun(tmp_path / "toy.checkpoint")
    torch.save(checkpoint.read(file), file)  # as they were written before they had a seal
    assert same_weights(run_fit(CLASSIFY, file), straight)


def test_files_dated_in_the_future_or_long_ago_are_continued_alike(tmp_path: Path, straight: torch.nn.Module) -> None:
    for name, when in (("future", 4e9), ("past", 0)):
        file = begun(tmp_path / name)
        os.utime(file, (when, when))
        assert same_weights(run_fit(CLASSIFY, file), straight)


# the disk


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The kernel lets no file of this process grow further, as when the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_where_no_checkpoint_can_be_written_the_last_one_stays_and_is_continued(
    tmp_path: Path, straight: torch.nn.Module
) -> None:
    file = begun(tmp_path / "toy.checkpoint")
    there = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with no_file_beyond(FULL), pytest.raises(StorageError, match=rf"^{file}: cannot be written \(.*\); .*same command"):
        run_fit(CLASSIFY, file)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == there
    assert same_weights(run_fit(CLASSIFY, file), straight)


def test_weights_damaged_since_are_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "teacher.safetensors"
    save_weights(build(TINY, 2, seed=0), file)
    file.write_bytes(cut(file.read_bytes()))
    with pytest.raises(
        StorageError, match=rf"^{file}: is damaged .* delete it, and the same command trains that stage"
    ):
        load_weights(build(TINY, 2, seed=0), file)


def test_a_damaged_record_of_a_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "seconds.json").write_text('{"teacher": 1')
    with pytest.raises(StorageError, match=rf"^{tmp_path}/seconds.json: is damaged"):
        seconds_of(tmp_path)


def test_a_history_that_was_cut_short_loses_no_more_than_that_line(tmp_path: Path) -> None:
    file, tick = tmp_path / "history.jsonl", Tick("s", 1, 3, 2, 2, 0.5, 0.5)
    History(file, lambda _: None).tick(tick)
    file.write_text(file.read_text() + '{"stage": "s", "epo')
    again = History(file, lambda _: None)
    for epoch in (1, 2):
        again.tick(tick._replace(epoch=epoch))
    assert [json.loads(line)["epoch"] for line in file.read_text().splitlines()] == [1, 2]


# signals and other processes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [1, 5, 6])  # 6: an epoch's last
def test_a_signal_is_answered_after_the_step_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, step: int
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 1e9)  # no other checkpoint than this one
    file, ticks = tmp_path / "toy.checkpoint", []
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]

    def send(tick: Tick) -> None:
        ticks.append(tick)
        if (tick.epoch, tick.step) == (1, step):
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match=f"^stopped by {number.name} in stage toy, with a checkpoint; the same command"):
        run_fit(CLASSIFY, file, on_tick=send)
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    position = checkpoint.read(file)["position"]
    assert position["epoch"] * 6 + position["step"] == step + 1 or step == 6
    straight = []
    uninterrupted = run_fit(CLASSIFY, tmp_path / "straight", on_tick=straight.append)
    assert same_weights(run_fit(CLASSIFY, file, on_tick=ticks.append), uninterrupted)
    assert [tick for tick in dict.fromkeys(ticks) if tick.step == 6] == [tick for tick in straight if tick.step == 6]


def test_outside_the_steps_a_signal_ends_what_is_done_at_once() -> None:
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM; the same command continues$"), obeyed():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_in_another_thread_training_leaves_signals_alone(tmp_path: Path) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(run_fit(replace(CLASSIFY, epochs=1), tmp_path / "c")))
    thread.start()
    thread.join()
    assert found


def test_a_second_process_on_a_run_is_refused_until_the_first_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    know_tiny(monkeypatch)
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    tiny.write_recordings(tmp_path / "clips.csv")
    run = tmp_path / "run" / "seed-0" / "fold-1"
    line = ["train", "tiny", "--corpus", "manifest", "--data", str(tmp_path / "clips.csv"), "--protocol", "clean"]
    line += ["--out", str(tmp_path / "run"), *QUICKLY]
    holding = f"from pathlib import Path; from feltone.files import held\nwith held(Path({str(run)!r})): input()"
    with subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE) as first:
        while not ((run / LOCK).is_file() and (run / LOCK).read_text().strip()):
            assert first.poll() is None
        assert cli.run(line) == 2
        assert f"{run}: process {first.pid} is at work here" in capsys.readouterr().err
        assert [path.name for path in run.iterdir()] == [LOCK]
        first.kill()
    with monkeypatch.context() as patch:  # the lock is had; what follows is another test's
        patch.setattr("feltone.lab.experiment.train_many", _refuse)
        assert cli.run(line) == 2
    assert "had the lock" in capsys.readouterr().err


def _refuse(*_: object, **__: object) -> None:
    raise FeltoneError("had the lock")
