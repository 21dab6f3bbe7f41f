"""The code blocks of the documents, and how a page is run: one shell per page, where everything it speaks of lies.

A block of `sh` or `python` is run unless the line above it says what that would need, and is then only looked at:

    <!-- not run: needs a microphone -->
    <!-- keeps running -->            started in the background until the page has ended, as a service is

Blocks of `sh` share a shell; blocks of `python` that follow one another share an interpreter.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?:<!-- (?:not run: needs (?P<needs>[^>]+?)|(?P<keeps>keeps running)) -->\n)?"
    r"^```(?P<language>sh|python)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
PORT = "8000"  # of the pages; while they are run, any free one
READY = """
python - <<'PYTHON'
import time, urllib.request, urllib.error
for _ in range(600):
    try:
        urllib.request.urlopen("http://127.0.0.1:8000/readyz").read()
        break
    except urllib.error.URLError:
        time.sleep(0.1)
else:
    raise SystemExit("the service did not become ready: " + open("background.log").read())
PYTHON
"""


@dataclass(frozen=True)
class Block:
    """A piece of code in a document."""

    language: str
    code: str
    needs: str | None  # why it is not run
    keeps_running: bool

    @property
    def runs(self) -> bool:
        return self.needs is None


def documents() -> list[Path]:
    """Every Markdown file that is written for readers."""
    return sorted(
        [
            *ROOT.glob("*.md"),
            *ROOT.glob("docs/**/*.md"),
            ROOT / "demo" / "README.md",
            ROOT / "examples" / "onnx" / "README.md",
            *ROOT.glob("src/feltone/weights/*/README.md"),
        ]
    )


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    return [
        Block(found["language"], found["code"], found["needs"], bool(found["keeps"]))
        for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def commands(block: Block) -> list[str]:
    """What a block of `sh` runs, one command each: continued lines joined, comments and `A && B` taken apart."""
    text = re.sub(r"\\\n\s*", "", block.code)
    lines = (re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())
    parts = (part.strip() for line in lines for part in re.split(r"&&|\|\||\||;", line))
    return [re.sub(r"^(\w+=\S+\s+)+", "", part) for part in parts if part]


def script(page: Path) -> str:
    """One shell script of what a page runs."""
    lines = ["set -euo pipefail"]
    wanted = [block for block in blocks(page) if block.runs]
    for kind, together in groupby(wanted, key=lambda block: (block.language, block.keeps_running)):
        codes = [block.code for block in together]
        if kind == ("python", False):
            lines += ["python - <<'PYTHON'", *codes, "PYTHON"]
        elif kind == ("sh", True):
            lines += ["{", *codes, "} > background.log 2>&1 &", READY]
        else:
            lines += codes
    return "\n".join(lines)


def run(page: Path, folder: Path, environment: dict[str, str]) -> None:
    """Run a page in a folder; what fails is shown with everything that was printed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = re.sub(rf"\b{PORT}\b", str(port), script(page))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-x", "-c", text],
        cwd=folder,
        env=os.environ | environment | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = shell.communicate(timeout=600)
    finally:
        # Whatever the page left running ends with it.
        if shell.poll() is None or _alive(shell.pid):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert shell.returncode == 0, f"{page.relative_to(ROOT)}:\n{printed}"


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
