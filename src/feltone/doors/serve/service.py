"""What all requests share: the model, the places, the counters, and whether the service is stopping."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from feltone.doors.hearing import Voice
from feltone.doors.serve.batching import Batcher
from feltone.doors.serve.decoding import Decoder, Decoders
from feltone.doors.serve.faults import draining
from feltone.doors.serve.limits import Places
from feltone.doors.serve.metrics import Metrics
from feltone.doors.serve.settings import Settings
from feltone.machine import cores
from feltone.recognizer import Recognizer

P = ParamSpec("P")
T = TypeVar("T")
POLL_SECONDS = 0.05  # between two looks at whether all have left


class Service:
    """A recogniser and its bounds; runs between `async with service` and the end of the block."""

    def __init__(self, recognize: Recognizer, settings: Settings) -> None:
        self.recognize, self.settings, self.metrics = recognize, settings, Metrics()
        self.leaving = False
        self.voice = Voice(recognize.features.sample_rate)
        self.uploads = Places(settings.max_uploads, "too_many_uploads", "uploads are under way")
        self.queue = Places(settings.max_queue, "queue_full", "requests are being answered")
        self.streams = Places(
            settings.max_streams, "too_many_streams", "streams are open", settings.max_streams_per_client
        )
        self.batcher = Batcher(
            recognize,
            most=settings.batch_images,
            wait_ms=settings.batch_wait_ms,
            on_batch=self.metrics.batches.observe,
        )
        self.metrics.queue.set_function(lambda: self.queue.taken)
        self.metrics.waiting.set_function(lambda: self.batcher.waiting)
        self.metrics.streams.set_function(lambda: self.streams.taken)
        # Decoding a long upload must not hold up a live stream, nor the event loop either of them, nor a short upload.
        # More processes and threads than cores would only wait for each other.
        most = cores()
        self.beginnings, self.wholes = Decoders(most, settings), Decoders(most, settings)
        self._decoders = ThreadPoolExecutor(2 * most, thread_name_prefix="feltone-decode")
        self._listeners = ThreadPoolExecutor(most, thread_name_prefix="feltone-live")
        self._open: set[asyncio.Timeout] = set()

    async def __aenter__(self) -> "Service":
        for part in (self.beginnings, self.wholes, self.batcher):
            await part.__aenter__()
        return self

    async def __aexit__(self, *fault: object) -> None:
        for part in (self.batcher, self.wholes, self.beginnings):
            await part.__aexit__(*fault)
        self._decoders.shutdown()
        self._listeners.shutdown()

    async def decode(self, decoder: Decoder, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work on an upload, off the event loop, that waits for a decoder; which is given up where it takes long."""
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(self.settings.decode_seconds, decoder.give_up)
        try:
            return await loop.run_in_executor(self._decoders, lambda: work(*args, **kwargs))
        finally:
            alarm.cancel()

    async def listen(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work on a live stream, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._listeners, lambda: work(*args, **kwargs))

    @asynccontextmanager
    async def until_leaving(self) -> AsyncIterator[None]:
        """A block that ends with the `Fault` of `draining` as soon as the service is to stop."""
        if self.leaving:
            raise draining()
        try:
            async with asyncio.timeout(None) as leave:
                self._open.add(leave)
                try:
                    yield
                finally:
                    self._open.discard(leave)
        except TimeoutError:
            if leave.expired():
                raise draining() from None
            raise

    def leave(self) -> None:
        """Let nobody new in and send the streams home; running requests go on."""
        self.leaving = True
        for stream in self._open:
            stream.reschedule(asyncio.get_running_loop().time())

    async def left(self, impatient: Callable[[], bool]) -> None:
        """Wait until all have left, for `drain_seconds` at most or until `impatient` says so."""
        end = asyncio.get_running_loop().time() + self.settings.drain_seconds
        while self.uploads.taken + self.queue.taken + self.streams.taken:
            if impatient() or asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(POLL_SECONDS)
