"""Training at the paper's batch of 4, on all cores: milliseconds per step, and the hours that a whole run comes to.

Both sides do what they do in a run, on random images: plain asks the teacher at every step of stages 2 and 3; Feltone
is what `feltone train` does by default on this machine, and has the teacher's features from before the stage. The
steps of stage 3 (both losses) stand for those of stages 2 and 3.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from feltone.lab import provenance
from feltone.lab.models import build, variant
from feltone.lab.models.cost import cost
from feltone.lab.training.ensemble import make_ensemble, stacks_well
from feltone.lab.training.loop import said_of
from feltone.lab.training.machine import Machine, best_accelerator, best_precision
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.stages import Stage, three_stages
from feltone.lab.training.step import make_step
from feltone_benchmarks import gemm
from feltone_benchmarks.harness import Missing, Result, Side, Timing, document, measure, ratio

ROUNDS, TURN_SECONDS = 3, {"cpu": 4.0, "cuda": 1.0, "mps": 4.0}
STEPS = {"cpu": 2, "cuda": 100, "mps": 20}  # per call: a device is waited for once in so many
BATCH, CLASSES, SAMPLES, CHUNK = 4, 7, 64, 32
FOLDS = 2  # side by side, one thread each
SEEDS = 5  # trained together on a GPU

EMODB_SAMPLES, EPOCHS = 4 * 428, 50  # EmoDB's training part: four copies of 80 % of 535 clips, 428 steps an epoch
STAGES = {"stage1": "teacher", "stage23": "student"}  # what is measured -> the stage that is stepped

WHAT = {
    "plain-stage1": "eager fp32, teacher 6/5",
    "plain-stage23": "eager fp32, student with the teacher in the loop",
    "feltone-stage1": "as `feltone train`",
    "feltone-stage23": "as `feltone train`, the teacher's features computed before",
    "feltone-features": "the teacher's feature of an image, once per image before stages 2 and 3",
    "feltone-stage1-folds": f"{FOLDS} processes of one thread, per step of either",
    "feltone-stage23-folds": f"{FOLDS} processes of one thread, per step of either",
    "feltone-stage1-seeds": f"{SEEDS} seeds together, per step of one",
    "feltone-stage23-seeds": f"{SEEDS} seeds together, per step of one",
}
"""Every side in a few words, in the order of the table."""


def measure_training(
    on_turn: Callable[[int, int], object] = lambda done, total: None, accelerator: str = "auto"
) -> dict[str, Any]:
    """All sides, and the ratios that are asked of them; None where a side is missing."""
    device = best_accelerator() if accelerator == "auto" else accelerator
    here = sides(device)
    before, after = gemm.turns() if device == "cpu" else 0, len(here) * (ROUNDS + 1)
    limit = gemm.measure_gemm(lambda done, _: on_turn(done, before + after)) if device == "cpu" else gemm.UNKNOWN
    results = measure(
        here,
        rounds=ROUNDS,
        turn_seconds=TURN_SECONDS[device],
        on_turn=lambda done, _: on_turn(before + done, before + after),
    )
    return summary(results, device, limit)


def sides(device: str) -> list[Side]:
    """What is measured: on the processor folds side by side too, on a GPU several seeds together."""
    extra = {"cpu": "folds" if gemm.all_cores() >= FOLDS else None, "cuda": "seeds"}.get(device)
    names = [name for name in WHAT if len(parts := name.split("-")) == 2 or parts[2] == extra]
    return [_side(name, device) for name in names]


def _side(name: str, device: str) -> Side:
    who, what, *several = name.split("-")
    make, needs = ("plain_step", ("torch", "librosa")) if who == "plain" else ("feltone_step", ("torch",))
    units, cores = STEPS[device], gemm.all_cores()
    settings: dict[str, Any] = {"device": device}
    if what == "features":
        make, units = "feltone_features", CHUNK
    else:
        settings["stage"] = STAGES[what]
    if several == ["folds"]:
        make, units, cores = "folds_side_by_side", FOLDS * units, FOLDS
    elif several == ["seeds"]:
        settings["seeds"], units = SEEDS, SEEDS * units
    return Side(name, f"feltone_benchmarks.training:{make}", settings, needs, cores, units)


# The work -------------------------------------------------------------------------------------------------------------


def plain_step(stage: str, device: str) -> Callable[[], object]:
    """Steps of `plain.py`."""
    from feltone_benchmarks import plain

    teacher = plain.teacher(CLASSES).to(device)
    network, loss, taught_by = teacher, plain.classify, None
    if stage == "student":
        network, loss, taught_by = plain.student(CLASSES).to(device), plain.classify_and_match, teacher
    images, targets = (values.to(device) for values in random_samples())
    optimiser = plain.adam(network)
    first = next(network.parameters())

    def step(rows: Tensor) -> None:
        plain.step(network, optimiser, images[rows], targets[rows], loss, taught_by)

    return repeated(step, lambda: first.detach().flatten()[0].item(), device)


def feltone_step(stage: str, device: str, threads: int | None = None, seeds: int = 1) -> Callable[[], object]:
    """Steps of Feltone's `fit`, or with several seeds of its `fit_many`."""
    machine = Machine.of(device, 1, "auto", compiled=True, threads=threads)
    fabric = machine.fabric()
    fabric.launch()
    value = the_stage(stage)
    networks = [build(variant(value.learner), CLASSES, seed) for seed in range(seeds)]
    images, targets = random_samples()
    feature = torch.randn(SAMPLES, networks[0].config.token_width) if value.teacher else None
    data = TrainingData(images.half().numpy(), targets.numpy(), feature)
    options: dict[str, Any] = {"fabric": fabric, "compiled": machine.compiled}
    if seeds > 1 and stacks_well(networks[0]):
        stacked = make_ensemble(value, networks, [data] * seeds, **options)
        return repeated(lambda rows: stacked(rows.expand(seeds, -1)), lambda: stacked.totals, device)
    alone = [make_step(value, network, data, **options) for network in networks]

    def in_turns(rows: Tensor) -> None:
        for step in alone:
            step(rows)

    return repeated(in_turns, lambda: [step.totals for step in alone], device)


