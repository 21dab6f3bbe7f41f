"""docs/reliability.md keeps its word: every test that it names is there, and what it says of files is so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "feltone"
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/\S+?)::(\w+)`", PAGE)


def test_every_row_names_a_test() -> None:
    rows = [line for line in re.sub(r"<!-- table.*?/table -->", "", PAGE, flags=re.S).splitlines() if line[:2] == "| "]
    assert len(NAMED) >= len(rows) - 2  # but for the heads of two tables
    assert all("::test_" in row or row.startswith("| fault |") for row in rows)


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_every_named_test_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def written_otherwise(module: Path) -> list[str]:
    """Calls that write a file in place, where a crash would leave half of it."""
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        in_place = isinstance(node.func, ast.Attribute) and called in ("write_text", "write_bytes")
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        opened = called == "open" and any(re.fullmatch(r"[rwaxbt+]*[wax+][bt+]*", mode) for mode in modes)
        text = ast.unparse(node)  # nowhere, and memory, need no care
        if (in_place or opened) and "devnull" not in text and not text.startswith("av.open(memory"):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_file_is_written_whole_or_not_at_all(module: Path) -> None:
    assert module.name == "files.py" or not written_otherwise(module)


def test_what_writes_in_place_is_found(tmp_path: Path) -> None:
    lines = ["p.write_text('x')", "p.write_bytes(b'x')", "p.open('a')", "open(p, 'wb')", "open(p, 'r+b')"]
    (tmp_path / "module.py").write_text(
        "\n".join([*lines, "p.open('rb')", "open(os.devnull, 'w')", "write_text(p, x)"])
    )
    assert written_otherwise(tmp_path / "module.py") == lines
