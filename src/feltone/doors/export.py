"""`feltone export`: a model for use without Feltone, as one file or as a page, with the parity it measured."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from feltone import audio
from feltone.artifact import Artifact, load
from feltone.doors import browser, console
from feltone.doors.demo import CLIPS
from feltone.lab import exported, portable
from feltone.lab.portable import Export

PAGE = "web"  # the kind that a page is written around


def export_model(model: str | None, kind: str, out: Path, check_on: Path | None, *, as_json: bool) -> int:
    """Write a model as `kind` into `out`, print what was measured and what to do next; returns the exit code.

    Args:
        model: None for the default one; as for `feltone.load`.
        kind: one of `portable.KINDS`.
        out: folder, made when missing.
        check_on: recordings to compare with PyTorch on; None for EmoDB below `FELTONE_DATA`, else the bundled clips.
        as_json: one document on standard output instead of a table.
    """
    portable.kind_named(kind)
    write = page if kind == PAGE else portable.export
    if kind == PAGE:
        browser.check(out)  # before the comparison, not after it
    sealed, (recordings, called) = load(model), compared_on(check_on)
    with console.progress(f"comparing with PyTorch on {called}", len(recordings)) as advance:
        done = write(sealed, kind, out, recordings, called, advance)
    if as_json:
        console.document({"file": str(done.file)} | dict(done.record))
        return 0
    parity = done.record["parity"]
    row = [
        str(done.file),
        f"{done.record['bytes'] / 1e6:.2f} MB",
        f"{parity['clips']} of {called}",
        f"{parity['equal_labels']:.1%}",
        f"{parity['max_probability_difference']:.1e}",
    ]
    console.table(["file", "size", "compared on", "equal labels", "largest difference"], [row], numeric=(1, 3, 4))
    if kind == PAGE:
        console.say(f"\nall of {out} is the page: any host of plain files can serve it, this machine for instance")
        console.say(f"next: python -m http.server --directory {out} 8001    and open http://localhost:8001")
        return 0
    console.say(f"\nwhat goes in and what comes out, and how to check it where it runs: {out / 'README.md'}")
    console.say("next: examples/onnx/ runs such a file from Python, JavaScript and C++, without Feltone")
    return 0


def page(
    sealed: Artifact,
    kind: str,
    folder: Path,
    recordings: Sequence[Path],
    called: str,
    on_clip: Callable[[], object],
) -> Export:
    """Write the page into a folder with the model beside it; arguments and faults as for `portable.export`."""
    packed = portable.pack(sealed, kind, recordings, called, on_clip)
    told = browser.record(
        sealed, packed.content, exported.WEB_PRECISION, packed.record["golden"], packed.record["parity"]
    )
    browser.write(folder, packed.content, told)
    return Export(folder / browser.GRAPH, packed.record)


def compared_on(check_on: Path | None) -> tuple[list[Path], str]:
    """Recordings to compare on, and how the file shall call them."""
    emodb = Path(os.environ.get("FELTONE_DATA", "")) / "emodb"
    folder = check_on or (emodb if "FELTONE_DATA" in os.environ and emodb.is_dir() else CLIPS)
    if folder.is_file():
        return [folder], folder.name
    found = [path for path in audio.find(folder) if not path.name.startswith(".")]
    return found, "the bundled clips" if folder == CLIPS else folder.resolve().name
