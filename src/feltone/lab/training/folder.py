"""The folder of a run: what it was begun with, and what is kept in it.

RUN/settings.json          what is trained on what; a folder is continued only by the same
RUN/<stage>.checkpoint     position of a stage that is under way (`checkpoint.py`)
RUN/<stage>.safetensors    weights of a stage that is done
RUN/<stage>.projection.safetensors     its map onto the features of a teacher from outside, for the next stage
RUN/seconds.json           how long the stages that are done took
RUN/history.jsonl          loss and accuracy per epoch
RUN/.lock                  whose it is at the moment
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from feltone.errors import ConfigError, StorageError
from feltone.files import read_json, write_atomically, write_json, write_text
from feltone.lab import history
from feltone.lab.corpora.clip import manifest_digest
from feltone.lab.protocols import Fold
from feltone.lab.recipes import Recipe
from feltone.lab.training.learner import Tick
from feltone.lab.training.machine import Machine
from feltone.labels import LabelSet


def settings(recipe: Recipe, fold: Fold, labels: LabelSet, seed: int, machine: Machine) -> dict[str, Any]:
    """What determines the weights that come out."""
    clips = {sample.clip for sample in fold.train}
    before = {"before": manifest_digest({sample.clip for sample in fold.before})} if fold.before else {}
    return before | {
        "recipe": recipe.to_dict(),
        "protocol": fold.protocol,
        "fold": fold.index,
        "seed": seed,
        "labels": list(labels),
        "manifest": manifest_digest(clips),
        "samples": len(fold.train),
        "machine": machine.rounding,
    }


def claim(out: Path, wanted: dict[str, Any]) -> None:
    """Make `out` a run with these settings, or make sure that it is one."""
    file = out / "settings.json"
    wanted = json.loads(json.dumps(wanted))
    if not file.is_file():
        write_json(file, wanted)
        return
    found = read_json(file)
    # Earlier versions told of more than determines the weights.
    found["machine"] = {key: value for key, value in found.get("machine", {}).items() if key in wanted["machine"]}
    different = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))
    if different:
        raise ConfigError(
            f"{out}: holds a run with another {', '.join(different)}; choose another --out, or repeat its settings"
        )


def seconds_of(out: Path) -> dict[str, float]:
    """Seconds of training of every stage that is done, over all sittings."""
    file = out / "seconds.json"
    return dict(read_json(file)) if file.is_file() else {}


def epochs_done(out: Path) -> dict[str, int]:
    """Epochs of every stage that the history tells of."""
    file = out / "history.jsonl"
    return {row["stage"]: row["epoch"] for row in history.read(file)} if file.is_file() else {}


def save_weights(network: nn.Module, file: Path) -> None:
    """Weights as safetensors, atomically."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(file, lambda handle: handle.write(safetensors.torch.save(state)))


def load_weights(network: nn.Module, file: Path) -> None:
    """Give a network the weights that `save_weights` wrote; raises `StorageError` where they were damaged since."""
    try:
        network.load_state_dict(safetensors.torch.load_file(file))
    except SafetensorError as fault:
        remedy = "delete it, and the same command trains that stage again"
        raise StorageError(f"{file}: is damaged ({fault}); {remedy}") from None


class History:
    """The last tick of every epoch in a file, once, however often the run was interrupted."""

    def __init__(self, file: Path, on_tick: Callable[[Tick], None]) -> None:
        self.file, self.on_tick = file, on_tick
        self.rows = history.read(file) if file.is_file() else []

    def tick(self, tick: Tick) -> None:
        """Tell of a tick, and keep it when it ends an epoch that is not known yet."""
        self.on_tick(tick)
        if tick.step == tick.steps and (tick.stage, tick.epoch) not in {(r["stage"], r["epoch"]) for r in self.rows}:
            self.rows.append(tick._asdict())
            write_text(self.file, "".join(json.dumps(row) + "\n" for row in self.rows))
