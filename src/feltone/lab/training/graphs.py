"""A training step captured once as a CUDA graph and replayed: one launch in place of hundreds.

At the paper's batch of 4 a device computes a step faster than Python can ask for its parts. What a graph needs is
little: every replay reads and writes the memory of the capture, so the rows of the batch, the learning rate and the
totals stay where they are and are overwritten; nothing is fetched from the device within the step.
What `torch.compile` makes of a network can be captured like anything else: its kernels exist after the warm-ups.
"""

import warnings
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor

WARM_UPS = 3  # steps before the capture, in which libraries choose kernels and Adam makes its state


def can_capture(fabric: Fabric) -> bool:
    """Whether a step of this machine can be a graph: one process on a CUDA device."""
    return bool(fabric.device.type == "cuda" and fabric.world_size == 1)


class Captured:
    """A step that is replayed from its fourth full batch on, on a stream of its own.

    The warm-ups are steps of the training like any other. A short batch (the last of an epoch) runs as it is and is not
    even compiled: it is one of hundreds, and every length would be compiled anew. All of these, and the capture, are on
    that stream, since what autograd keeps between steps belongs to the stream it was made on. Replays of several steps,
    each on its own stream, run side by side; `join` lets the current stream wait for them. A step that cannot be
    captured goes on uncaptured, with a warning.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.warm_ups = WARM_UPS  # still to do
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.graph: torch.cuda.CUDAGraph | None = None
        self.rows = torch.empty(0)  # where a replay finds its batch
        self.possible = True

    def __call__(self, step: Callable[[Tensor], None], rows: Tensor) -> None:
        """Do the step, always the same one, with these samples."""
        full = rows.shape[-1] == self.batch
        if full and not self.graph and not self.warm_ups and self.possible:
            self._capture(step, rows)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            if full and self.graph:
                self.rows.copy_(rows)
                self.graph.replay()
            elif full:
                step(rows)
                self.warm_ups = max(0, self.warm_ups - 1)
            else:
                with torch.compiler.set_stance("force_eager"):
                    step(rows)

    def join(self) -> None:
        """Let what follows on the current stream see what the steps have done."""
        torch.cuda.current_stream().wait_stream(self.stream)

    def _capture(self, step: Callable[[Tensor], None], rows: Tensor) -> None:
        """Record the step; nothing is computed."""
        self.rows, graph, current = rows.clone(), torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=self.stream):  # which waits for all that the device has to do
                step(self.rows)
            self.graph = graph
        except RuntimeError as fault:
            torch.cuda.set_stream(current)  # a capture that fails at its end leaves its own stream set
            self.possible = False
            warnings.warn(f"training steps run uncaptured, several times slower: {fault}", stacklevel=2)
