"""The page at `/`: its files, the model made from the one that is served, and what a browser must be told with them.

Nothing here asks for a token: the page recognises in the tab and asks nothing of /v1.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response

from feltone.artifact import Artifact
from feltone.doors import browser
from feltone.doors.serve.faults import Fault

TYPES = {
    ".css": "text/css",
    ".flac": "audio/flac",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
HEADERS = browser.ISOLATION | {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_GOOD = "public, max-age=31536000, immutable"  # names below assets/ hold a digest of what is in them
ASK_AGAIN = "no-cache"


def site(sealed: Artifact) -> APIRouter:
    """The page's routes; where the page is not built, one line that says how to build it."""
    router = APIRouter(include_in_schema=False)
    if not browser.built():
        router.add_api_route("/", _missing, methods=["GET", "HEAD"])
        return router
    graph, record = browser.model_of(sealed)
    files = {address: file.read_bytes() for address, file in browser.page_files().items()}
    files |= {browser.GRAPH: graph, browser.RECORD: json.dumps(record).encode()}
    files[""] = files[browser.INDEX]
    common = HEADERS | {"Content-Security-Policy": policy(files[""].decode())}
    for address, content in files.items():
        router.add_api_route(f"/{address}", _file(address, content, common), methods=["GET", "HEAD"])
    return router


def policy(page: str) -> str:
    """What the page itself forbids its own scripts; a worker is held to it only by a header."""
    stated = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', page)
    if stated is None:
        raise ValueError("the page states no Content-Security-Policy: it was not built from web/")
    return f"{stated[1]}; frame-ancestors 'none'"


def _file(address: str, content: bytes, common: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    media_type = TYPES.get(Path(address or browser.INDEX).suffix, "application/octet-stream")
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    caching = FOR_GOOD if address.startswith("assets/") else ASK_AGAIN
    headers = common | {"ETag": tag, "Cache-Control": caching}

    async def file(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return file


async def _missing() -> Response:
    raise Fault(404, "no_page", "the page is not part of this installation", browser.REMEDY)
