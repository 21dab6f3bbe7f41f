"""What is learnt from other corpora before a fold's own clips: a run of its own, kept and shared.

    recipe.before, the clips of its corpora, seed --once--> CACHE/before/DIGEST, a run like any other

It depends on neither fold nor protocol, so all folds begin from the same; and a clip that a fold divides or tests on is
not among its clips (`preceded`).
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from feltone.errors import BusyError, ConfigError
from feltone.files import held
from feltone.lab.augment import COPIES
from feltone.lab.corpora.clip import Clip
from feltone.lab.models import Network
from feltone.lab.protocols import Fold, Sample
from feltone.lab.training.schedule import Job
from feltone.labels import LabelSet

PROTOCOL = "before"
PATIENCE = 5.0  # seconds between looks at a folder that another process is at work on


class Known(NamedTuple):
    """A network that has learnt something already."""

    network: Network
    labels: LabelSet


def preceded(fold: Fold, others: Sequence[Clip]) -> Fold:
    """A fold before which clips of other corpora are learnt from, in all their copies.

    Raises:
        ConfigError: one of them is of a corpus that the fold divides or tests on, or has the name of a test recording.
    """
    own = {sample.clip.corpus for part in (fold.train, fold.test) for sample in part if fold.test}
    if twice := sorted({clip.corpus for clip in others} & own):
        raise ConfigError(f"corpus '{twice[0]}' is divided or tested on, so nothing can learn from it before")
    heard = {clip.name: clip for clip in others}
    if again := sorted(stem for sample in fold.test if (stem := sample.clip.path.stem) in heard):
        where = f"{heard[again[0]].corpus}, which is learnt from before"
        raise ConfigError(f"{len(again)} test recordings are named as in {where} ({again[0]}); test on others")
    ordered = sorted(others, key=lambda clip: clip.key)
    return replace(fold, before=tuple(Sample(clip, copy) for clip in ordered for copy in COPIES))


def job_of(fold: Fold, seed: int) -> Job:
    """What comes before a fold, as a job that tests nothing."""
    return Job(Fold(PROTOCOL, 1, fold.before, ()), 1, seed)


def folder_of(settings: Mapping[str, object], cache: Path) -> Path:
    """Where a run with these settings is kept."""
    text = json.dumps(settings, sort_keys=True)
    return cache / "before" / hashlib.sha256(text.encode()).hexdigest()[:16]


def hold(folder: Path, holding: ExitStack) -> None:
    """Hold the folder, after whoever is at work there."""
    while True:
        try:
            holding.enter_context(held(folder))
        except BusyError:
            time.sleep(PATIENCE)
        else:
            return


def begin_from(network: Network, labels: LabelSet, known: Known) -> None:
    """Give a network the weights of a known one; where that tells other labels apart, its classifier stays as drawn."""
    fresh = {f"classifier.{name}": value for name, value in network.classifier.state_dict().items()}
    network.load_state_dict(known.network.state_dict() | ({} if labels == known.labels else fresh))
