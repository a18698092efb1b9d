"""The REST API and the search page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.formparsers import MultiPartParser
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from service import finding_calls, image_calls, search_calls, service_calls
from service.access import SECURITY_HEADERS, CloseAfterErrors, HeadAsGet, OwnPagesOnly, TokenRequired
from service.dependencies import only_known_parameters, query_parameters
from service.failures import answer_failures
from service.limits import UploadLimits, UploadRules
from service.reloading import ServedCatalog
from similarity.images.query_images import start_decoders

_FOLDER = Path(__file__).parent
PAGE, DOCUMENTATION, EXAMPLES = _FOLDER / "page", _FOLDER / "documentation", _FOLDER / "examples.yaml"
_UPLOAD_THREADS = 32  # a batch of the model is gathered from them
_MAX_HEAD = 65_536  # bytes of a request before its body
_DESCRIPTION = """Which of the indexed images look like this one?

Every failure is answered with `{"detail": "…"}`, a sentence. A parameter that a call does not have is refused.
"""


def create_app(served: ServedCatalog, hosts: Sequence[str], rules: UploadRules, token: str | None) -> FastAPI:
    """Create the service.

    Args:
        served: what to answer from.
        hosts: names and addresses that it may be addressed by; ``*.example.org`` is all below that one, ``*`` any.
        rules: for uploads.
        token: required for the API; None for an API that is open to all.
    """
    app = FastAPI(
        title="Image similarity",
        description=_DESCRIPTION,
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        lifespan=served.reloading_on_signal,
    )
    app.state.served = served
    app.state.token = token
    app.state.upload_threads = CapacityLimiter(_UPLOAD_THREADS)
    for each in (search_calls, image_calls, finding_calls, service_calls):
        app.include_router(each.router, prefix="/api", dependencies=[Depends(only_known_parameters)])
    app.get("/healthz", summary="Check whether the service is up", tags=["service"])(service_calls.health)
    app.get("/api/docs", include_in_schema=False)(_to_documentation)
    app.mount("/api/docs", StaticFiles(directory=DOCUMENTATION, packages=[("fastapi_offline", "static")], html=True))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    answer_failures(app)
    _add_examples(app.openapi())  # the document is kept
    app.state.query_parameters = query_parameters(app.openapi())
    MultiPartParser.spool_max_size = 2 * rules.max_bytes  # larger uploads would go to a temporary file
    _add_protection(app, hosts, rules, token)
    start_decoders()
    return app


def _add_protection(app: FastAPI, hosts: Sequence[str], rules: UploadRules, token: str | None) -> None:
    app.add_middleware(UploadLimits, rules=rules)  # the last one added is the first one asked
    app.add_middleware(HeadAsGet)
    if token is not None:
        app.add_middleware(TokenRequired, token=token)
    app.add_middleware(OwnPagesOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(CloseAfterErrors)


def server_config(app: ASGIApp, max_connections: int, idle_seconds: int, root_path: str) -> uvicorn.Config:
    """Configure the server.

    Args:
        app: the service.
        max_connections: more are answered with 503.
        idle_seconds: after which a connection without a request is closed.
        root_path: prefix of all paths that a proxy in front takes away, empty for none.
    """
    return uvicorn.Config(
        app,
        http="h11",  # the only one that limits the head of a request
        h11_max_incomplete_event_size=_MAX_HEAD,
        ws="none",
        limit_concurrency=max_connections,
        timeout_keep_alive=idle_seconds,
        root_path=root_path,
        headers=list(SECURITY_HEADERS.items()),
        server_header=False,
        log_level="error",  # a client's bad request is no news
    )


def _add_examples(document: dict[str, Any]) -> None:
    for model, example in yaml.safe_load(EXAMPLES.read_text(encoding="utf-8")).items():
        document["components"]["schemas"][model]["examples"] = [example]


async def _to_documentation() -> RedirectResponse:
    return RedirectResponse("docs/")


def _operation_id(route: APIRoute) -> str:
    return route.name  # short, as it becomes a function's name in generated clients
