"""Features of a test part by teacher and student, in two dimensions: what matching made alike.

The feature is the normalised class token before the classifier (`Output.embedding`), the one that is matched; so both
networks can be drawn on the same axes, the two directions in which the teacher's features vary most.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from feltone.errors import ConfigError
from feltone.lab.trained import Trained

Floats = NDArray[np.float64]

METHODS = ("pca", "tsne")
PERPLEXITY = 30  # at most a third of the points


def features_of(trained: Trained, images: NDArray[np.floating]) -> Floats:
    """Class-token features of images, (n, D)."""
    return np.concatenate([output.embedding.double().numpy() for output in trained.outputs(images)])


def project(features: Mapping[str, Floats], method: str = "pca") -> tuple[dict[str, Floats], list[str]]:
    """Features of the same clips by several networks in two dimensions, and what these are.

    Args:
        features: network -> (clips, D); the first, the teacher, decides the axes of `pca`.
        method: `pca`, whose distances mean something, or `tsne` (of all networks together, fixed seed), whose
            neighbourhoods alone do.

    Raises:
        ConfigError: another method, or fewer than three clips.
    """
    if method not in METHODS:
        raise ConfigError(f"method '{method}' is not known; known: {', '.join(METHODS)}")
    first, count = next(iter(features.values())), len(next(iter(features.values())))
    if count < 3:
        raise ConfigError(f"{count} clips cannot be spread over two dimensions; give three or more")
    if method == "pca":
        axes = PCA(2, svd_solver="full").fit(first)
        shares = [f"{100 * share:.0f} %" for share in axes.explained_variance_ratio_]
        names = [f"{nth} component of the teacher ({share})" for nth, share in zip(("1st", "2nd"), shares, strict=True)]
        return {name: axes.transform(one) for name, one in features.items()}, names
    everything = np.concatenate(list(features.values()))
    embedded = TSNE(2, perplexity=min(PERPLEXITY, len(everything) / 3), init="pca", random_state=0).fit_transform(
        everything
    )
    parts = np.split(embedded, np.cumsum([len(one) for one in features.values()])[:-1])
    return dict(zip(features, parts, strict=True)), ["t-SNE, 1st", "t-SNE, 2nd"]


def distances(features: Mapping[str, Floats]) -> dict[str, float]:
    """Mean absolute difference between the first network's features and each other's: the loss of matching."""
    first, *others = features.items()
    return {name: float(np.abs(one - first[1]).mean()) for name, one in others}
