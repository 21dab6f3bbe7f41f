"""`feltone verify MODEL`: every question that can be asked of a model, its answer, and what to do next.

`feltone/checks.py` asks what needs no laboratory. With it are asked as well whether the network of the weights says
what the graph says, and whether the ledger is that of the recordings the model names.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from feltone import artifact, checks
from feltone.artifact import WEIGHTS, Artifact
from feltone.checks import OK, SKIPPED, WRONG, Finding
from feltone.doors import console
from feltone.errors import ArtifactError
from feltone.recognizer import Recognizer, softmax

DONE, REFUSED = 0, 2  # exit codes
MOST_COPIES = 32
CLOSE = 1e-3  # a probability of the graph may be so far from the network's


def verify_model(model: str | None, *, as_json: bool) -> int:
    """Print the findings about a model folder, or a file of `feltone export`; returns the exit code."""
    exported = Path(model or "")
    if exported.suffix == ".onnx" and exported.is_file():
        place, found = exported, [of_exported(exported)]
    else:
        place = artifact.find(model)
        found = list(checks.findings(place))
        if not wrong(found):
            found += of_laboratory(artifact.load(place, verify=False))
    if as_json:
        console.document({"model": str(place), "sound": not wrong(found), "findings": [told(one) for one in found]})
    else:
        console.table(["asked", "verdict", "found"], [list(one) for one in found])
    if wrong(found):
        console.say(f"\n{place}: {len(wrong(found))} of {len(found)} answers are wrong")
        console.say("next: do not use it; obtain the model again from where it came, and verify that")
        return REFUSED
    console.say(f"\n{place}: sound, as far as it was asked ({sum(one.verdict == OK for one in found)} answers)")
    console.say(f"next: feltone predict recording.wav --model {place}" if place.is_dir() else "next: use it")
    return DONE


def wrong(found: list[Finding]) -> list[Finding]:
    """The findings that speak against a model."""
    return [one for one in found if one.verdict == WRONG]


def told(one: Finding) -> dict[str, Any]:
    """A finding, for JSON."""
    return one._asdict()


def of_exported(file: Path) -> Finding:
    """Whether a file of `feltone export` still says what it said."""
    from feltone.lab import exported

    try:
        return Finding("golden answer", OK, f"{exported.verify(file):.0e} from what it was exported with")
    except ArtifactError as fault:
        return Finding("golden answer", WRONG, str(fault).removeprefix(f"{file}: "))


def of_laboratory(sealed: Artifact) -> Iterator[Finding]:
    """What needs the laboratory: the network of the weights, and the ledger."""
    files = sealed.description["files"]
    if WEIGHTS in files and "model.onnx" in files:
        yield _network(sealed)
    if "manifest_sha256" in sealed.description:
        yield _ledger(sealed)


def _network(sealed: Artifact) -> Finding:
    what = "network"
    try:
        import torch

        from feltone.lab import trained
    except ModuleNotFoundError:
        return Finding(what, SKIPPED, "whether weights and graph say the same: needs feltone[train]")
    image = checks.golden_image(sealed.features)
    try:
        with torch.inference_mode():
            expected = softmax(trained.network_of(sealed)(torch.from_numpy(image)).logits.numpy())
        found = Recognizer(sealed, threads=1).images(image).probabilities
    except ArtifactError as fault:
        return Finding(what, WRONG, str(fault).removeprefix(f"{sealed.folder / WEIGHTS}: "))
    difference = float(np.abs(found - expected).max())
    said = f"weights and graph differ by {difference:.0e} on the golden image"
    return Finding(what, OK if difference <= CLOSE else WRONG, said)


def _ledger(sealed: Artifact) -> Finding:
    from feltone.lab import ledger
    from feltone.lab.corpora.clip import manifest_digest

    try:
        clips = ledger.read(sealed.folder)
    except ArtifactError as fault:
        return Finding("ledger", WRONG, str(fault).removeprefix(f"{sealed.folder / ledger.FILE}: "))
    # The first artefacts counted a recording once for each of its augmented copies.
    digests = (manifest_digest(clips * copies) for copies in range(1, MOST_COPIES + 1))
    same = sealed.description["manifest_sha256"] in digests
    said = f"{len(clips)} recordings, {'those' if same else 'not those'} that the description names"
    return Finding("ledger", OK if same else WRONG, said)
