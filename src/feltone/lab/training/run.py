"""A run: the stages of a recipe on one fold with one seed, in a folder that can be continued.

RUN/settings.json          what is trained on what; a folder is continued only by the same
RUN/<stage>.checkpoint     position of a stage that is under way
RUN/<stage>.safetensors    weights of a stage that is done
RUN/<stage>.projection.safetensors     its map onto the features of a teacher from outside, for the next stage
RUN/history.jsonl          loss and accuracy per epoch
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn

from feltone.errors import ConfigError
from feltone.files import write_atomically, write_json
from feltone.lab import dataset, outside
from feltone.lab.corpora.clip import manifest_digest
from feltone.lab.models import Network, build, variant
from feltone.lab.models.projected import Projected
from feltone.lab.protocols import Fold
from feltone.lab.recipes import Recipe
from feltone.lab.training.loop import Learner, Tick, features_of, fit_many
from feltone.lab.training.stages import OUTSIDE, Stage
from feltone.lab.training.step import TrainingData
from feltone.labels import LabelSet

PROJECTION = "projection.safetensors"
MOST_TOGETHER = 16  # runs trained at once on a CUDA device unless told otherwise; each holds its images there


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes.

    `precision` and `compiled` change rounding, so they belong to a run's settings. So does `together`, by a little;
    but a run may be begun in company and continued alone, so it does not.
    """

    accelerator: str = "cpu"  # or cuda, mps
    devices: int = 1  # processes, each with its part of every batch
    precision: str = "bf16-mixed"  # or "32-true"
    compiled: bool = True
    threads: int | None = None  # per process; None leaves it to torch
    together: int | None = None  # runs trained at once, at most; None is one, or on a CUDA device the seeds of a fold

    @classmethod
    def of(
        cls,
        accelerator: str,
        devices: int,
        precision: str,
        compiled: bool,
        threads: int | None,
        together: int | None = None,
    ) -> "Machine":
        """A machine as a user asks for it: precision `auto`, `bf16` or `32`.

        Raises:
            ConfigError: a precision that does not exist, a compilation without a compiler, or several runs at once in
                several processes.
        """
        accelerator = best_accelerator() if accelerator == "auto" else accelerator
        known = {"auto": best_precision(accelerator), "bf16": "bf16-mixed", "32": "32-true"}
        if precision not in known:
            raise ConfigError(f"precision '{precision}' is not known; known: {', '.join(known)}")
        if compiled and accelerator == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
            raise ConfigError("compiling needs a C++ compiler: install g++, or say --no-compile (several times slower)")
        if together is not None and (together < 1 or (together > 1 and devices > 1)):
            raise ConfigError(f"together {together}: must be at least 1, and 1 where several processes share a batch")
        return cls(accelerator, devices, known[precision], compiled, threads, together)

    def runs_at_once(self, seeds: int) -> int:
        """How many runs may train together, of a command that asks for so many seeds."""
        alone = self.accelerator != "cuda" or self.devices > 1
        return self.together or (1 if alone else min(seeds, MOST_TOGETHER))

    def fabric(self) -> Fabric:
        """Lightning Fabric for this machine."""
        if self.threads:
            torch.set_num_threads(self.threads)
        if self.accelerator == "cuda":
            # Shapes never change, so the search for the fastest convolution is paid for once.
            torch.backends.cudnn.benchmark = True
            # Streams that share a queue of the device wait for each other; its own default is 8. Read at the first use.
            os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
        # A stage that only matches features gives the classifier no gradient, which DDP must be told to expect.
        strategy = DDPStrategy(find_unused_parameters=True) if self.devices > 1 else "auto"
        return Fabric(accelerator=self.accelerator, devices=self.devices, precision=self.precision, strategy=strategy)


def best_precision(accelerator: str) -> str:
    """bf16 where the processor multiplies in it, else full precision."""
    if accelerator == "cpu":
        flags = Path("/proc/cpuinfo")
        fast = flags.is_file() and any(f in flags.read_text() for f in ("avx512_bf16", "amx_bf16", " bf16"))
    else:
        fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if fast else "32-true"


