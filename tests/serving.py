"""A real server for tests: in a thread, on a free port of this machine, stopped with the block."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

import feltone
from feltone.doors.serve.server import Server, listening
from feltone.doors.serve.service import Service
from feltone.doors.serve.settings import Settings
from feltone.recognizer import Recognizer

CLIPS = Path(feltone.__file__).parent / "clips"
PATIENCE_SECONDS = 60  # after which something that should happen has not


@dataclass
class Running:
    """A server, and what a test asks of it."""

    url: str
    service: Service
    server: Server
    thread: threading.Thread

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS, verify=False, **options)  # no TLS to set up

    def post(self, path: str, *files: Path | bytes, **options: Any) -> httpx.Response:
        parts = [
            ("file", (f"{k}.bin", file if isinstance(file, bytes) else file.read_bytes()))
            for k, file in enumerate(files)
        ]
        with self.client() as client:
            return client.post(path, files=parts, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)

    def stream(self, **options: Any) -> ClientConnection:
        return connect(self.url.replace("http", "ws") + "/v1/stream", **options)

    def stop(self) -> None:
        self.server.should_exit = True


@contextmanager
def serving(recognize: Recognizer, **limits: Any) -> Iterator[Running]:
    """A server with some limits, drained when the block ends."""
    settings = Settings(port=0, **limits)
    service = Service(recognize, settings)
    with listening(settings) as listener:
        server = Server(service)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        port = listener.getsockname()[1]
        try:
            until(lambda: server.started)
            yield Running(f"http://127.0.0.1:{port}", service, server, thread)
        finally:
            server.should_exit = True
            thread.join()


def until(true: Callable[[], bool]) -> None:
    """Wait for something that must come about."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def told(response: httpx.Response, status: int, code: str) -> dict[str, str]:
    """The error of a response, which has the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert set(document) == {"error"} and document["error"]["code"] == code
    assert {"code", "message", "remedy"} <= set(document["error"]) <= {"code", "message", "remedy", "files"}
    assert all(document["error"][key] and "\n" not in document["error"][key] for key in ("code", "message", "remedy"))
    error: dict[str, str] = document["error"]
    return error
