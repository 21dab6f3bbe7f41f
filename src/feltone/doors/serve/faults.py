"""What a request can be told off for: one shape for every refusal, over HTTP and over WebSocket.

    {"error": {"code": "queue_full", "message": "64 requests are being answered", "remedy": "try again in a second"}}

`code` is for programs and does not change; `message` is the fault and `remedy` what to do about it, for people.
"""

from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from feltone.errors import FeltoneError, MissingExtraError

# How a WebSocket is closed (RFC 6455): what it sent makes no sense, breaks a rule, or must be sent again later.
GONE, MALFORMED, RULE, RESTART, LATER = 1000, 1007, 1008, 1012, 1013


@dataclass
class Fault(Exception):  # noqa: N818 - the word of this house for what a user can mend
    """A request that is refused, and how: HTTP status and WebSocket close code."""

    status: int
    code: str
    message: str
    remedy: str
    close: int = RULE
    headers: dict[str, str] = field(default_factory=dict)
    files: list[dict[str, Any]] | None = None  # one by one, where a request held several

    def described(self) -> dict[str, Any]:
        """What stands under "error"."""
        what: dict[str, Any] = {"code": self.code, "message": self.message, "remedy": self.remedy}
        return what if self.files is None else what | {"files": self.files}

    def response(self) -> JSONResponse:
        """The answer over HTTP."""
        return JSONResponse({"error": self.described()}, self.status, self.headers)


def unauthorised() -> Fault:
    """No token, or one that is not known; which of the two is not said."""
    remedy = "send the header 'Authorization: Bearer TOKEN' with a token you were given"
    return Fault(401, "unauthorised", "this service asks for a token", remedy, headers={"WWW-Authenticate": "Bearer"})


def draining() -> Fault:
    """The service is about to stop."""
    remedy = "try again in a few seconds"
    return Fault(503, "draining", "the service is stopping", remedy, RESTART, {"Retry-After": "5"})


def busy(code: str, message: str, seconds: int = 1) -> Fault:
    """A limit on what happens at once is reached."""
    remedy = f"try again in {seconds} s"
    return Fault(429, code, message, remedy, LATER, {"Retry-After": str(seconds)})


def unreadable(error: FeltoneError, source: str = "") -> Fault:
    """A recording the core refuses, without the name it was given here."""
    message = str(error).removeprefix(f"{source}: ")
    if isinstance(error, MissingExtraError):
        remedy = "send wav, flac, ogg, opus or mp3; other containers need feltone[media] on the server"
        return Fault(415, "unsupported", message.partition(": pip install")[0], remedy)
    return Fault(422, "unreadable", message, "send a recording that plays: wav, flac, ogg, opus, mp3")


def install(app: FastAPI) -> None:
    """Give every refusal of this application, the framework's own included, the one shape."""

    @app.exception_handler(Fault)
    async def told(_: Request, fault: Fault) -> JSONResponse:
        return fault.response()

    @app.exception_handler(HTTPException)
    async def refused(_: Request, refusal: HTTPException) -> JSONResponse:
        return _framework(refusal).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Fault(422, "invalid", f"{where}: {first['msg']}", "see /openapi.json for what may be asked").response()

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return Fault(400, "disconnected", "the request ended before its body did", "send all of it").response()

    @app.exception_handler(Exception)
    async def ours(_: Request, __: Exception) -> JSONResponse:
        return Fault(500, "fault", "a fault of ours; the log holds the traceback", "report it").response()


def _framework(refusal: HTTPException) -> Fault:
    known = {
        404: ("no_such_path", "see /openapi.json for the paths there are"),
        405: ("wrong_method", "see /openapi.json for the methods of this path"),
        400: ("malformed", "send multipart/form-data with a file, as in: curl -F file=@clip.wav"),
    }
    code, remedy = known.get(refusal.status_code, ("refused", "see /openapi.json"))
    headers = dict(refusal.headers or {})
    return Fault(refusal.status_code, code, str(refusal.detail), remedy, headers=headers)
