"""Where a number comes from: machine, versions, commit, date, command."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from feltone.machine import cores

PACKAGES = ("feltone", "numpy", "scipy", "torch", "onnxruntime", "scikit-learn", "soxr", "soundfile")
RIVALS = ("transformers", "opensmile")  # which not everybody has


def versions() -> dict[str, str]:
    """Versions of Python and of what the numbers depend on."""
    told = {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
    for name in RIVALS:
        with suppress(metadata.PackageNotFoundError):
            told[name] = metadata.version(name)
    return told


def commit() -> str:
    """Commit of the source tree, with `+` where it was changed since; "unknown" outside a checkout.

    Where the source travels without its history, the variable FELTONE_COMMIT says which it is.
    """
    here = Path(__file__).parent
    if told := os.environ.get("FELTONE_COMMIT"):
        return told
    try:
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--", str(here.parent))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def device(accelerator: str = "cpu") -> str:
    """The processor and how many of its cores this process may use; before them the GPU, for `cuda`."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    gpu = f"{_gpu()}; " if accelerator == "cuda" else ""
    return f"{gpu}{name}, {cores()} cores"


def command() -> str:
    """The command line of this process, as a user would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def today() -> str:
    """Date in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def origin() -> dict[str, str]:
    """What every file of results says of itself: command, commit, date."""
    return {"command": command(), "commit": commit(), "date": today()}


def _gpu() -> str:
    import torch  # not at the head: the core's benchmarks know their machine without it

    return torch.cuda.get_device_name()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
