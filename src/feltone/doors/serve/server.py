"""The process: listens, serves until it is told to stop, and stops without dropping what it has begun."""

import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import uvicorn

from feltone.doors.serve import logs
from feltone.doors.serve.app import application
from feltone.doors.serve.logs import event
from feltone.doors.serve.service import Service
from feltone.doors.serve.settings import Settings
from feltone.errors import ConfigError
from feltone.recognizer import from_model

SEND_BUFFER = 1 << 16  # bytes the system keeps for a client that does not read, before a stream notices
LARGEST_MESSAGE = 1 << 20  # bytes of one WebSocket message
CUT_OFF_SECONDS = 10.0  # that a client has to read why it was sent away
PING_SECONDS = 20.0  # between two pings of a stream, and for its answer
LAST_WORDS_SECONDS = 5  # for connections to close once nothing is under way


def run(model: str | None, settings: Settings) -> int:
    """Serve a model until SIGINT or SIGTERM; the exit code.

    Raises:
        ConfigError: the address cannot be had.
        ArtifactError: the model cannot be loaded.
    """
    recognize = from_model(model, precision=settings.precision, threads=settings.threads)
    config = recognize.features
    recognize.images(np.full((1, config.mel_bands, config.columns), 0.5, np.float32))  # the first run is a slow one
    service = Service(recognize, settings)
    with listening(settings) as listener:
        logs.install()
        if settings.open_to_all:
            event("open to other machines without a token; set FELTONE_TOKENS", logging.WARNING, host=settings.host)
        Server(service).run([listener])
    event("stopped")
    return 0


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket at the address of the settings."""
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except OSError as fault:
        where = f"{settings.host}:{settings.port}"
        raise ConfigError(f"{where}: cannot listen there ({fault.strerror}); choose another host or port") from None
    with listener:
        # What is set here holds for every connection: one that reads nothing is soon felt, and in time cut off.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # asyncio sets this only on sockets that name their protocol; without it an answer's body waits 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            patience = round(1e3 * (settings.idle_seconds + CUT_OFF_SECONDS))
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)
        yield listener


class Server(uvicorn.Server):
    """uvicorn, but when told to stop it first answers what is running, and tells newcomers to come back later."""

    def __init__(self, service: Service) -> None:
        super().__init__(
            uvicorn.Config(
                application(service),
                log_config=None,
                access_log=False,
                lifespan="on",
                server_header=False,
                ws_max_size=LARGEST_MESSAGE,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                ws_per_message_deflate=False,  # audio does not shrink, and answers are short
                timeout_graceful_shutdown=LAST_WORDS_SECONDS,
            )
        )
        self._service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM; unlike uvicorn's own, a stop that went well is no death by signal."""
        try:
            before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever started us sets `should_exit`
            yield
            return
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where, once requests and signals are heeded."""
        await super().startup(sockets)
        for host, port, *_ in (one.getsockname() for one in sockets or []):
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            event("listening", url=url, model=self._service.recognize.artifact.name)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then close."""
        event("draining")
        self._service.leave()
        await self._service.left(impatient=lambda: self.force_exit)
        await super().shutdown(sockets)
