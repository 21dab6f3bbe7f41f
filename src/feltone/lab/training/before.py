"""What is learnt from other corpora before a fold's own clips: a run of its own, kept and shared.

    recipe.before, the clips of its corpora, seed --once--> CACHE/before/DIGEST, a run like any other

It depends on neither fold nor protocol, so all folds begin from the same; and a clip that a fold divides or tests on is
not among its clips (`experiment.Experiment.folds`).
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from feltone.errors import BusyError
from feltone.files import held
from feltone.lab.models import Network
from feltone.lab.protocols import Fold
from feltone.lab.training.schedule import Job
from feltone.labels import LabelSet

PROTOCOL = "before"
PATIENCE = 5.0  # seconds between looks at a folder that another process is at work on


class Known(NamedTuple):
    """A network that has learnt something already."""

    network: Network
    labels: LabelSet


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
