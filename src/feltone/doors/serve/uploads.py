"""An upload: received in bounds of size, number and time, spooled to disk beyond a megabyte, gone with its request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request, UploadFile
from starlette.datastructures import UploadFile as Spooled
from starlette.exceptions import HTTPException
from starlette.types import Message

from feltone.doors.serve.faults import Fault
from feltone.doors.serve.service import Service

SHOW = "send multipart/form-data with a file, as in: curl -F file=@clip.wav"


@asynccontextmanager
async def received(request: Request, service: Service, most: int) -> AsyncIterator[list[Spooled]]:
    """The files of a multipart request, at most `most`; closed with the block.

    Raises:
        Fault: 429 no place; 415 not multipart; 413 too large or too many; 408 too slow; 400 or 422 no files in it.
    """
    service.queue.check()
    settings = service.settings
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise Fault(415, "not_multipart", "the body is not multipart/form-data", SHOW)
    with service.uploads.take():
        bounded = Request(request.scope, _bounded(request, settings.max_upload_bytes))
        try:
            async with asyncio.timeout(settings.upload_seconds):
                form = await bounded.form(max_files=most, max_fields=1)
        except TimeoutError:
            message = f"the body did not arrive within {settings.upload_seconds:g} s"
            raise Fault(408, "too_slow", message, "send a smaller one", headers={"Connection": "close"}) from None
        except HTTPException as refusal:
            raise _malformed(refusal, most) from None
    try:
        values = [value for _, value in form.multi_items()]
        files = [value for value in values if isinstance(value, Spooled)]
        if not files or len(files) < len(values):
            raise Fault(422, "no_file", "a part of the body is no file" if values else "the body holds no file", SHOW)
        yield files
    finally:
        await form.close()


def name_of(file: UploadFile | Spooled) -> str:
    """The name a client gave a file, fit to be sent back."""
    return (file.filename or "").encode("utf-8", "replace").decode()


def _malformed(refusal: HTTPException, most: int) -> Fault:
    text = str(refusal.detail)
    if text.startswith("Too many files"):
        return Fault(413, "too_many_files", f"more than {most} files in one request", f"send {most} at a time")
    return Fault(400, "malformed", f"the body cannot be read: {text}", SHOW)


class _bounded:  # noqa: N801 - a function with a memory
    """ASGI's `receive`, refusing a body as soon as it is known to be too large."""

    def __init__(self, request: Request, limit: int) -> None:
        self._receive, self._limit, self._seen = request.receive, limit, 0
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > limit:
            raise self._refusal()

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            raise self._refusal()
        return message

    def _refusal(self) -> Fault:
        remedy = "send a shorter recording, or a compressed one (flac, opus)"
        message = f"the body is larger than {self._limit} bytes"
        return Fault(413, "too_large", message, remedy, headers={"Connection": "close"})
