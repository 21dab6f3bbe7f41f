"""The service as an ASGI application: what can be asked, and what stands before it.

GET  /               the page, where it was built
POST /v1/predict     recordings -> a prediction or an error for each
POST /v1/timeline    one recording -> windows over all of it
WS   /v1/stream      live audio -> a prediction every 250 ms
GET  /v1/model       what answers here, and how far to trust it
GET  /healthz        the process is up
GET  /readyz         a request that came now would be answered
GET  /metrics        for Prometheus
GET  /openapi.json   all of it, with examples
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware

from feltone import __version__
from feltone.doors.serve import answers, faults, recordings
from feltone.doors.serve.guard import Guard
from feltone.doors.serve.model import described
from feltone.doors.serve.observe import Observer
from feltone.doors.serve.service import Service
from feltone.doors.serve.site import site
from feltone.doors.serve.stream import converse
from feltone.doors.serve.uploads import received

SHORTEST_HOP = 0.25  # seconds: a shorter one would cost more than it shows


def application(service: Service) -> FastAPI:
    """The application around a service, which runs while the application does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    # No interactive pages: they would load their scripts from another site.
    app = FastAPI(title="Feltone", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    routes = [recognition(service), upkeep(service)]
    for router in routes:
        app.include_router(router)
    app.include_router(site(service.recognize.artifact))
    faults.install(app)
    paths = frozenset(route.path for router in routes for route in router.routes if hasattr(route, "path"))
    # The last added is the first asked: observed, then CORS (whose preflights carry no token), then guarded.
    app.add_middleware(Guard, service=service)
    if service.settings.origins:
        headers, origins = ["Authorization", "Content-Type"], list(service.settings.origins)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers)
    app.add_middleware(Observer, metrics=service.metrics, routes=paths | {"/", "/openapi.json"})
    return app


def recognition(service: Service) -> APIRouter:
    """What the service is for; asks for a token where one is set."""
    router = APIRouter(prefix="/v1", dependencies=_tokens(service))
    model = described(service.recognize)  # read and digested once

    @router.post(
        "/predict",
        response_model=answers.Predictions,
        responses=answers.refusals(400, 401, 408, 413, 415, 422, 429, 503),
        openapi_extra=_upload(answers.UPLOADS),
    )
    async def predict(request: Request) -> JSONResponse:
        """Recognise the first seconds of one recording or several."""
        async with received(request, service, service.settings.max_files) as files:
            with service.queue.take():
                return JSONResponse(await recordings.predict(service, files))

    @router.post(
        "/timeline",
        response_model=answers.Timeline,
        responses=answers.refusals(400, 401, 408, 413, 415, 422, 429, 503),
        openapi_extra=_upload(answers.UPLOAD),
    )
    async def timeline(request: Request, hop: Annotated[float, _hop(service)] = 1.0) -> JSONResponse:
        """Recognise windows over all of a recording."""
        async with received(request, service, 1) as (file,):
            with service.queue.take():
                return JSONResponse(await recordings.timeline(service, file, hop))

    @router.get("/model", response_model=answers.Model, responses=answers.refusals(401, 503))
    async def the_model() -> JSONResponse:
        """What answers here, where it comes from, and how far to trust it."""
        return JSONResponse(model)

    @router.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await converse(socket, service)

    return router


def upkeep(service: Service) -> APIRouter:
    """What those ask who keep the service running."""
    router = APIRouter()

    @router.get("/healthz", response_model=answers.State)
    async def healthz() -> JSONResponse:
        """Whether the process is up."""
        return JSONResponse({"status": "ok"})

    @router.get("/readyz", response_model=answers.State, responses=answers.refusals(429, 503))
    async def readyz() -> JSONResponse:
        """Whether a request that came now would be answered."""
        if service.leaving:
            raise faults.draining()
        service.queue.check()
        service.uploads.check()
        return JSONResponse({"status": "ready"})

    @router.get(
        "/metrics",
        response_class=Response,
        responses=answers.refusals(401) | answers.PROMETHEUS,
        dependencies=_tokens(service),
    )
    async def metrics() -> Response:
        """What the service counted, for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def _hop(service: Service) -> Any:
    longest = service.recognize.features.clip_seconds
    return Query(ge=min(SHORTEST_HOP, longest), le=longest, description="seconds between window starts")


def _upload(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _tokens(service: Service) -> list[Any]:
    """Says in /openapi.json that a token is asked for; the guard is who asks."""
    return [Depends(HTTPBearer(auto_error=False))] if service.settings.tokens else []
