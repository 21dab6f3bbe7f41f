"""What strangers send is answered or refused: every input that once was not, and new ones made from those in order.

The long form, guided by coverage, is fuzz/run.py; its figures are in results/fuzz.json.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seeds
import targets

REGRESSIONS = Path(__file__).parent / "regressions"
KEPT = sorted(file for file in REGRESSIONS.rglob("*") if file.is_file())
EXAMPLES = {"audio": 80, "manifest": 120, "artifact": 120, "multipart": 40, "websocket": 40}
LONGEST = 1 << 16


@pytest.fixture(scope="module", autouse=True)
def service() -> Iterator[None]:
    yield
    targets.stop()


@cache
def in_order(target: str) -> list[bytes]:
    return seeds.seeds(target)


def mutated(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """A content with some bytes put in, put over, or taken away."""
    for how, place, some in changes:
        at = place % (len(content) + 1)
        if how == "insert":
            content = content[:at] + some + content[at:]
        elif how == "over":
            content = content[:at] + some + content[at + len(some) :]
        elif how == "cut":
            content = content[:at]
        else:  # what stands there once more
            content = content[: at + len(some)] + content[at:]
    return content[:LONGEST]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "over", "over", "over", "cut", "again"]),
        st.one_of(st.integers(0, 200), st.integers(0, LONGEST)),  # heads decide more than what follows
        st.one_of(
            st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"["])
        ),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("target", targets.TARGETS)
def test_what_is_in_order_passes(target: str) -> None:
    for content in in_order(target):
        targets.TARGETS[target](content)


@pytest.mark.parametrize("file", KEPT, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_once_broke_is_answered_or_refused(file: Path) -> None:
    targets.TARGETS[file.parent.name](file.read_bytes())


@pytest.mark.parametrize("target", targets.TARGETS)
def test_what_is_nearly_in_order_is_answered_or_refused(target: str) -> None:
    @settings(
        max_examples=EXAMPLES[target], deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(in_order(target)), CHANGES)
    def attempt(content: bytes, changes: list[tuple[str, int, bytes]]) -> None:
        targets.TARGETS[target](mutated(content, changes))

    attempt()


@pytest.mark.parametrize("target", targets.TARGETS)
@pytest.mark.parametrize("content", [b"", b"\0", b"\1", b"\2", b"\3", b"\xff" * 9], ids=repr)
def test_next_to_nothing_is_answered_or_refused(target: str, content: bytes) -> None:
    targets.TARGETS[target](content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"[" * 100_000),
        ("a.jsonl", b'{"path": ' + b"1" * 5_000 + b"}"),
        ("a.jsonl", b'{"path": "\\ud800", "label": "x"}'),
        ("a.jsonl", b'{"path": "a", "label": "x", "start": ' + b"1" * 400 + b"}"),
        ("a.jsonl", b'{"path": "a\\nb", "label": "x"}'),
        ("a.csv", b"path,label\n" + b"a" * 300 + b",x\n"),
        ("a.csv", b"path,label\na\0b,x\n"),
        ("a.csv", b"path,label,start\na.wav,x," + b"9" * 400 + b" days\n"),
        ("a.csv", b'path,label\n"' + b"a" * 200_000 + b'",x\n'),
    ],
)
def test_tables_that_ask_for_too_much_are_refused_in_a_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(targets.FeltoneError) as caught:
        targets.manifest.read(tmp_path / name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1_000
