"""Who may come in: tokens, origins of pages, and nobody new once the service is stopping."""

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from feltone.doors.serve.faults import RULE, Fault, draining, unauthorised
from feltone.doors.serve.service import Service

GUARDED = ("/v1/", "/metrics")
SUBPROTOCOL = "bearer"
"""A page cannot set headers on a WebSocket: it offers the subprotocols "bearer" and its token instead."""


class Guard:
    """ASGI middleware that answers for what it turns away."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._tokens = Tokens(service.settings.tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before a byte of its body is read."""
        fault = self._fault(scope) if scope["type"] in ("http", "websocket") else None
        if fault is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(fault.response())
        else:
            await fault.response()(scope, receive, send)

    def _fault(self, scope: Scope) -> Fault | None:
        if not scope["path"].startswith(GUARDED):
            return None
        headers = Headers(scope=scope)
        if not self._tokens.admit(presented(scope, headers)):
            return unauthorised()
        if scope["type"] == "websocket" and not self._welcome(headers):
            remedy = "open it from this service's own page, or have its owner allow your origin"
            return Fault(403, "foreign_origin", "a page of another site asks for a stream", remedy, RULE)
        return draining() if self._service.leaving and scope["path"].startswith("/v1/") else None

    def _welcome(self, headers: Headers) -> bool:
        """Browsers hold HTTP to CORS but let any page open a WebSocket to anywhere, this machine included."""
        origin = headers.get("origin")
        if origin is None or origin in self._service.settings.origins or "*" in self._service.settings.origins:
            return True
        return urlsplit(origin).netloc == headers.get("host")


class Tokens:
    """Tokens as digests, so that comparing takes the same time whatever is presented."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def admit(self, token: str | None) -> bool:
        """Whether a token opens the door; without tokens it stands open."""
        if not self._digests:
            return True
        digest = _digest(token or "")
        return any([hmac.compare_digest(digest, known) for known in self._digests])  # noqa: C419 - no early end


def presented(scope: Scope, headers: Headers) -> str | None:
    """The token of a request: from its header, or from the subprotocols of a WebSocket."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    offered = scope.get("subprotocols", [])
    return offered[1] if len(offered) == 2 and offered[0] == SUBPROTOCOL else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
