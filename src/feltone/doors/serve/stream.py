"""A live stream: the greeting says what comes, audio comes in messages of any size, answers go out at every interval.

    -> {"sample_rate": 48000, "format": "pcm16", "interval_ms": 250}
    -> 3a00 4100 …                                                       mono, little-endian
    <- {"time": 0.25, "label": "silence", "unsure": false, "scores": {…}, "speech": false}
    <- {"time": 0.5, "label": "anger", "unsure": false, "scores": {…}, "speech": true}

`time` is the audio heard so far in seconds; `label` speaks of the last four of them. What cannot go on is told in the
shape of all errors, `{"error": …}`, before the socket is closed with the error's code as its reason.
"""

import asyncio
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from fastapi import WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from feltone.audio import LOUDEST
from feltone.doors.hearing import Hearing, update
from feltone.doors.serve.faults import MALFORMED, Fault
from feltone.doors.serve.guard import SUBPROTOCOL
from feltone.doors.serve.logs import event
from feltone.doors.serve.service import Service
from feltone.features import Image, Waveform

FORMATS: dict[str, np.dtype[Any]] = {"pcm16": np.dtype("<i2"), "float32": np.dtype("<f4")}
FAREWELL_SECONDS = 1.0  # that a client has for its last message


class Greeting(BaseModel):
    """The first message of a stream."""

    model_config = ConfigDict(extra="forbid")
    sample_rate: int = Field(ge=8_000, le=192_000, description="Hz", examples=[48_000])
    format: Literal["pcm16", "float32"] = "pcm16"
    interval_ms: int = Field(250, ge=50, le=4_000, description="of audio between two answers")

    @property
    def interval_bytes(self) -> int:
        """Bytes of audio between two answers."""
        return round(self.sample_rate * self.interval_ms / 1e3) * int(FORMATS[self.format].itemsize)


def heard(hearing: Hearing, block: bytes, form: str) -> Image | None:
    """Hear a block of samples in one of the `FORMATS`; the image of the last seconds, or None while nobody speaks.

    Raises:
        Fault: the samples are no sound.
    """
    samples: Waveform = np.frombuffer(block, FORMATS[form]).astype(np.float32)
    if FORMATS[form].kind == "i":
        samples /= np.float32(1 << 15)
    elif not np.abs(samples).max(initial=0) <= LOUDEST:  # so written, NaN fails as well
        raise Fault(400, "not_sound", "NaN, infinite or impossible samples", "send float32 within +-1", MALFORMED)
    hearing.hear(samples)
    return hearing.image()


async def converse(socket: WebSocket, service: Service) -> None:
    """Serve one stream from its greeting to its end."""
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
    try:
        with service.streams.take(socket.client.host if socket.client else ""):
            async with service.until_leaving():
                await _Stream(socket, service).run()
    except WebSocketDisconnect:
        pass  # the usual end
    except Fault as fault:
        event("stream ended", reason=fault.code)
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await socket.send_json({"error": fault.described()})
                await socket.close(fault.close, fault.code)


class _Stream:
    def __init__(self, socket: WebSocket, service: Service) -> None:
        self._socket, self._service = socket, service
        self._begun = asyncio.get_running_loop().time()

    async def run(self) -> None:
        service, greeting = self._service, await self._greeting()
        rate, ear = greeting.sample_rate, service.voice.ear()
        hearing = await service.listen(Hearing, rate, ear, service.recognize.features)
        waiting, received, answered = bytearray(), 0, 0
        step, second = greeting.interval_bytes, rate * FORMATS[greeting.format].itemsize
        while True:
            data = await self._audio()
            waiting += data
            received += len(data)
            self._check_pace(received / second)
            while len(waiting) >= step:
                block = bytes(waiting[:step])
                del waiting[:step]
                image = await service.listen(heard, hearing, block, greeting.format)
                answered += step
                await self._answer(answered / second, image)

    async def _greeting(self) -> Greeting:
        message = await self._receive()
        try:
            return Greeting.model_validate_json(message.get("text") or b"")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            remedy = 'begin with {"sample_rate": 48000, "format": "pcm16" or "float32", "interval_ms": 250}'
            text = f"the first message is no greeting: {where + ': ' if where else ''}{first['msg']}"
            raise Fault(400, "bad_greeting", text, remedy, MALFORMED) from None

    async def _audio(self) -> bytes:
        data = (await self._receive()).get("bytes")
        if data is None:
            raise Fault(400, "not_audio", "a text message among the audio", "send audio as binary messages", MALFORMED)
        return bytes(data)

    async def _receive(self) -> dict[str, Any]:
        seconds = self._service.settings.idle_seconds
        try:
            async with asyncio.timeout(seconds):
                message = dict(await self._socket.receive())
        except TimeoutError:
            raise Fault(408, "idle", f"nothing came for {seconds:g} s", "open a stream when there is audio") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        return message

    def _check_pace(self, seconds: float) -> None:
        ahead = seconds - (asyncio.get_running_loop().time() - self._begun)
        if ahead > self._service.settings.ahead_seconds:
            message = f"the audio is {ahead:.1f} s ahead of real time"
            raise Fault(429, "too_fast", message, "send audio as it is heard; POST /v1/timeline takes recordings")

    async def _answer(self, time: float, image: Image | None) -> None:
        service = self._service
        chances = None if image is None else await service.batcher.recognise(image)
        service.metrics.updates.labels("false" if chances is None else "true").inc()
        answer = update(service.recognize, time, chances)
        seconds = service.settings.idle_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._socket.send_json(answer)
        except TimeoutError:
            raise Fault(408, "slow_client", f"answers lay unread for {seconds:g} s", "read them") from None
