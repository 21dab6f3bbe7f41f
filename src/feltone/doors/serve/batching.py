"""Many callers, one session: images that arrive together are recognised together."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feltone.features import Image
from feltone.recognizer import Recognizer, sounding_columns

Chances = NDArray[np.float32]  # (classes,)
PARTS = 4  # of an image's width: images that fill about as many go together, for a run costs what its longest does


class Pending(NamedTuple):
    """An image and who waits for it."""

    image: Image
    answer: asyncio.Future[Chances]


class Batcher:
    """Collects images for a few milliseconds, or for as long as the graph is busy, and runs the graph on them.

    The graph runs on a thread of its own; the event loop is never held up.
    """

    def __init__(
        self,
        recognize: Recognizer,
        *,
        most: int,
        wait_ms: float,
        on_batch: Callable[[int], object] = lambda images: None,
    ) -> None:
        self._recognize, self._most, self._wait, self._on_batch = recognize, most, wait_ms / 1e3, on_batch
        self._queue: asyncio.Queue[Pending] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feltone-graph")
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Images that no run has taken yet."""
        return self._queue.qsize()

    async def __aenter__(self) -> "Batcher":
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    async def recognise(self, image: Image) -> Chances:
        """Probabilities (classes,) of one image (mel bands, columns)."""
        answer: asyncio.Future[Chances] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(Pending(image, answer))
        return await answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._collect()
            self._on_batch(len(batch))
            run = loop.run_in_executor(self._thread, self._run, [pending.image for pending in batch])
            await asyncio.wait([run])  # which does not raise: a fault is for those who wait, the next batch is another
            fault = run.exception()
            for row, pending in enumerate(batch):
                if pending.answer.done():  # its caller has left
                    continue
                if fault:
                    pending.answer.set_exception(fault)
                else:
                    pending.answer.set_result(run.result()[row])

    async def _collect(self) -> list[Pending]:
        batch = [await self._queue.get()]
        if 1 + self.waiting < self._most:
            await asyncio.sleep(self._wait)
        while self.waiting and len(batch) < self._most:
            batch.append(self._queue.get_nowait())
        return batch

    def _run(self, images: list[Image]) -> list[Chances]:
        parts = [_parts(image) for image in images]
        order = sorted(range(len(images)), key=parts.__getitem__)
        answers: dict[int, Chances] = {}
        for _, alike in groupby(order, key=parts.__getitem__):
            rows = list(alike)
            chances = self._recognize.images(np.stack([images[row] for row in rows])).probabilities
            answers |= dict(zip(rows, chances, strict=True))
        return [answers[row] for row in range(len(images))]


def _parts(image: Image) -> int:
    """How many quarters of its width an image fills before its silence at the end."""
    return -(-PARTS * sounding_columns(image) // int(image.shape[1]))
