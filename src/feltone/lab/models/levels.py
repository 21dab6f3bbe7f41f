"""How networks beyond the paper's see the levels of an image: centred, and relative to each band's mean over the clip.

A band's mean is what voice, microphone and room have in common over a clip (cepstral mean normalisation knows it as
the channel); what is left after it is taken off is what changes, and that is where emotion is.
"""

from torch import Tensor

CENTRE, SPREAD = 0.35, 0.25  # about the mean and the deviation of images, whose values are 0-1
RELATIVE_SPREAD = 0.15  # about the deviation of a band around its mean


def heard_columns(image: Tensor) -> Tensor:
    """Which columns of images (B, H, W) hold sound: (B, W); padding and masked columns are at the floor, 0."""
    return image.amax(1) > 0


def standard_levels(image: Tensor) -> Tensor:
    """Levels about 0 with deviations about 1, of the shape of the image."""
    return (image - CENTRE) / SPREAD


def relative_levels(image: Tensor, heard: Tensor) -> Tensor:
    """Levels relative to each band's mean over the columns that are heard, and 0 in the others; shaped as the image."""
    weight = heard.to(image.dtype).unsqueeze(1)  # B 1 W
    mean = (image * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp_min(1)
    return (image - mean) * weight / RELATIVE_SPREAD
