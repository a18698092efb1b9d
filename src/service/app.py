"""The REST API and the search page as one application."""

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import api, findings
from service.access import API, LOCAL_HOSTS, AccessControl, Failure, UploadLimits, answer, own_hosts
from service.catalog import Served
from service.schema import Health
from similarity.data.images.decoding import UnreadableImageError
from similarity.data.images.query_images import start_decoders
from similarity.errors import UserError

_FOLDER = Path(__file__).parent
_PAGE = StaticFiles(directory=_FOLDER / "page", html=True)
_DOCUMENTATION = StaticFiles(
    directory=_FOLDER / "documentation", packages=[("fastapi_offline", "static")], html=True
)  # FastAPI's own pages load their scripts from elsewhere
_DESCRIPTION = """Which of the indexed images look like this one?

Every failure is answered with `{"code": "…", "detail": "…"}`: a word for programs, and a sentence. A parameter that a
call does not have is refused. Each call that takes a form takes JSON with the same fields as well (`application/json`),
with images in base64. Paths without the version mean the present one.
"""
_SECONDS = Histogram("similarity_request_seconds", "Time from a request to the end of its answer.", ["call", "status"])
_IMAGES = Gauge("similarity_images", "Images that are searched.")


def create_app(served: Served, arguments: argparse.Namespace) -> FastAPI:
    """Create the service from what it answers from and the arguments of its command line."""
    app = FastAPI(
        title="Image similarity",
        description=_DESCRIPTION,
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # short, as generated clients make functions of it
    )
    app.state.served, app.state.token = served, arguments.token
    is_private = arguments.host in LOCAL_HOSTS and not arguments.allow_host
    app.state.takes_corrections = bool(arguments.token) or is_private
    failures: dict[int | str, dict[str, Any]] = {each: {"model": Failure} for each in ("4XX", "5XX")}
    for router in (api.router, findings.router):
        app.include_router(router, dependencies=[Depends(_only_known)], responses=failures)
    app.get("/healthz", summary="Check whether the service is up", tags=["service"])(_health)
    _IMAGES.set_function(lambda: len(served.current.engine))
    app.get("/metrics", include_in_schema=False)(_metrics)
    app.mount(f"{API}/docs", _DOCUMENTATION)
    app.router.default = _page
    for kind in (RequestValidationError, HTTPException, UserError, UnreadableImageError, Exception):
        app.add_exception_handler(kind, _answer_error)
    _complete(app.openapi(), arguments.token)  # the document is kept
    max_bytes, room_bytes = int(arguments.max_upload_mb * 1e6), int(arguments.upload_room_mb * 1e6)
    MultiPartParser.spool_max_size = 2 * max_bytes  # larger uploads would go to a temporary file
    # The last one added is the first one asked.
    app.add_middleware(UploadLimits, max_bytes=max_bytes, room_bytes=room_bytes, seconds=arguments.upload_seconds)
    app.add_middleware(_Measuring)
    app.add_middleware(AccessControl, token=arguments.token, origins=arguments.allow_origin)
    if arguments.allow_origin:
        headers = ["authorization", "content-type"]
        origins, methods = arguments.allow_origin, ["GET", "POST"]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=headers)
    hosts = own_hosts(arguments.host) + arguments.allow_host
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    start_decoders()
    return app


def _complete(document: dict[str, Any], token: str | None) -> None:
    """Add to the OpenAPI document what FastAPI does not know."""
    for model, example in yaml.safe_load((_FOLDER / "examples.yaml").read_bytes()).items():
        document["components"]["schemas"][model]["examples"] = [example]
    if token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        document["paths"]["/healthz"]["get"]["security"] = []


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what is no call: with a file of the page, if there is one."""
    if scope["path"].removeprefix(scope.get("root_path", "")).startswith("/api/"):
        raise HTTPException(404)
    await _PAGE(scope, receive, send)


async def _only_known(request: Request) -> None:
    """Refuse query parameters that a call does not have, which would be ignored silently."""
    operation = request.app.openapi()["paths"][request.scope["route"].path_format][request.method.lower()]
    known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    if unknown := [name for name in request.query_params if name not in known]:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "input": None} for name in unknown]
        )


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    return answer(error)


async def _health() -> Health:
    """Answer as soon as the model is loaded."""
    return Health(status="ok")


async def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class _Measuring:
    """Measure each request under the name of its call; all others, such as files of the page, are `other`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, status = perf_counter(), 500

        async def send_measured(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, send_measured)
        finally:
            call = getattr(scope.get("route"), "name", None) or "other"
            _SECONDS.labels(call, status).observe(perf_counter() - start)
