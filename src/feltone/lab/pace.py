"""How long a step of a network takes on this machine: measured, for plans that must say how long they are."""

import time

import numpy as np
import torch

from feltone.lab.models import build, variant
from feltone.lab.training.machine import Machine
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import make_step

CLASSES = 7
HEAVY = 20e9  # multiply-adds of an image from which a processor is given one image and not a batch
STEPS = 6  # the first one also chooses kernels, and any may meet something else that the machine does
ENOUGH_SECONDS = 3.0  # after which two will do


def step_seconds(stage: Stage, machine: Machine, macs: float) -> float:
    """Seconds of one optimisation step of a stage's learner, uncompiled, on random images: the fastest of a few.

    Args:
        stage: whose learner and batch are meant; its teacher, if any, is not asked.
        machine: where it is measured.
        macs: multiply-adds of an image, which tell whether a whole batch can be afforded.
    """
    batch = 1 if macs > HEAVY and machine.accelerator == "cpu" else stage.batch
    network = build(variant(stage.learner), CLASSES, seed=0)
    images = np.random.default_rng(0).random((batch, *network.config.image)).astype(np.float16)
    feature = torch.zeros(batch, network.config.token_width) if stage.teacher else None
    logits = torch.zeros(batch, CLASSES) if stage.teacher else None
    data = TrainingData(images, np.arange(batch) % CLASSES, feature, logits)
    step = make_step(stage, network, data, fabric=machine.fabric(), compiled=False)
    rows, taken = np.arange(batch), list[float]()
    least, most = (2, STEPS) if batch == stage.batch else (1, 1)
    while len(taken) < least or (len(taken) < most and sum(taken) < ENOUGH_SECONDS):
        begun = time.perf_counter()
        step(rows)
        assert step.totals  # waits for the device
        taken.append(time.perf_counter() - begun)
    return min(taken) * stage.batch / batch
