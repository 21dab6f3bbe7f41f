"""What of the machine this process may use."""

import os


def cores() -> int:
    """Cores that this process may run on: those its affinity names, where the system has one, else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
