"""Go through the Dockerfile on a machine without a container engine: build its stages, run the last one, ask it.

    python docker/rehearse.py          on Linux, as root, with the Python that the Dockerfile names

The instructions are the Dockerfile's own; one that is not known here is an error. A stage's root is an overlay over
this machine's, which stays as it is. The service then runs as under `docker run --read-only --tmpfs /tmp
--cap-drop ALL --security-opt no-new-privileges --network none`: its health check must succeed, the page be there,
a token be asked for and a clip be recognised, and SIGTERM must end it with code 0.

What stands in: for Python's base image the Python that runs this, at /usr/local; for any other what this machine has.
So a library of the system that the base image lacks, and this machine has, is not missed.
"""

import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import string
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockerfile import Instruction, context, instructions

import feltone

SOURCE = Path(__file__).resolve().parents[1]
CLIP = SOURCE / "src/feltone/clips/anger.flac"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
NETWORK = re.compile(
    r"(PIP|npm_config)_.+|.+_(proxy|PROXY)|SSL_CERT_.+|NODE_EXTRA_CA_CERTS"
)  # this machine's variables
FACTS = ("LABEL", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")  # say something, and do nothing
PATIENCE_SECONDS = 60
TOKEN = "rehearsal"

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET, PR_SET_NO_NEW_PRIVS, SIOCSIFFLAGS, IFF_UP = 0x20000, 0x40000000, 38, 0x8914, 1


@dataclass
class Stage:
    """A stage as far as it is built."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": "/root"})
    folder: str = "/"
    user: int = 0
    group: int = 0
    facts: dict[str, Instruction] = field(default_factory=dict)  # the last of each name in FACTS

    def path(self, inside: str) -> Path:
        """Where on this machine a path of the stage lies."""
        return self.root / os.path.relpath(Path(self.folder) / inside, "/")

    def start(self, command: list[str], extra: dict[str, str], **options: Any) -> subprocess.Popen[str]:
        """Start a command in the stage, as its user."""

        def enter() -> None:
            os.chroot(self.root)
            os.chdir(self.folder)
            if self.user:
                os.setgroups([])
                os.setgid(self.group)
                os.setuid(self.user)  # and root's capabilities are gone
                LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

        return subprocess.Popen(command, env=self.environment | extra, preexec_fn=enter, text=True, **options)


class Builder:
    """Follows a Dockerfile below a scratch folder."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._stages: dict[str, Stage] = {}
        self._context = context(SOURCE)

    def build(self, dockerfile: str) -> Stage:
        """Follow every instruction; the last stage."""
        for one in instructions(dockerfile):
            print(f"{one.line:3} {one.name} {one.rest}", flush=True)
            if one.name == "FROM":
                stage = self._begin(one)
            else:
                self._follow(one, stage)
        return stage

    def _begin(self, one: Instruction) -> Stage:
        image, _, name = one.rest.partition(" AS ")
        stage = self._stages[name] = Stage(overlay(self._scratch / (name or "last")))
        if image.startswith("python:"):
            major, minor, *_ = sys.version_info
            if not image.startswith(f"python:{major}.{minor}-"):
                raise fault(one, f"is another Python than this, {major}.{minor}; run me with the one named")
            if sys.base_prefix != "/usr":
                mount("--bind", sys.base_prefix, stage.path("/usr/local"))
                mount("-o", "remount,bind,ro", stage.path("/usr/local"))
                stage.environment["LD_LIBRARY_PATH"] = "/usr/local/lib"
        return stage

    def _follow(self, one: Instruction, stage: Stage) -> None:
        match one.name:
            case "WORKDIR":
                stage.path(one.rest).mkdir(parents=True, exist_ok=True)
                stage.folder = one.rest
            case "COPY":
                self._copy(one, stage)
            case "RUN":
                self._run(one, stage)
            case "ENV":
                pairs = [word.partition("=") for word in one.words]
                values = {name: string.Template(value).substitute(stage.environment) for name, _, value in pairs}
                stage.environment |= values
            case "USER":
                stage.user, stage.group = map(int, one.rest.split(":"))
                known = (line.split(":") for line in stage.path("/etc/passwd").read_text().splitlines())
                stage.environment["HOME"] = next(fields[5] for fields in known if int(fields[2]) == stage.user)
            case name if name in FACTS:
                stage.facts[name] = one
            case _:
                raise fault(one, "is unknown here: teach it to rehearse.py, or do without")

    def _copy(self, one: Instruction, stage: Stage) -> None:
        *sources, target = one.words
        place = stage.path(target)
        for source in (source.rstrip("/") for source in sources):
            if origin := one.options.get("--from"):
                shutil.copytree(self._stages[origin].path(source), place, symlinks=True, dirs_exist_ok=True)
                continue
            files = [path for path in self._context if path == source or path.startswith(f"{source}/")]
            if not files:
                raise fault(one, f"finds no {source}: it is not there, or .dockerignore keeps it out")
            for path in files:
                copy = place / (Path(path).name if path == source else path.removeprefix(f"{source}/"))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(SOURCE / path, copy)

    def _run(self, one: Instruction, stage: Stage) -> None:
        if cache := one.options.get("--mount"):
            kept = Path(cache.removeprefix("type=cache,target="))
            if not kept.is_absolute():
                raise fault(one, f"has a mount that is unknown here: {cache}")
            for folder in (kept, stage.path(str(kept))):
                folder.mkdir(parents=True, exist_ok=True)
            mount("--bind", kept, stage.path(str(kept)))
        network = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with stage.start(["/bin/sh", "-c", one.rest], network, **streams) as step:
            said, _ = step.communicate()
        if step.returncode:
            raise fault(one, f"ended with code {step.returncode}:\n{said}")


def run(stage: Stage) -> None:
    """Run what was built, as strictly as containers can be run, and see that it serves."""
    facts = stage.facts
    address = f"http://127.0.0.1:{facts['EXPOSE'].rest}"
    go_offline()
    mount("-o", "remount,ro", stage.root)
    service = stage.start(facts["ENTRYPOINT"].words + facts["CMD"].words, {"FELTONE_TOKENS": TOKEN})
    try:
        await_health(stage, service)
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{service.pid}/status").read_text().splitlines())
        expect("it is not root", int(status["Uid"].split()[0]) == stage.user != 0)
        expect("it has no capabilities and gets none", int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1")
        expect("it shows the page", answer(address)[0] == 200)
        expect("it asks for a token", answer(f"{address}/v1/predict", CLIP)[0] == 401)
        code, body = answer(f"{address}/v1/predict", CLIP, TOKEN)
        expect("it takes a clip", code == 200)
        here, there = feltone.load()(CLIP), json.loads(body)["predictions"][0]
        expect(f"it hears in it what is heard outside: {here.label}", there["label"] == here.label)
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{service.pid}/status").read_text().splitlines())
        print(f"    it took {int(status['VmHWM'].split()[0]) / 1024:.0f} MB")
        service.send_signal(signal.Signals[facts["STOPSIGNAL"].rest])
        expect("it ends with code 0", service.wait(PATIENCE_SECONDS) == 0)
    finally:
        service.kill()
        service.wait()


def await_health(stage: Stage, service: subprocess.Popen[str]) -> None:
    """Ask as the engine would, until the answer is that all is well."""
    command = json.loads(stage.facts["HEALTHCHECK"].rest.removeprefix("CMD"))
    end = time.monotonic() + PATIENCE_SECONDS
    while stage.start(command, {}, stderr=subprocess.DEVNULL).wait():
        if service.poll() is not None or time.monotonic() > end:
            raise fault(stage.facts["HEALTHCHECK"], "never succeeded")
        time.sleep(0.2)


def answer(url: str, file: Path | None = None, token: str = "") -> tuple[int, bytes]:
    """Status and body of a GET, or of a POST with a file."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    if file:
        head = f'--part\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n'
        request.data = head.encode() + file.read_bytes() + b"\r\n--part--\r\n"
        request.add_header("Content-Type", "multipart/form-data; boundary=part")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def expect(what: str, so: bool) -> None:
    """Say what is so, or end because it is not."""
    if not so:
        raise SystemExit(f"NOT SO: {what}")
    print(f" ok {what}", flush=True)


def fault(one: Instruction, text: str) -> SystemExit:
    """What ends the rehearsal."""
    return SystemExit(f"Dockerfile, line {one.line}: {one.name} {text}")


def overlay(place: Path) -> Path:
    """A root of its own: this machine's to read, and what is written lies below `place`."""
    for name in ("written", "work", "root"):
        (place / name).mkdir(parents=True)
    root = place / "root"
    mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={place}/written,workdir={place}/work", root)
    mount("--bind", "/proc", root / "proc")
    mount("--bind", "/dev", root / "dev")
    mount("-t", "tmpfs", "tmpfs", root / "tmp")
    return root


def mount(*arguments: str | Path) -> None:
    """mount(8), seen by this process and its children alone."""
    subprocess.run(["mount", *arguments], check=True)


def go_offline() -> None:
    """From here on there is no network but a loopback of our own, whose ports are all free."""
    unshare(CLONE_NEWNET)
    with socket.socket() as some:
        fcntl.ioctl(some, SIOCSIFFLAGS, struct.pack("16sH", b"lo", IFF_UP))


def unshare(what: int) -> None:
    """unshare(2): from here on a part of the system is this process's own."""
    if LIBC.unshare(what):
        raise SystemExit(f"rehearse.py must be root, on Linux ({os.strerror(ctypes.get_errno())})")


def main() -> None:
    """Rehearse, and leave nothing behind but what caches keep."""
    begun = time.monotonic()
    unshare(CLONE_NEWNS)
    mount("--make-rprivate", "/")
    with tempfile.TemporaryDirectory() as scratch:
        mount("-t", "tmpfs", "tmpfs", scratch)
        try:
            run(Builder(Path(scratch)).build((SOURCE / "Dockerfile").read_text(encoding="utf-8")))
        finally:
            subprocess.run(["umount", "--recursive", "--lazy", scratch], check=True)
    print(f"rehearsed in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
