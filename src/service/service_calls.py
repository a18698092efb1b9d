"""Calls about the service itself."""

from fastapi import APIRouter, Request, Response

from service.access import COOKIE, cookie_value
from service.dependencies import Served, Token
from service.failures import failures
from service.info import BesideInfo, Info
from service.reloading import ServedCatalog
from service.schema import Health

router = APIRouter(tags=["service"])


@router.get("/info", responses=failures(422), summary="Describe what is served")
async def get_info(served: Served) -> Info:
    """Describe the model, the data, their versions by hash, the metrics, and the limits."""
    now = {"out_of_date": await served.is_out_of_date(), "beside": _beside(served)}
    return served.current.info.model_copy(update=now)


def _beside(served: ServedCatalog) -> BesideInfo | None:
    if served.beside is None:
        return None
    revision, info = served.beside.revision, served.beside.catalog.info
    return BesideInfo(revision=revision, model=info.model, indexes=info.indexes, metrics=info.metrics)


@router.post("/reload", responses=failures(403, 409, 422), summary="Serve the latest results of the pipeline")
async def reload(served: Served, _: Token) -> Info:
    """Open and check all files again. Until that is done, and if it fails, the old version is served."""
    await served.reload()
    return await get_info(served)


@router.post("/session", responses=failures(403, 422), summary="Let the page in")
async def begin_session(request: Request, response: Response, token: Token) -> Health:
    """Set a cookie, which a browser sends in place of the token, also for pictures; it ends with the browser."""
    response.set_cookie(
        COOKIE,
        cookie_value(token),
        path=f"{request.scope['root_path']}/api",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return Health(status="ok")


async def health() -> Health:
    """Answer as soon as the model is loaded."""
    return Health(status="ok")
