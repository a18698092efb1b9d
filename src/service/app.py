"""The REST API and the search page."""

import argparse
from pathlib import Path

import uvicorn
import yaml
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.formparsers import MultiPartParser
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from service import api
from service.access import SECURITY_HEADERS, AccessControl, UploadLimits, own_hosts
from service.reloading import ServedCatalog
from similarity.data.images.query_images import start_decoders

_FOLDER = Path(__file__).parent
PAGE, DOCUMENTATION, EXAMPLES = _FOLDER / "page", _FOLDER / "documentation", _FOLDER / "examples.yaml"
_MAX_HEAD = 65_536  # bytes of a request before its body
_DESCRIPTION = """Which of the indexed images look like this one?

Every failure is answered with `{"detail": "…"}`, a sentence. A parameter that a call does not have is refused.
"""


def create_app(served: ServedCatalog, arguments: argparse.Namespace) -> FastAPI:
    """Create the service from what it answers from and the arguments of its command line."""
    app = FastAPI(
        title="Image similarity",
        description=_DESCRIPTION,
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # short, as generated clients make functions of it
    )
    app.state.served = served
    app.state.token = arguments.token
    app.include_router(api.router, dependencies=[Depends(_only_known_parameters)])
    app.get("/healthz", summary="Check whether the service is up", tags=["service"])(api.health)
    app.get("/api/docs", include_in_schema=False)(_to_documentation)
    app.mount("/api/docs", StaticFiles(directory=DOCUMENTATION, packages=[("fastapi_offline", "static")], html=True))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    app.add_exception_handler(RequestValidationError, _answer_error)
    for kind in api.REPLIES:
        app.add_exception_handler(kind, _answer_error)
    for model, example in yaml.safe_load(EXAMPLES.read_text(encoding="utf-8")).items():
        app.openapi()["components"]["schemas"][model]["examples"] = [example]  # the document is kept
    max_bytes, room_bytes = int(arguments.max_upload_mb * 1e6), int(arguments.upload_room_mb * 1e6)
    MultiPartParser.spool_max_size = 2 * max_bytes  # larger uploads would go to a temporary file
    # The last one added is the first one asked.
    app.add_middleware(UploadLimits, max_bytes=max_bytes, room_bytes=room_bytes, seconds=arguments.upload_seconds)
    hosts = own_hosts(arguments.host) + arguments.allow_host
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(AccessControl, token=arguments.token)
    start_decoders()
    return app


async def _only_known_parameters(request: Request) -> None:
    """Refuse query parameters that a call does not have, which would be ignored silently."""
    operation = request.app.openapi()["paths"][request.scope["route"].path_format][request.method.lower()]
    known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    if unknown := [name for name in request.query_params if name not in known]:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "input": None} for name in unknown]
        )


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    status, detail = api.reply_to(error)
    return JSONResponse({"detail": detail}, status)


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
