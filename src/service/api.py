"""The calls of the REST API, and how they fail."""

from mimetypes import guess_type
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, File, Form, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse

from service.access import COOKIE, cookie_value
from service.catalog import Catalog
from service.forms import BatchForm, DownloadForm, FindingsQuery, ImagesQuery, SearchForm, SimilarQuery
from service.image_files import make_thumbnail, pack, read_image_bytes, require_room
from service.reloading import ServedCatalog
from service.schema import (
    BatchEntry,
    BatchResult,
    BesideInfo,
    EmbeddingMap,
    Failure,
    FindingPage,
    Health,
    ImagePage,
    Info,
    Key,
    SearchResult,
)
from similarity.data.images.formats import TooManyPixelsError, UnreadableImageError
from similarity.engine.gallery import UnknownNameError
from similarity.engine.results import Query as ImageQuery
from similarity.engine.stores import LookUnavailableError

_UPLOAD_THREADS = CapacityLimiter(32)  # a batch of the model is gathered from them
REPLIES: dict[type[Exception], tuple[int, str]] = {  # subclasses first
    TooManyPixelsError: (413, "The image is too large: {}."),
    UnreadableImageError: (415, "This cannot be read as an image: {}."),
    UnknownNameError: (404, "{}"),
    LookUnavailableError: (422, "{}"),
    Exception: (500, "Something went wrong on the server; see its output."),
}
router = APIRouter(prefix="/api")


def reply_to(error: Exception) -> tuple[int, str]:
    """Choose the status and the sentence that answer an error."""
    if isinstance(error, RequestValidationError):
        return 422, "; ".join(map(_problem, error.errors()))
    status, sentence = next(reply for kind, reply in REPLIES.items() if isinstance(error, kind))
    return status, sentence.format(error)


