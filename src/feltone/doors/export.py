"""`feltone export`: a model as one file for use without Feltone, with the parity it measured."""

import os
from pathlib import Path

import feltone
from feltone import audio
from feltone.artifact import load
from feltone.doors import console
from feltone.lab import portable

CLIPS = Path(feltone.__file__).parent / "clips"


def export_model(model: str | None, kind: str, out: Path, check_on: Path | None, *, as_json: bool) -> int:
    """Write a model as `kind` into `out`, print what was measured and what to do next; returns the exit code.

    Args:
        model: None for the shipped student; as for `feltone.load`.
        kind: one of `portable.KINDS`.
        out: folder, made when missing.
        check_on: recordings to compare with PyTorch on; None for EmoDB below `FELTONE_DATA`, else the bundled clips.
        as_json: one document on standard output instead of a table.
    """
    portable.kind_named(kind)
    sealed, (recordings, called) = load(model), compared_on(check_on)
    with console.progress(f"comparing with PyTorch on {called}", len(recordings)) as advance:
        done = portable.export(sealed, kind, out, recordings, called, advance)
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
    console.say(f"\nwhat goes in and what comes out, and how to check it where it runs: {out / 'README.md'}")
    console.say("next: examples/onnx/ runs such a file from Python, JavaScript and C++, without Feltone")
    return 0


def compared_on(check_on: Path | None) -> tuple[list[Path], str]:
    """Recordings to compare on, and how the file shall call them."""
    emodb = Path(os.environ.get("FELTONE_DATA", "")) / "emodb"
    folder = check_on or (emodb if "FELTONE_DATA" in os.environ and emodb.is_dir() else CLIPS)
    if folder.is_file():
        return [folder], folder.name
    found = [path for path in audio.find(folder) if not path.name.startswith(".")]
    return found, "the bundled clips" if folder == CLIPS else folder.resolve().name
