"""The REST API and the search page."""

from functools import partial
from mimetypes import guess_type
from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.formparsers import MultiPartParser
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from service.access import COOKIE, HeadAsGet, OwnPagesOnly, TokenRequired, cookie_value
from service.catalog import Catalog, SearchOptions
from service.image_files import ImageFileError, open_image
from service.limits import SecurityHeaders, UploadLimits, UploadRules
from service.reloading import ReloadError, ServedCatalog
from service.schema import (
    Count,
    EmbeddingMap,
    Failure,
    Health,
    ImageEntry,
    ImagePage,
    Info,
    Key,
    Label,
    Look,
    SearchResult,
)
from similarity.images.decoding import UnreadableImageError
from similarity.index.searcher import Index, LookUnavailableError, UnknownNameError

PAGE = Path(__file__).parent / "page"
_UPLOAD_THREADS = 32  # what a batch of the model can be gathered from

router = APIRouter(prefix="/api")


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Failure} for status in statuses}


async def _catalog(request: Request) -> Catalog:
    return request.app.state.served.current


async def _token(request: Request) -> str:
    if request.app.state.token is None:
        raise HTTPException(403, "This needs a token, and the service was started without one: set SIMILARITY_TOKEN.")
    return request.app.state.token


Served = Annotated[Catalog, Depends(_catalog)]
Token = Annotated[str, Depends(_token)]


@router.post(
    "/search", responses=_failures(400, 404, 408, 413, 415, 422, 503), summary="Find images like an uploaded one"
)
async def search(
    request: Request,
    catalog: Served,
    image: Annotated[UploadFile, File(description="Any image; its content tells the format, not its name.")],
    k: Annotated[Count, Form()] = 10,
    label: Annotated[Label | None, Form()] = None,
    index: Annotated[Index | None, Form()] = None,
    compare: Annotated[bool, Form()] = False,
    look: Annotated[Look | None, Form()] = None,
    any_distance: Annotated[
        bool, Form(alias="any", description="Give the nearest images even if none is similar.")
    ] = False,
) -> SearchResult:
    """Embeds the image and searches the index. Nothing is written to disk."""
    work = partial(
        catalog.search_upload, await image.read(), SearchOptions(k, label or None, index, compare, look, any_distance)
    )
    return await to_thread.run_sync(work, limiter=request.app.state.upload_threads)


@router.get("/similar", responses=_failures(404, 422), summary="Find images like an indexed one")
async def similar(
    catalog: Served,
    key: Annotated[Key, Query()],
    k: Annotated[Count, Query()] = 10,
    label: Annotated[Label | None, Query()] = None,
    index: Annotated[Index | None, Query()] = None,
    compare: Annotated[bool, Query()] = False,
    look: Annotated[Look | None, Query()] = None,
) -> SearchResult:
    """Reads the stored neighbors, or searches if they are too few, or a class or the other index is asked for."""
    return await to_thread.run_sync(catalog.search_key, key, SearchOptions(k, label or None, index, compare, look))


