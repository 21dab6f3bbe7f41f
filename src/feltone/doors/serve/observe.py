"""Every request counted, timed and logged by its route and status; what it carried is not looked at."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feltone.doors.serve.logs import event
from feltone.doors.serve.metrics import Metrics

ELSEWHERE = "other"  # route of paths that do not exist: or every scan would add a label
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds by machines: counted, not logged


class Observer:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it ended."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500  # unless an answer says otherwise

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._note(scope, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in self._routes else ELSEWHERE
        self._metrics.requests.labels(route, str(status)).inc()
        if scope["type"] == "http":  # how long a stream lasts is no latency
            self._metrics.latency.labels(route).observe(seconds)
        if route not in QUIET:
            method = scope.get("method", "WEBSOCKET")
            event("request", route=route, method=method, status=status, seconds=round(seconds, 4))
