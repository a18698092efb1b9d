"""The REST API and the search page."""

import argparse
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from service import api
from service.access import LOCAL_HOSTS, SECURITY_HEADERS, VERSIONED, AccessControl, UploadLimits, own_hosts
from service.bodies import add_forms
from service.failures import answer
from service.measuring import Measuring, health, metrics
from service.reloading import ServedCatalog
from similarity.data.images.decoding import UnreadableImageError
from similarity.data.images.query_images import start_decoders
from similarity.errors import UserError

_FOLDER = Path(__file__).parent
PAGE, DOCUMENTATION, EXAMPLES = _FOLDER / "page", _FOLDER / "documentation", _FOLDER / "examples.yaml"
_PAGE_FILES = StaticFiles(directory=PAGE, html=True)
_MAX_HEAD = 65_536  # bytes of a request before its body
_DESCRIPTION = """Which of the indexed images look like this one?

Every failure is answered with `{"code": "…", "detail": "…"}`: a word for programs, and a sentence. A parameter that a
call does not have is refused. Each call that takes a form takes JSON with the same fields as well (`application/json`),
with images in base64. Paths without the version mean the present one.
"""


def create_app(served: ServedCatalog, arguments: argparse.Namespace) -> FastAPI:
    """Create the service from what it answers from and the arguments of its command line."""
    app = FastAPI(
        title="Image similarity",
        description=_DESCRIPTION,
        version="1",
        openapi_url=f"{VERSIONED}openapi.json",
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # short, as generated clients make functions of it
    )
    app.state.served, app.state.token = served, arguments.token
    is_private = arguments.host in LOCAL_HOSTS and not arguments.allow_host
    app.state.takes_corrections = bool(arguments.token) or is_private
    app.include_router(api.router, dependencies=[Depends(_only_known_parameters)])
    app.get("/healthz", summary="Check whether the service is up", tags=["service"])(health)
    app.get("/metrics", include_in_schema=False)(metrics)
    app.get(f"{VERSIONED}docs", include_in_schema=False)(_to_documentation)
    documentation = StaticFiles(directory=DOCUMENTATION, packages=[("fastapi_offline", "static")], html=True)
    app.mount(f"{VERSIONED}docs", documentation)
    app.router.default = _page
    for kind in (RequestValidationError, HTTPException, UserError, UnreadableImageError, Exception):
        app.add_exception_handler(kind, _answer_error)
    _complete(app.openapi(), arguments.token)  # the document is kept
    max_bytes, room_bytes = int(arguments.max_upload_mb * 1e6), int(arguments.upload_room_mb * 1e6)
    MultiPartParser.spool_max_size = 2 * max_bytes  # larger uploads would go to a temporary file
    # The last one added is the first one asked.
    app.add_middleware(UploadLimits, max_bytes=max_bytes, room_bytes=room_bytes, seconds=arguments.upload_seconds)
    app.add_middleware(Measuring)
    app.add_middleware(AccessControl, token=arguments.token, origins=arguments.allow_origin)
    if arguments.allow_origin:
        allowed = ["authorization", "content-type"]
        app.add_middleware(CORSMiddleware, allow_origins=arguments.allow_origin, allow_methods=["GET", "POST"],
            allow_headers=allowed)  # fmt: skip
    hosts = own_hosts(arguments.host) + arguments.allow_host
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    start_decoders()
    return app


def _complete(document: dict[str, Any], token: str | None) -> None:
    """Add to the OpenAPI document what FastAPI does not know."""
    schemas = document["components"]["schemas"]
    add_forms(schemas)
    for model, example in yaml.safe_load(EXAMPLES.read_text(encoding="utf-8")).items():
        schemas[model]["examples"] = [example]
    if token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        document["paths"]["/healthz"]["get"]["security"] = []


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what is no call: with a file of the page, if there is one."""
    if scope["path"].removeprefix(scope.get("root_path", "")).startswith("/api/"):
        raise HTTPException(404)
    await _PAGE_FILES(scope, receive, send)


async def _only_known_parameters(request: Request) -> None:
    """Refuse query parameters that a call does not have, which would be ignored silently."""
    operation = request.app.openapi()["paths"][request.scope["route"].path_format][request.method.lower()]
    known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    if unknown := [name for name in request.query_params if name not in known]:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "input": None} for name in unknown]
        )


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    response = answer(error)
    if response.status_code == 405:  # the framework names the methods of one call only
        matching = [each for each in api.router.routes if each.matches(request.scope)[0] is not Match.NONE]
        methods = {method for each in matching for method in getattr(each, "methods", ())} or {"GET"}
        response.headers["allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    return response


async def _to_documentation() -> RedirectResponse:
    return RedirectResponse("docs/")


def server_config(app: ASGIApp, arguments: argparse.Namespace) -> uvicorn.Config:
    """Configure the server."""
    return uvicorn.Config(
        app,
        http="h11",  # the only one that limits the head of a request
        h11_max_incomplete_event_size=_MAX_HEAD,
        ws="none",
        limit_concurrency=arguments.max_connections,  # more are answered with 503
        timeout_keep_alive=arguments.idle_seconds,
        root_path=arguments.root_path,
        headers=list(SECURITY_HEADERS.items()),
        server_header=False,
        log_level="error",  # a client's bad request is no news
    )
