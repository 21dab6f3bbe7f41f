"""What is fuzzed: each target is given any bytes, and may answer or refuse them, but nothing else.

    audio       a recording, decoded to its end or for two minutes
    manifest    a table of recordings in one of its four forms
    artifact    one of a model's files: description, graph, weights, ledger
    multipart   the body of an upload, or a file in a well-formed one
    websocket   the messages of a live stream

A `FeltoneError` of one line is a refusal, and so is a status from 400 to 499 in the one shape of all errors, or a
closed socket. Everything else that escapes is a crash.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import feltone
from feltone import artifact, audio, checks, graph
from feltone.doors import tables
from feltone.doors.serve.app import application
from feltone.doors.serve.service import Service
from feltone.doors.serve.settings import Settings
from feltone.errors import FeltoneError
from feltone.lab import ledger
from feltone.lab.corpora import manifest, rows

CHUNKS = 120  # of a second of sound
MULTIPART = {"content-type": "multipart/form-data; boundary=cut"}


class refused:  # noqa: N801 - a word in a sentence: with refused()
    """A block that may end with a refusal, which is one line."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: object) -> bool:
        if not isinstance(fault, FeltoneError):
            return False
        assert str(fault) and str(fault).isprintable()
        return True


def sound(data: bytes) -> None:
    """Decode a recording."""
    with refused():
        for chunk in islice(audio.stream(data), CHUNKS):
            assert chunk.dtype == np.float32 and chunk.ndim == 1 and np.isfinite(chunk).all()


def table(data: bytes) -> None:
    """Read a table as a manifest, and as what `predict` is given; its first byte chooses the form."""
    kind = sorted(rows.READERS)[data[0] % len(rows.READERS)] if data else ".csv"
    file = scratch() / f"table{kind}"
    file.write_bytes(data[1:])
    with refused():
        manifest.read(file)
    with refused():
        read = tables.read(file)
        tables.spans(read, None)
        list(read.records())


def model(data: bytes) -> None:
    """Load a file of a model; its first byte chooses which."""
    folder, which = scratch(), data[0] % 4 if data else 0
    content = data[1:]
    with refused():
        if which == 0:
            (folder / artifact.DESCRIPTION).write_bytes(content)
            described = artifact.described(folder)
            with refused():
                assert all(isinstance(one, int) for one in described.patches)
        elif which == 1:
            (folder / "model.onnx").write_bytes(content)
            loaded = graph.session(folder / "model.onnx", 1)
            graph.check_contract(folder / "model.onnx", loaded, 128, 128, 7)
        elif which == 2:
            (folder / checks.WEIGHTS).write_bytes(content)
            checks.safetensors_header(folder / checks.WEIGHTS)
        else:
            (folder / ledger.FILE).write_bytes(content)
            ledger.read(folder)


def upload(data: bytes) -> None:
    """Send the body of an upload; its first byte chooses where to, and whether the rest is the body or a file in it."""
    way = data[0] if data else 0
    body = data[1:]
    if way & 2:
        head = b'--cut\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        body = head + body + b"\r\n--cut--\r\n"
    answer = asked_service("/v1/timeline" if way & 1 else "/v1/predict", body)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
    document = answer.json()
    assert ("error" in document) == (answer.status_code != 200)


def stream(data: bytes) -> None:
    """Hold a live stream: messages of (kind, length, content), from the greeting on."""
    messages: list[dict[str, Any]] = []
    while len(data) > 2:
        kind, size = data[0], int.from_bytes(data[1:3], "little")
        content, data = data[3 : 3 + size], data[3 + size :]
        if kind % 2:
            messages.append({"type": "websocket.receive", "bytes": content})
        else:
            messages.append({"type": "websocket.receive", "text": content.decode("utf-8", "replace")})
    sent = streamed(messages)
    assert sent[0]["type"] == "websocket.accept"
    for one in sent[1:]:
        if one["type"] == "websocket.send":
            assert isinstance(json.loads(one["text"]), dict)
    assert all(one.get("code", 1000) != 1011 for one in sent), "1011 is a fault of ours"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "audio": sound,
    "manifest": table,
    "artifact": model,
    "multipart": upload,
    "websocket": stream,
}


@cache
def scratch() -> Path:
    """A folder for what must be a file, in memory where there is a place."""
    home = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="feltone-fuzz-", dir=home if home.is_dir() else None))


@cache
def running() -> tuple[asyncio.AbstractEventLoop, Any]:
    """A service in this process: its event loop, and the application."""
    loop = asyncio.new_event_loop()
    limits = {"max_seconds": 120.0, "idle_seconds": 5.0, "ahead_seconds": 60.0, "decode_seconds": 20.0}
    service = Service(feltone.load(precision="int8", threads=1), Settings(**limits))
    app = application(service)
    loop.run_until_complete(service.__aenter__())
    return loop, app


def stop() -> None:
    """End the service where there is one."""
    if running.cache_info().currsize:
        loop, app = running()
        service = app.user_middleware[-1].kwargs["service"]
        loop.run_until_complete(service.__aexit__(None, None, None))
        loop.close()
        running.cache_clear()


def asked_service(path: str, body: bytes) -> httpx.Response:
    """The service's answer to a request."""
    loop, app = running()

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://fuzz") as client:
            return await client.post(path, content=body, headers=MULTIPART)

    return loop.run_until_complete(ask())


def streamed(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the service sends in a stream of messages."""
    loop, app = running()
    coming = iter([{"type": "websocket.connect"}, *messages, {"type": "websocket.disconnect", "code": 1000}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return next(coming, {"type": "websocket.disconnect", "code": 1000})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket", "path": "/v1/stream", "raw_path": b"/v1/stream", "query_string": b"", "headers": [],
        "subprotocols": [], "scheme": "ws", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        "asgi": {"version": "3.0"}, "http_version": "1.1", "root_path": "", "extensions": {},
    }  # fmt: skip
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(app(scope, receive, send))
    return sent
