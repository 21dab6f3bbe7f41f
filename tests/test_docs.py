"""Documents tell the truth: the tree is the tree, code runs, commands exist, numbers are the measured ones."""

import doctest
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile

import pages
from conftest import SAMPLE_RATE, SENTENCES, speak
from feltone.doors import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "feltone"


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


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", pages.documents(), ids=named)
def test_no_block_of_code_escapes(page: Path) -> None:
    """What is fenced as code is found as such, and every mark stands directly above the block it is for."""
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^\s*```(?:sh|bash|console|python)", text, re.MULTILINE)) == len(pages.blocks(page))
    marks = len(re.findall(r"^\s*<!-- (?:not run|keeps running)", text, re.MULTILINE))
    assert marks == sum(block.needs is not None or block.keeps_running for block in pages.blocks(page))


LOOKED_AT = [
    (page, command)
    for page in pages.documents()
    for block in pages.blocks(page)
    if block.language == "sh" and not block.runs
    for command in pages.commands(block)
]


@pytest.mark.parametrize(
    ("page", "line"), [(p, line) for p, line in LOOKED_AT if line.startswith("feltone ")], ids=lambda v: Path(v).name
)
def test_commands_that_are_not_run_exist_with_their_options(page: Path, line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = cli.app
    while isinstance(command, click.Group):
        assert words[0] in command.commands, f"{line}: no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


def test_make_targets_and_extras_that_are_named_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page, line in LOOKED_AT:
        if line.startswith("make "):
            assert line.split()[1] in targets, f"{named(page)}: {line}"
        for extras in re.findall(r"pip install '(?:feltone|\.)\[([\w,]+)\]'", line):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), f"{named(page)}: {line}"


@pytest.fixture(scope="module")
def at_hand(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: recordings of one's own, a folder, a meeting."""
    folder = tmp_path_factory.mktemp("at-hand")
    for letter, label in {"W": "anger", "N": "neutral", "T": "sadness"}.items():
        (folder / "mine" / label).mkdir(parents=True)
        for seed, (name, voice) in enumerate({"anna": "08", "ben": "03", "cora": "09", "dirk": "10"}.items()):
            for take, sentence in enumerate(SENTENCES, 1):
                file = folder / "mine" / label / f"{name}-{take}.wav"
                soundfile.write(file, speak(voice, sentence, letter, seed), SAMPLE_RATE, subtype="PCM_16")
    clips = [soundfile.read(file)[0] for file in sorted((SOURCE / "clips").glob("*.flac"))[:5]]
    soundfile.write(folder / "recording.wav", clips[0], SAMPLE_RATE)
    soundfile.write(folder / "clip.wav", clips[0], SAMPLE_RATE)
    soundfile.write(folder / "meeting.wav", np.concatenate(clips), SAMPLE_RATE)
    (folder / "folder").mkdir()
    for number, clip in enumerate(clips[:2]):
        soundfile.write(folder / "folder" / f"{number}.wav", clip, SAMPLE_RATE)
    for name in ("src", "results"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize(
    "page", [page for page in pages.documents() if any(block.runs for block in pages.blocks(page))], ids=named
)
def test_code_in_the_documents_runs(page: Path, at_hand: Path, synthetic_emodb: Path, tmp_path: Path) -> None:
    if "curl " in pages.script(page) and not shutil.which("curl"):
        pytest.skip("needs curl, which the page uses")
    folder = tmp_path / "reader"
    shutil.copytree(at_hand, folder, symlinks=True)
    settings = {"HOME": folder, "FELTONE_CACHE": at_hand / "cache", "FELTONE_DATA": synthetic_emodb}
    pages.run(page, folder, {key: str(value) for key, value in settings.items()} | {"OMP_NUM_THREADS": "1"})


def test_the_site_builds_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    """Strict: a link to nowhere, a page that is missing or a docstring that cannot be read stops it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    silent = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=silent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = sorted((tmp_path / "site").rglob("*.html"))
    assert {"tutorial.html", "responsible-use.html", "results.html"} <= {page.name for page in made}
    for page in made:
        fetched = r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>"
        assert not re.findall(fetched, page.read_text(encoding="utf-8")), page.name


def test_every_number_in_the_documents_is_generated_from_results() -> None:
    done = subprocess.run([sys.executable, "results/render.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_examples_in_docstrings_are_true(module: Path) -> None:
    name = ".".join(module.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
