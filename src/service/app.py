"""The REST API and the search page."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp

from service import finding_calls, image_calls, search_calls, service_calls
from service.access import BelowPrefix, HeadAsGet, KnownHosts, OwnPagesOnly, TokenRequired
from service.dependencies import only_known_parameters, query_parameters
from service.examples import add_examples
from service.failures import answer_failures
from service.limits import SecurityHeaders, UploadLimits, UploadRules
from service.reloading import ServedCatalog

PAGE, DOCUMENTATION = Path(__file__).parent / "page", Path(__file__).parent / "documentation"
_UPLOAD_THREADS = 32  # what a batch of the model can be gathered from
_DESCRIPTION = """Which of the indexed images look like this one?

Every failure is answered with `{"detail": "…"}`, a sentence. A parameter that a call does not have is refused.
"""


class Place(NamedTuple):
    """How the service is reached.

    Attributes:
        hosts: names that it may be addressed by; see `KnownHosts`.
        any_address: whether it may be addressed by any IP address.
        prefix: of all its paths where a proxy has it; empty for none.
    """

    hosts: Sequence[str]
    any_address: bool
    prefix: str


def create_app(served: ServedCatalog, place: Place, rules: UploadRules, token: str | None) -> ASGIApp:
    """Makes the service.

    Args:
        served: what to answer from.
        place: how it is reached.
        rules: of uploads.
        token: that the API is to be asked with; None for an API that is open to all.
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
    app.get("/healthz", summary="Tell whether the service is up", tags=["service"])(service_calls.health)
    app.get("/api/docs", include_in_schema=False)(_to_documentation)
    app.mount("/api/docs", StaticFiles(directory=DOCUMENTATION, packages=[("fastapi_offline", "static")], html=True))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    answer_failures(app)
    add_examples(app.openapi())  # which is kept
    app.state.query_parameters = query_parameters(app.openapi())
    MultiPartParser.spool_max_size = 2 * rules.max_bytes  # above it, uploads would go to a temporary file
    app.add_middleware(UploadLimits, rules=rules)  # the last that is added is the first that is asked
    app.add_middleware(HeadAsGet)
    if token is not None:
        app.add_middleware(TokenRequired, token=token)
    app.add_middleware(OwnPagesOnly)
    if place.prefix:
        app.add_middleware(BelowPrefix, prefix=place.prefix)
    app.add_middleware(KnownHosts, names=place.hosts, any_address=place.any_address)
    return SecurityHeaders(app)  # around all of it, also around what answers when something went wrong


async def _to_documentation() -> RedirectResponse:
    return RedirectResponse("docs/")


def _operation_id(route: APIRoute) -> str:
    return route.name  # short, as it becomes the name of a function in the clients that are made of the document
