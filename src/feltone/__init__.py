"""Feltone hears how something is said: emotion in speech, recognised from log-Mel spectrograms.

    import feltone
    recognize = feltone.load()                 # the shipped model; or a name, a folder, "hf:owner/model"
    prediction = recognize("clip.wav")         # Prediction(label="anger", scores={...}, seconds=2.3)
    timeline = recognize.timeline("talk.mp3")  # windows over a long recording

The core, in the order of the data: `audio` opens recordings, `features` makes the image, `recognizer` runs an
`artifact`, `attention` and `picture` show what it looked at, `timeline` is the answer for long recordings. The
laboratory that trains artefacts is `feltone.lab` (needs `feltone[train]`); the command line is in `feltone.doors`.
"""

import os
from typing import TYPE_CHECKING, Any

from feltone.errors import FeltoneError

if TYPE_CHECKING:
    from feltone.recognizer import Prediction, Recognizer
    from feltone.recognizer import from_model as load
    from feltone.timeline import Segment, Timeline

__all__ = ["FeltoneError", "Prediction", "Recognizer", "Segment", "Timeline", "load"]
__version__ = "0.1.0"

# ONNX Runtime's Linux wheels report to their maker unless told not to before they are loaded; voices are private.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_WHERE = {
    "Prediction": ("recognizer", "Prediction"),
    "Recognizer": ("recognizer", "Recognizer"),
    "load": ("recognizer", "from_model"),
    "Segment": ("timeline", "Segment"),
    "Timeline": ("timeline", "Timeline"),
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import feltone` costs next to nothing."""
    if name not in _WHERE:
        raise AttributeError(f"module 'feltone' has no attribute '{name}'")
    import importlib

    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(f"feltone.{module}"), attribute)
