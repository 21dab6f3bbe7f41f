"""A Dockerfile as instructions, and the files that a build may copy."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    line: int
    name: str
    options: dict[str, str]  # what --name=value says before the rest
    rest: str

    @property
    def words(self) -> list[str]:
        """The rest as a JSON list, or as the words a shell would see."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


def instructions(dockerfile: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile's text: comments left out, continued lines joined."""
    pending, begun = "", 0
    for number, line in enumerate(dockerfile.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        begun = begun if pending else number
        pending += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield _instruction(begun, pending)
            pending = ""


def _instruction(line: int, text: str) -> Instruction:
    name, rest = text.split(None, 1)
    options: dict[str, str] = {}
    while rest.startswith("--"):
        option, rest = rest.split(None, 1)
        key, _, options[key] = option.partition("=")
    return Instruction(line, name, options, " ".join(rest.split()))


def context(folder: Path) -> list[str]:
    """The files below a folder that its .dockerignore lets into a build, relative to it."""
    lines = (folder / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    found = []
    for top, folders, files in os.walk(folder):
        here = Path(top).relative_to(folder)
        if here == Path():  # a history and an environment are long to walk
            folders[:] = [name for name in folders if is_let_in(name, patterns)]
        found += [path for name in files if is_let_in(path := (here / name).as_posix(), patterns)]
    return found


def is_let_in(path: str, patterns: list[str]) -> bool:
    """Whether a .dockerignore with these patterns lets a path in: the last that fits it, or a folder above, decides."""
    decision = True
    for pattern in patterns:
        glob = re.escape(pattern.removeprefix("!").strip("/"))
        glob = glob.replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        if re.fullmatch(f"{glob}(/.*)?", path):
            decision = pattern.startswith("!")
    return decision