def best_accelerator() -> str:
    """cuda or mps where there is one, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@dataclass(frozen=True)
class Run:
    """What is trained, and where it is kept."""

    fold: Fold
    labels: LabelSet
    seed: int
    out: Path
    on_tick: Callable[[Tick], None] = lambda tick: None


def train(
    recipe: Recipe,
    fold: Fold,
    labels: LabelSet,
    out: Path,
    *,
    seed: int,
    machine: Machine,
    cache: Path,
    on_tick: Callable[[Tick], None] = lambda tick: None,
) -> dict[str, Network]:
    """Run every stage of a recipe that is not done yet; the network of every stage, by the stage's name.

    Raises:
        ConfigError: the folder holds a run with other settings.
    """
    return train_many(recipe, [Run(fold, labels, seed, out, on_tick)], machine=machine, cache=cache)[0]


def train_many(
    recipe: Recipe, runs: Sequence[Run], *, machine: Machine, cache: Path, until: str | None = None
) -> list[dict[str, Network]]:
    """`train` for several runs, every stage of all of them at once; alike up to rounding.

    With `until`, the stages up to that one alone; the rest is done when the same runs are given again.
    """
    for run in runs:
        claim(run.out, settings(recipe, run.fold, run.labels, run.seed, machine))
    fabric = machine.fabric()
    fabric.launch()
    sittings = [_Sitting(recipe, run, fabric, cache) for run in runs]
    for stage in recipe.stages:
        begun = [(sitting, learner) for sitting in sittings if (learner := sitting.begin(stage))]
        seconds = fit_many(stage, [learner for _, learner in begun], fabric=fabric, compiled=machine.compiled)
        for (sitting, learner), spent in zip(begun, seconds, strict=True):
            sitting.end(stage, learner.network, spent)
        fabric.barrier()
        if stage.name == until:
            break
    return [sitting.done for sitting in sittings]


class _Sitting:
    """A run under way: its samples, and the networks that it has so far."""

    def __init__(self, recipe: Recipe, run: Run, fabric: Fabric, cache: Path) -> None:
        self.run, self.fabric, self.done = run, fabric, dict[str, Network]()
        self.recipe, self.cache = recipe, cache
        self.features = dict[str, Tensor]()  # of frozen teachers
        self.samples = dataset.load(run.fold.train, run.labels, recipe.features, run.seed, cache)
        history = _History(run.out / "history.jsonl", run.on_tick) if fabric.is_global_zero else None
        self.on_tick = history.tick if history else lambda tick: None

    def begin(self, stage: Stage) -> Learner | None:
        """What there is to learn in a stage: nothing, when its weights are there."""
        network = self._initial(stage)
        weights = self._file(stage, "safetensors")
        if weights.is_file():
            network.load_state_dict(safetensors.torch.load_file(weights))
            self.done[stage.name] = network.eval()
            return None
        feature = self._feature_of(stage.teacher) if stage.teacher else None
        if stage.teacher == OUTSIDE and feature is not None:
            network = self._projected(network, stage, feature.shape[1])
        data = TrainingData(self.samples.images, self.samples.targets, feature)
        return Learner(network, data, self.run.seed, self._file(stage, "checkpoint"), self.on_tick)

    def end(self, stage: Stage, network: Network, seconds: float) -> None:
        """Keep what was learnt; the weights come last, since they say that the stage is done."""
        projection = network.projection if isinstance(network, Projected) else None
        network = network.network if isinstance(network, Projected) else network
        self.done[stage.name] = network.cpu().eval()
        if self.fabric.is_global_zero:
            out = self.run.out
            write_json(out / "seconds.json", seconds_of(out) | {stage.name: round(seconds, 1)})
            if projection:
                save_weights(projection, self._file(stage, PROJECTION))
            save_weights(network, self._file(stage, "safetensors"))
            self._file(stage, "checkpoint").unlink(missing_ok=True)

    def _feature_of(self, teacher: str) -> Tensor:
        """What a teacher says of every sample: computed once for all stages that match it."""
        if teacher == OUTSIDE and teacher not in self.features:
            assert self.recipe.outside is not None, "a recipe whose stages have a teacher from outside names it"
            of = self.run.fold.train, self.recipe.outside, self.recipe.features, self.run.seed, self.cache
            self.features[teacher] = torch.from_numpy(outside.features_of(*of))
        if teacher not in self.features:
            self.features[teacher] = features_of(self.done[teacher], self.samples.images, self.fabric)
        return self.features[teacher]

    def _initial(self, stage: Stage) -> Network:
        network = build(variant(stage.learner), len(self.run.labels), self.run.seed)
        if stage.start:
            network.load_state_dict(self.done[stage.start].state_dict())
        return network

    def _projected(self, network: Network, stage: Stage, width: int) -> Network:
        """A learner with a map onto a teacher's features: that of the stage it starts from, or a new one."""
        projected = Projected(network, width, self.run.seed)
        before = self.run.out / f"{stage.start}.{PROJECTION}"
        if stage.start and before.is_file():
            projected.projection.load_state_dict(safetensors.torch.load_file(before))
        return projected

    def _file(self, stage: Stage, ending: str) -> Path:
        return self.run.out / f"{stage.name}.{ending}"


def seconds_of(out: Path) -> dict[str, float]:
    """Seconds of training of every stage that is done, over all sittings."""
    file = out / "seconds.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def settings(recipe: Recipe, fold: Fold, labels: LabelSet, seed: int, machine: Machine) -> dict[str, Any]:
    """What determines the weights that come out."""
    clips = {sample.clip for sample in fold.train}
    return {
        "recipe": recipe.to_dict(),
        "protocol": fold.protocol,
        "fold": fold.index,
        "seed": seed,
        "labels": list(labels),
        "manifest": manifest_digest(clips),
        "samples": len(fold.train),
        "machine": {key: value for key, value in asdict(machine).items() if key != "together"} | {"threads": None},
    }


def claim(out: Path, wanted: dict[str, Any]) -> None:
    """Make `out` a run with these settings, or make sure that it is one."""
    file = out / "settings.json"
    wanted = json.loads(json.dumps(wanted))
    if not file.is_file():
        write_json(file, wanted)
        return
    found = json.loads(file.read_text(encoding="utf-8"))
    different = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))
    if different:
        raise ConfigError(
            f"{out}: holds a run with another {', '.join(different)}; choose another --out, or repeat its settings"
        )


def save_weights(network: nn.Module, file: Path) -> None:
    """Weights as safetensors, atomically."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(file, lambda handle: handle.write(safetensors.torch.save(state)))


class _History:
    """Appends the last tick of every epoch to a file, once, however often the run was interrupted."""

    def __init__(self, file: Path, on_tick: Callable[[Tick], None]) -> None:
        self.file, self.on_tick = file, on_tick
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        self.known = {(row["stage"], row["epoch"]) for row in map(json.loads, lines)}

    def tick(self, tick: Tick) -> None:
        self.on_tick(tick)
        if tick.step == tick.steps and (tick.stage, tick.epoch) not in self.known:
            self.known.add((tick.stage, tick.epoch))
            with self.file.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(tick._asdict()) + "\n")
