"""Where a `paper` run errs: by kind of copy, and on speed copies by how strong the perturbation is.

    FELTONE_DATA=... .venv/bin/python runs/paper_errors.py RUN

writes results/paper_errors.json. No training: the run's own networks hear the test copies again, with the same random
draws scaled towards the identity (strength 0 is the clip itself, which has copies in training).
"""

import os
import sys
from pathlib import Path

import numpy as np

from feltone import audio
from feltone.features import log_mel_image
from feltone.files import write_json
from feltone.lab import corpora, dataset, protocols, provenance
from feltone.lab.augment import COPIES
from feltone.recognizer import Recognizer, from_model

ROOT = Path(__file__).parents[1]
STRENGTHS = (0.0, 0.33, 0.67, 1.0)
KINDS = ("noise", "speed")


def main() -> None:
    """Count errors of teacher and student on fold 1, seed 0, of EmoDB under `paper`."""
    run = Path(sys.argv[1])
    (fold,) = protocols.split("paper", corpora.read("emodb", Path(os.environ["FELTONE_DATA"])), seed=0)
    found = {
        stage: errors(from_model(run / "seed-0" / "fold-1" / stage, threads=1), fold.test)
        for stage in ("teacher", "student")
    }
    tested = {copy: sum(sample.copy == copy for sample in fold.test) for copy in COPIES}
    origin = {"command": "python runs/paper_errors.py RUN", "commit": provenance.commit(), "date": provenance.today()}
    write_json(ROOT / "results" / "paper_errors.json", {"tested": tested, "errors": found, **origin})
    print(tested, found, sep="\n")


def errors(recognize: Recognizer, samples: tuple[protocols.Sample, ...]) -> dict[str, dict[str, int]]:
    """Kind of copy -> strength -> clips heard wrongly."""
    counts: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        clips = [sample.clip for sample in samples if sample.copy == kind]
        counts[kind] = {str(strength): wrong(recognize, clips, kind, strength) for strength in STRENGTHS}
    return counts


def wrong(recognize: Recognizer, clips: list[corpora.Clip], kind: str, strength: float) -> int:
    """How many clips are heard wrongly when perturbed with that strength."""
    images = []
    for clip in clips:
        waveform = audio.load(clip.path)
        rng = dataset.generator_of(clip, kind, seed=0)
        images.append(log_mel_image(COPIES[kind](waveform, rng, recognize.features.clip_samples, strength)))
    heard = recognize.images(np.stack(images)).probabilities.argmax(1)
    return sum(recognize.labels.names[k] != clip.label for k, clip in zip(heard, clips, strict=True))


if __name__ == "__main__":
    main()
