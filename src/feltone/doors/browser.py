"""The page that recognises in a browser tab, as files: the built page, and beside it a model and the bundled clips.

    index.html, assets/, …   the page, made from web/ by `make web`; without Node everything but this works
    model/model.onnx         the graph
    model/model.json         what the page must know about it
    clips/                   to try

`feltone export --to web` writes these files, `feltone serve` serves them; both need no laboratory for what is here.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import feltone
from feltone.artifact import GRAPHS, Artifact
from feltone.doors.demo import CLIPS
from feltone.errors import ConfigError
from feltone.files import write_atomically, write_json
from feltone.lab import exported
from feltone.recognizer import Recognizer

PAGE = Path(__file__).parent / "page"
INDEX, GRAPH, RECORD = "index.html", "model/model.onnx", "model/model.json"
# Both make a page cross-origin isolated, which threads need; on a host that sends neither the page uses one.
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
REMEDY = "run `make web` in Feltone's source, which needs Node 20 or newer"


def built() -> bool:
    """Whether this installation has the page."""
    return (PAGE / INDEX).is_file()


def page_files() -> dict[str, Path]:
    """Files of the built page and of the clips by their address below the page."""
    pages = {file.relative_to(PAGE).as_posix(): file for file in sorted(PAGE.rglob("*")) if file.is_file()}
    return pages | {f"clips/{file.name}": file for file in sorted(CLIPS.iterdir())}


def model_of(sealed: Artifact, precision: str = exported.WEB_PRECISION) -> tuple[bytes, dict[str, Any]]:
    """An artefact's own graph for the page, and its record; fp32 where it has no other."""
    if GRAPHS[precision] not in sealed.description["files"]:
        precision = "fp32"
    content, limits = sealed.graph(precision).read_bytes(), exported.ROUNDED
    recognize = Recognizer(sealed, precision=precision, threads=1)
    golden = exported.golden(
        exported.IMAGE, sealed.features, limits, lambda batch: recognize.images(batch).probabilities
    )
    return content, record(sealed, content, precision, golden, sealed.description.get("parity", {}).get(precision, {}))


def record(
    sealed: Artifact, content: bytes, precision: str, golden: Mapping[str, Any], parity: Mapping[str, Any]
) -> dict[str, Any]:
    """model.json: what the page must know about a graph; what the artefact does not say is null.

    Args:
        sealed: where the graph comes from.
        content: the graph.
        precision: "fp32" or "int8".
        golden: `exported.golden` of this very graph.
        parity: how far it was from the network.
    """
    source = (sealed.description.get("origin") or {}).get("source") or {}
    card = sealed.folder / "README.md"
    return {
        "name": sealed.name,
        "version": feltone.__version__,
        "precision": precision,
        "file": Path(GRAPH).name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "labels": list(sealed.labels),
        "unsure_below": sealed.unsure_below,
        "features": sealed.features.to_dict(),
        "windowing": exported.windowing(sealed.features),
        "image": [sealed.features.mel_bands, sealed.features.columns],
        "patches": list(sealed.patches),
        "source": source.get("title"),
        "licence": source.get("licence"),
        "citation": source.get("citation"),
        "parity": {key: parity.get(key) for key in ("equal_labels", "max_probability_difference")},
        "golden": dict(golden),
        "model_card": card.read_text(encoding="utf-8") if card.is_file() else None,
    }


def check(folder: Path) -> None:
    """Raise `ConfigError` where the page is not built, or cannot go into a folder because somebody else's is there."""
    if not built():
        raise ConfigError(f"the page is not part of this installation: {REMEDY}")
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / RECORD).is_file())):
        raise ConfigError(f"{folder}: holds something else; choose a folder of its own")


def write(folder: Path, graph: bytes, told: Mapping[str, Any]) -> None:
    """Write the page with a graph and its `record` into a folder, which is made when missing."""
    for address, file in page_files().items():
        _put(folder / address, file.read_bytes())
    _put(folder / GRAPH, graph)
    write_json(folder / RECORD, dict(told))


def _put(file: Path, content: bytes) -> None:
    write_atomically(file, lambda handle: handle.write(content))
