"""Where and how a run computes: device, processes, precision, threads."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from feltone.errors import ConfigError

MOST_TOGETHER = 16  # runs trained at once on a CUDA device unless told otherwise; each holds its images there


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes.

    What changes rounding belongs to a run's settings (`rounding`). So would `together` and `devices`, by a little; but
    a run may be begun in company and continued alone, or by two processes and continued by four.
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
            ConfigError: a precision that does not exist, a compilation without a compiler, more devices than there are,
                or several runs at once in several processes.
        """
        accelerator = best_accelerator() if accelerator == "auto" else accelerator
        known = {"auto": best_precision(accelerator), "bf16": "bf16-mixed", "32": "32-true"}
        if precision not in known:
            # float16, which would need its losses scaled, is not offered: bfloat16 has the range of float32.
            raise ConfigError(f"precision '{precision}' is not known; known: {', '.join(known)}")
        there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(accelerator, devices)
        if not 1 <= devices <= max(there, 1):
            raise ConfigError(f"devices {devices}: choose 1 to {max(there, 1)}, which is what {accelerator} has here")
        if compiled and accelerator == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
            raise ConfigError("compiling needs a C++ compiler: install g++, or say --no-compile (several times slower)")
        if together is not None and (together < 1 or (together > 1 and devices > 1)):
            raise ConfigError(f"together {together}: must be at least 1, and 1 where several processes share a batch")
        return cls(accelerator, devices, known[precision], compiled, threads, together)

    @property
    def rounding(self) -> dict[str, Any]:
        """What of it determines the weights that come out."""
        return {"accelerator": self.accelerator, "precision": self.precision, "compiled": self.compiled}

    def share_of(self, batch: int) -> int:
        """Samples of a batch that each process takes; raises `ConfigError` where it cannot be shared evenly."""
        if batch % self.devices:
            even = ", ".join(str(number) for number in range(1, batch + 1) if batch % number == 0)
            raise ConfigError(f"devices {self.devices}: cannot share a batch of {batch} evenly; choose one of {even}")
        return batch // self.devices

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
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets every process
        # A stage that only matches features gives the classifier no gradient, which DDP must be told to expect; in the
        # other stages it remarks once that it need not have been.
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
