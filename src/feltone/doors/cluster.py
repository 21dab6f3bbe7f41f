"""A Ray cluster, as the verbs that use one join it."""

import logging
import os
from typing import Any, cast

from feltone.errors import ConfigError, MissingExtraError


def connect(address: str, purpose: str) -> dict[str, float]:
    """Join a cluster for a purpose; its resources.

    Raises:
        MissingExtraError: without `feltone[ray]`.
        ConfigError: no cluster answers there.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what is below concerns Ray's makers
    try:
        import ray
    except ImportError:
        raise MissingExtraError(purpose, "ray") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as fault:
        reason = str(fault).splitlines()[0]
        raise ConfigError(f"--ray {address}: no cluster answers ({reason}); start one with: ray start --head") from None
    return dict(cast(Any, ray).cluster_resources())
