"""What Feltone is built from is what its files say: the least set, the pins, the hashes."""

import re
from pathlib import Path

import pytest
from packaging.markers import Marker

import pins

LINE = re.compile(
    r"^([a-z0-9-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE
)
REMEDY = "if that is meant: make pins"


def pinned(file: Path) -> dict[str, str]:
    """Name -> version of a file's lines that hold here."""
    lines = LINE.findall(file.read_text())
    return {name: version for name, version, marker, _ in lines if not marker or Marker(marker.strip()).evaluate()}


def test_the_core_brings_no_package_that_is_not_on_the_list() -> None:
    listed = pins.CORE.read_text().split()
    assert sorted(pins.closure(())) == listed, REMEDY
    assert not {"torch", "scipy", "pandas", "librosa", "matplotlib", "requests"} & set(listed)


def test_every_package_of_the_development_environment_is_pinned_to_what_is_tested_here() -> None:
    assert {f"{name}=={version}" for name, version in pinned(pins.PINNED).items()} >= set(
        pins.pins(pins.closure(pins.DEVELOPMENT))
    ), REMEDY


def test_what_is_served_is_locked_to_the_same_versions_and_every_file_of_it_has_its_hash() -> None:
    text = pins.HASHED.read_text()
    locked, known = pinned(pins.HASHED), pinned(pins.PINNED)
    assert pins.closure(pins.SERVED) <= set(locked), REMEDY
    assert {name: known.get(name) for name in locked if name in known} == {
        name: version for name, version in locked.items() if name in known
    }, REMEDY
    assert all(hashes for *_, hashes in LINE.findall(text))
    # Nothing else stands in the file: no address, no link, no package without a version.
    assert not [line for line in LINE.sub("", text).splitlines() if line and not line.startswith("#")]
    assert "torch" not in locked


@pytest.mark.parametrize("target", ["pins", "sbom", "audit"])
def test_the_makefile_has_what_the_documents_name(target: str) -> None:
    makefile = (pins.ROOT / "Makefile").read_text()
    assert f"\n{target}:" in makefile and f"make {target}" in (pins.ROOT / "docs" / "supply.md").read_text()
