"""What Feltone is built from, as files: python supply/pins.py, in the environment of `make test`; or `make pins`.

    constraints.txt          every package of the development environment, at the version that was tested; no hashes,
                             because torch's build differs by platform and index
    constraints-hashed.txt   what `pip install 'feltone[serve,media]'` needs, on every platform, with the SHA-256 of
                             every file that may be installed: pip install --require-hashes -r constraints-hashed.txt
    supply/core.txt          the least set: what `pip install feltone` brings, by name

The second needs `uv`, which resolves for all platforms at once, and the package index.
"""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from feltone.files import write_text

ROOT = Path(__file__).parents[1]
PINNED, HASHED, CORE = ROOT / "constraints.txt", ROOT / "constraints-hashed.txt", ROOT / "supply" / "core.txt"
DEVELOPMENT = ("train", "media", "hub", "serve", "live", "tensorboard", "ray", "s3", "dev")
"""Extras of the development environment, as the Makefile installs them."""
SERVED = ("serve", "media")
HEAD = {
    PINNED: "# What `make` installs with: the versions this repository is developed and tested on.\n"
    "# Made by `make pins`.",
    HASHED: "# What a served Feltone needs, with the SHA-256 of every file: pip install --require-hashes -r FILE.\n"
    "# Made by `make pins`.",
}


def main() -> int:
    """Write the three files."""
    write_text(PINNED, "\n".join([HEAD[PINNED], *pins(closure(DEVELOPMENT))]) + "\n")
    write_text(CORE, "\n".join(sorted(closure(()))) + "\n")
    command = [
        "pip",
        "compile",
        str(ROOT / "pyproject.toml"),
        "--universal",
        "--generate-hashes",
        "--no-header",
        "--quiet",
    ]
    command += ["--constraint", str(PINNED), "--python-version", "3.11", "--no-annotate"]
    command += [word for extra in SERVED for word in ("--extra", extra)]
    done = subprocess.run([sys.executable, "-m", "uv", *command], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    write_text(HASHED, f"{HEAD[HASHED]}\n{done.stdout}")
    return 0


def closure(extras: tuple[str, ...]) -> set[str]:
    """Names of the packages that Feltone with some extras needs here, itself left out, from what is installed."""
    found: dict[str, set[str]] = {}
    waiting = [("feltone", extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if extra in found.setdefault(name, set()):
            continue
        found[name].add(extra)
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            # With extra "" alone a marker that asks for an extra is false.
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), wanted) for wanted in ("", *needed.extras)]
    return set(found) - {"feltone"}


def pins(names: set[str]) -> list[str]:
    """A line for each package, at the version that is installed; builds of one version (`+cpu`) are one."""
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in sorted(names)]


if __name__ == "__main__":
    sys.exit(main())