def _problem(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"][1:])
    is_unknown = error["type"] == "extra_forbidden"
    message = "there is no such parameter" if is_unknown else error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe how a call may fail, for the OpenAPI document."""
    return {status: {"model": Failure} for status in statuses}


async def _served(request: Request) -> ServedCatalog:
    return request.app.state.served


Served = Annotated[ServedCatalog, Depends(_served)]


async def _current(served: Served) -> Catalog:
    return served.current


async def _token(request: Request) -> str:
    if request.app.state.token is None:
        raise HTTPException(403, "This needs a token, and the service was started without one: set SIMILARITY_TOKEN.")
    return request.app.state.token


Current = Annotated[Catalog, Depends(_current)]
Token = Annotated[str, Depends(_token)]


@router.post(
    "/search",
    tags=["search"],
    responses=failures(400, 404, 408, 409, 413, 415, 422, 503),
    summary="Find images like uploaded ones",
)
async def search(served: Served, form: Annotated[SearchForm, File()]) -> SearchResult:
    """Makes one query of uploaded images, of indexed ones, or of both: their mean, moved towards what is liked and away
    from what is not (Rocchio). Uploads are embedded, and never written to disk. Images that are named by key are not
    among the neighbors.
    """
    contents = [await file.read() for file in form.image]
    query = ImageQuery("upload", form.key, contents, form.like, form.unlike, form.part)
    find = served.of(form.run).search
    return await to_thread.run_sync(find, query, form, form.any_distance, limiter=_UPLOAD_THREADS)


@router.post(
    "/search/batch",
    tags=["search"],
    responses=failures(400, 404, 408, 413, 422, 503),
    summary="Search with each of several images",
)
async def search_batch(served: Served, form: Annotated[BatchForm, File()]) -> BatchResult:
    """Searches with each uploaded image and each key on its own. One that fails has an error in its place, and the
    others have their results.
    """
    queries = [ImageQuery("upload", images=(await file.read(),)) for file in form.image]
    queries += [ImageQuery(key, keys=(key,)) for key in form.key]
    find = served.of(form.run).search_each
    found = await to_thread.run_sync(find, queries, form, form.any_distance, limiter=_UPLOAD_THREADS)
    return BatchResult(results=[_batch_entry(each) for each in found])


def _batch_entry(found: SearchResult | Exception) -> BatchEntry:
    if isinstance(found, SearchResult):
        return BatchEntry(result=found, error=None, status=200)
    status, detail = reply_to(found)
    return BatchEntry(result=None, error=detail, status=status)


@router.get("/similar", tags=["search"], responses=failures(404, 422), summary="Find images like an indexed one")
def similar(served: Served, query: Annotated[SimilarQuery, Query()]) -> SearchResult:
    """Reads the stored neighbors, or searches if they are too few, or if other ones or another index are asked for."""
    return served.of(query.run).search(ImageQuery(query.key, keys=(query.key,)), query)


@router.get("/images", tags=["images"], responses=failures(404, 422), summary="List the indexed images")
def list_images(catalog: Current, query: Annotated[ImagesQuery, Query()]) -> ImagePage:
    """Returns a page of the images, in the order of their keys; pages after the last are empty. If a part of a name is
    given, the best matches come first.
    """
    return catalog.image_page(query)


@router.get(
    "/images/{key:path}",
    tags=["images"],
    responses={
        200: {"content": {"image/*": {}}},
        304: {"description": "Not modified"},
        **failures(404, 409, 415, 422),
    },
    response_class=Response,
    summary="Get an indexed image",
)
def get_image(
    request: Request,
    catalog: Current,
    key: Key,
    thumbnail: Annotated[
        int | None, Query(ge=16, le=1024, description="Side of the square that a JPEG of it is to fit into.")
    ] = None,
) -> Response:
    """Returns the file as it is, or a small picture of it that every browser can show; never that of another image."""
    record, folder = catalog.record(key), catalog.engine.images
    headers = {"etag": f'"{record.sha256}-{thumbnail or "file"}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if thumbnail is not None:
        return Response(make_thumbnail(folder, record, thumbnail), media_type="image/jpeg", headers=headers)
    return Response(read_image_bytes(folder, record), media_type=guess_type(key)[0], headers=headers)


@router.post(
    "/download",
    tags=["images"],
    responses={200: {"content": {"application/zip": {}}}, **failures(400, 404, 408, 409, 413, 422, 503)},
    response_class=Response,
    summary="Get some indexed images in one archive",
)
def download(catalog: Current, form: Annotated[DownloadForm, Form()]) -> Response:
    """Returns a zip file of the files as they are, by their keys; never with another image in it."""
    records, folder = [catalog.record(key) for key in dict.fromkeys(form.key)], catalog.engine.images
    require_room(folder, records, catalog.info.limits.download_bytes)
    headers = {"content-disposition": 'attachment; filename="images.zip"', "cache-control": "no-store"}
    return StreamingResponse(pack(folder, records), media_type="application/zip", headers=headers)


@router.get("/map", tags=["images"], responses=failures(404, 422), summary="Get the images as points in the plane")
def get_map(catalog: Current) -> EmbeddingMap:
    """Returns up to 20,000 images, evenly chosen, with their places by the stage `embed`."""
    return catalog.embedding_map()


@router.get(
    "/findings",
    tags=["findings"],
    responses=failures(422),
    summary="List what is probably wrong with images and labels",
)
def list_findings(catalog: Current, query: Annotated[FindingsQuery, Query()]) -> FindingPage:
    """Returns a page of what the stage `audit` has found, the most important first; none if it was not run."""
    return catalog.finding_page(query)


@router.get("/info", tags=["service"], responses=failures(422), summary="Describe what is served")
async def get_info(served: Served) -> Info:
    """Describe the model, the data, their versions by hash, the metrics, and the limits."""
    now: dict[str, object] = {"out_of_date": await served.is_out_of_date()}
    if served.beside is not None:
        revision, info = served.beside.revision, served.beside.catalog.info
        now["beside"] = BesideInfo(revision=revision, model=info.model, indexes=info.indexes, metrics=info.metrics)
    return served.current.info.model_copy(update=now)


@router.post(
    "/reload", tags=["service"], responses=failures(403, 409, 422), summary="Serve the latest results of the pipeline"
)
async def reload(served: Served, _: Token) -> Info:
    """Open and check all files again. Until that is done, and if it fails, the old version is served."""
    await served.reload()
    return await get_info(served)


@router.post("/session", tags=["service"], responses=failures(403, 422), summary="Let the page in")
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