@router.get("/images", responses=_failures(404, 422), summary="List the indexed images")
def list_images(
    catalog: Served,
    label: Annotated[Label | None, Query()] = None,
    page: Annotated[int, Query(ge=1, le=10**9)] = 1,
    size: Annotated[int, Query(ge=1, le=500, description="Images per page.")] = 60,
) -> ImagePage:
    """Gives a page of the images, in the order of their keys; pages after the last are empty."""
    records = catalog.searcher.records(label or None)
    shown = records[(page - 1) * size : page * size]
    entries = [ImageEntry(key=each.path, label=each.label, width=each.width, height=each.height) for each in shown]
    return ImagePage(images=entries, page=page, pages=max(1, -(-len(records) // size)), total=len(records))


@router.get(
    "/images/{key:path}",
    responses={
        200: {"content": {"image/*": {}}},
        304: {"description": "Not modified"},
        **_failures(404, 409, 415, 422),
    },
    response_class=Response,
    summary="Get an indexed image",
)
def get_image(
    request: Request,
    catalog: Served,
    key: Key,
    thumbnail: Annotated[
        int | None, Query(ge=16, le=1024, description="Side of the square that a JPEG of it is to fit into.")
    ] = None,
) -> Response:
    """Gives the file as it is, or a small picture of it that every browser can show; never that of another image."""
    record = catalog.searcher.manifest.records[catalog.searcher.row(key)]
    headers = {"etag": f'"{record.sha256}-{thumbnail or "file"}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if thumbnail is not None:
        return Response(catalog.thumbnail(record, thumbnail), media_type="image/jpeg", headers=headers)
    checked = open_image(catalog.images, key, record.sha256)
    headers["content-length"] = str(checked.size)
    return StreamingResponse(checked.chunks(), media_type=guess_type(key)[0], headers=headers)


@router.get("/map", responses=_failures(404), summary="Get the images as points in the plane")
def embedding_map(catalog: Served) -> EmbeddingMap:
    """Gives up to 20,000 images, evenly chosen, where the `map` stage has put them."""
    points = catalog.embedding_map()
    if points is None:
        raise HTTPException(404, "There is no map of these images: run `dvc repro map`.")
    return points


@router.get("/info", summary="Tell what is served")
async def info(catalog: Served) -> Info:
    """Gives the model, the data, their versions by hash, and the metrics."""
    return catalog.info


@router.post("/reload", responses=_failures(403, 409), summary="Serve what the pipeline has made by now")
async def reload(request: Request, _: Token) -> Info:
    """Opens and checks all files anew. Until that is done, and if it fails, the former version is served."""
    served: ServedCatalog = request.app.state.served
    await served.reload()
    return served.current.info


@router.post("/session", responses=_failures(403), summary="Let the page in")
async def begin_session(request: Request, response: Response, token: Token) -> Health:
    """Sets a cookie, which a browser sends in place of the token, also for pictures; it ends with the browser."""
    response.set_cookie(
        COOKIE, cookie_value(token), path="/api", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return Health(status="ok")


async def health() -> Health:
    """Answers as soon as the model is loaded."""
    return Health(status="ok")


def create_app(served: ServedCatalog, hosts: list[str], rules: UploadRules, token: str | None) -> ASGIApp:
    """Makes the service.

    Args:
        served: what to answer from.
        hosts: names that it may be addressed by (others could be a foreign page's, pointed here); ``*`` for all.
        rules: of uploads.
        token: that the API is to be asked with; None for an API that is open to all.
    """
    app = FastAPI(
        title="Image similarity",
        description="Which of the indexed images look like this one?",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,  # both documentation pages load their scripts from elsewhere
        redoc_url=None,
        lifespan=served.reloading_on_signal,
    )
    app.state.served = served
    app.state.token = token
    app.state.upload_threads = CapacityLimiter(_UPLOAD_THREADS)
    app.include_router(router)
    app.get("/healthz", summary="Tell whether the service is up")(health)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    app.add_exception_handler(UnreadableImageError, _unreadable)
    app.add_exception_handler(ImageFileError, _unavailable)
    app.add_exception_handler(ReloadError, _not_reloaded)
    app.add_exception_handler(UnknownNameError, _unknown)
    app.add_exception_handler(LookUnavailableError, _impossible)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)
    MultiPartParser.spool_max_size = 2 * rules.max_bytes  # above it, uploads would go to a temporary file
    app.add_middleware(UploadLimits, rules=rules)  # the last that is added is the first that is asked
    app.add_middleware(HeadAsGet)
    if token is not None:
        app.add_middleware(TokenRequired, token=token)
    app.add_middleware(OwnPagesOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    return SecurityHeaders(app)  # around all of it, also around what answers when something went wrong


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"This cannot be read as an image: {error}."}, 415)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ImageFileError)
    return JSONResponse({"detail": str(error)}, error.status)


async def _not_reloaded(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 409)


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 404)


async def _impossible(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = (f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors())
    return JSONResponse({"detail": "; ".join(problems)}, 422)


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse({"detail": "Something went wrong on the server; see its output."}, 500)
