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
    """Commit of the source tree, with `+` where it was changed since; "unknown" outside a checkout."""
    here = Path(__file__).parent
    try:
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--", str(here.parent))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def device() -> str:
    """The processor, and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"


def command() -> str:
    """The command line of this process, as a user would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def today() -> str:
    """Date in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