def feltone_features(device: str) -> Callable[[], object]:
    """The frozen teacher's features of a batch of images."""
    fabric = Machine.of(device, 1, "auto", compiled=True, threads=None).fabric()
    network = build(variant("teacher"), CLASSES, seed=0)
    images = random_samples()[0][:CHUNK].half().numpy()
    return lambda: said_of(network, images, fabric, CHUNK)


def folds_side_by_side(stage: str, device: str) -> Callable[[], object]:
    """Feltone's steps in several processes at once, of one thread and on a core of its own each."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None] * FOLDS
    context = multiprocessing.get_context("spawn")
    ends = []
    for core in cores[:FOLDS]:
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, stage, device, core), daemon=True).start()
        theirs.close()
        ends.append(ours)
    for end in ends:
        end.recv()  # set up and compiled

    def work() -> None:
        for end in ends:
            end.send("go")
        for end in ends:
            end.recv()

    return work


def _serve(end: Connection, stage: str, device: str, core: int | None) -> None:
    """A process of `folds_side_by_side`; ends when the other end does."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    work = feltone_step(stage, device, threads=1)
    with suppress(EOFError):
        while True:
            work()
            end.send("done")
            end.recv()


def repeated(step: Callable[[Tensor], object], wait: Callable[[], object], device: str) -> Callable[[], object]:
    """Several steps on batches in turn, then what waits for the device until they are done."""
    batches: Iterator[Tensor] = cycle(torch.arange(SAMPLES, device=device).split(BATCH))

    def work() -> None:
        for _ in range(STEPS[device]):
            step(next(batches))
        wait()

    return work


