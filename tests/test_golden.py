"""What must not drift: the image of a bundled clip, against a file made when it was first right.

Twins of the front end in other languages are held to the same file.
"""

from pathlib import Path

import numpy as np

from feltone import audio, features
from feltone.doors.demo import CLIPS

GOLDEN = Path(__file__).parent / "golden" / "anger_image.npy"


def test_the_image_of_a_bundled_clip_is_the_golden_one() -> None:
    image = features.log_mel_image(audio.load(CLIPS / "anger.flac"))
    assert np.abs(image - np.load(GOLDEN)).max() < 1e-4
