"""Documents tell the truth: the tree is the tree, code runs, commands exist, numbers are the measured ones."""

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from feltone.doors import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "feltone"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_tree_names_every_module_and_nothing_that_is_gone() -> None:
    (tree,) = re.findall(r"```\n(src/feltone/.*?)```", README, re.DOTALL)
    folders: list[str] = []
    named = set()
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders[depth:] = [name]
        path = ROOT / "".join(folders)
        assert path.exists(), f"{path} is in the README's tree but not on the disk"
        named.add(path.resolve())
    for module in SOURCE.rglob("*.py"):
        listed = module in named or any(
            parent in named and parent.name in ("corpora", "models", "training", "serve", "annotate")
            for parent in module.parents
        )
        assert listed or module.name == "__init__.py", f"{module} is not in the README's tree"


@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_the_readme_runs(
    code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Prediction(label=")


COMMANDS = [
    line.partition("#")[0] for block in blocks("sh") for line in block.splitlines() if line.startswith("feltone ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_in_the_readme_parse(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb and option exists: an unknown one fails before `--help` is reached."""
    verb, *options = shlex.split(line)[1:]
    names = [option for option in options if option.startswith("--")]
    assert cli.run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in names), shown


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")}
    assert targets == {"demo", "test", "web"} and all(f"\n{target}:" in makefile for target in targets)


def test_every_number_in_the_documents_is_generated_from_results() -> None:
    done = subprocess.run([sys.executable, "results/render.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_examples_in_docstrings_are_true(module: Path) -> None:
    name = ".".join(module.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