def random_samples() -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and class numbers."""
    return torch.rand(SAMPLES, 128, 128), torch.arange(SAMPLES) % CLASSES


def the_stage(name: str) -> Stage:
    """A stage of the paper's recipe."""
    return next(stage for stage in three_stages("teacher", "student") if stage.name == name)


# What it comes to -----------------------------------------------------------------------------------------------------


def summary(results: Mapping[str, Result], device: str, limit: Mapping[str, Any]) -> dict[str, Any]:
    """Results by side, and what they come to."""
    described = document(results)
    for name, row in described.items():
        row["what"] = WHAT[name]
        if isinstance(results[name], Timing):
            row |= {"steps_per_second": round(1e3 / results[name].median_ms, 2)} if "stage" in name else {}
            if device == "cpu":
                row["gemm_share"] = gemm.share(multiply_adds(name), results[name], limit["peak"], "all_cores")
                row["what"] = "; ".join(filter(None, [WHAT[name], gemm.spoken(row["gemm_share"])]))
            if plain := results.get(f"plain-{name.split('-')[1]}"):
                row["ratio_to_plain"] = ratio(plain, results[name])
    whole = {who: whole_run(who, results) for who in ("plain", "feltone")}
    missing = None in whole.values()
    return {
        "stage1_ratio": described["feltone-stage1"].get("ratio_to_plain"),
        "stage23_ratio": described["feltone-stage23"].get("ratio_to_plain"),
        "total_ratio": None if missing else whole["plain"]["seconds"] / whole["feltone"]["seconds"],
        "stage1_seeds_ratio": seeds_ratio("stage1", results),
        "stage23_seeds_ratio": seeds_ratio("stage23", results),
        "total": {"counted": COUNTED} | whole,
        "accelerator": device,
        "device": provenance.device(device),
        "precision": best_precision(device),
        "gemm_peak": limit["peak"],
        "sides": described | limit["sides"],
    }


COUNTED = (
    f"{EPOCHS} epochs of {EMODB_SAMPLES // BATCH} steps in each of three stages at the measured times, the set-up of "
    "each stage with its compilation, and for Feltone the teacher's features of every image, once"
)


def seeds_ratio(what: str, results: Mapping[str, Result]) -> float | None:
    """The time of a step of several seeds over that of one; None where they were not trained together."""
    one, several = (results.get(f"feltone-{what}{end}") for end in ("", "-seeds"))
    if not isinstance(one, Timing) or not isinstance(several, Timing):
        return None
    return SEEDS * several.median_ms / one.median_ms


def whole_run(who: str, results: Mapping[str, Result]) -> dict[str, float] | None:
    """Seconds of the paper's three stages on EmoDB, from the times of their steps."""
    used = {name: result for name, result in results.items() if name in WHAT and name.count("-") == 1}
    used = {name.partition("-")[2]: result for name, result in used.items() if name.startswith(who)}
    if any(isinstance(result, Missing) for result in used.values()):
        return None
    steps = EPOCHS * EMODB_SAMPLES // BATCH
    parts = {
        "stage1": steps * used["stage1"].median_ms / 1e3,
        "stage23": 2 * steps * used["stage23"].median_ms / 1e3,
        "features": EMODB_SAMPLES * used["features"].median_ms / 1e3 if "features" in used else 0.0,
        "set_up": used["stage1"].warm_up_s + 2 * used["stage23"].warm_up_s,
    }
    return {"seconds": round(sum(parts.values()))} | {name: round(seconds, 1) for name, seconds in parts.items()}


def multiply_adds(name: str) -> float:
    """Of a unit of a side's work: a step is three times forward for every image, and a teacher in the loop once."""
    who, what, *_ = name.split("-")
    forward = {it: cost(it).macs if who == "plain" else cost(it).executed_macs for it in ("teacher", "student")}
    if what == "features":
        return forward["teacher"]
    in_the_loop = forward["teacher"] if name == "plain-stage23" else 0
    return BATCH * (3 * forward[STAGES[what]] + in_the_loop)
