"""The calls of the REST API."""

from mimetypes import guess_type
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.access import COOKIE, VERSIONED, cookie_value
from service.catalog import HASH_LENGTH, Catalog
from service.failures import Refusal, failure_of
from service.forms import (
    BatchForm,
    DownloadForm,
    EmbedForm,
    FindingsQuery,
    ImagesQuery,
    SearchForm,
    SearchOptions,
    SimilarQuery,
    body_of,
    describe_body,
)
from service.image_files import make_thumbnail, pack, read_image_bytes, require_room
from service.reloading import ServedCatalog
from service.schema import (
    BatchEntry,
    BatchResult,
    BesideInfo,
    EmbeddingMap,
    Embeddings,
    Failure,
    FindingPage,
    Health,
    ImagePage,
    Info,
    Key,
    SearchResult,
)
from similarity.engine.results import Query as ImageQuery

_UPLOAD_THREADS = CapacityLimiter(32)  # a batch of the model is gathered from them
_FAILURES: dict[int | str, dict[str, Any]] = {"4XX": {"model": Failure}, "5XX": {"model": Failure}}
_FOREVER = "private, max-age=31536000, immutable"
router = APIRouter(prefix=VERSIONED.rstrip("/"), responses=_FAILURES)


async def _served(request: Request) -> ServedCatalog:
    return request.app.state.served


Served = Annotated[ServedCatalog, Depends(_served)]


async def _current(served: Served) -> Catalog:
    return served.current


Current = Annotated[Catalog, Depends(_current)]


@router.post(
    "/search",
    tags=["search"],
    summary="Find images like uploaded ones",
    openapi_extra=describe_body(SearchForm),
)
async def search(
    request: Request, served: Served, form: Annotated[SearchForm, Depends(body_of(SearchForm))]
) -> SearchResult:
    """Makes one query of uploaded images, of indexed ones, or of both: their mean, moved towards what is
    liked and away from what is not (Rocchio). Uploads are embedded, and never written to disk. Images that are named by
    key are not among the neighbors.
    """
    catalog = served.of(form.run)
    query = ImageQuery("upload", form.key, form.image, form.like, form.unlike, form.region)
    found = await to_thread.run_sync(catalog.search, query, form, form.any_distance, limiter=_UPLOAD_THREADS)
    return _with_urls(found, form, request)


@router.post(
    "/search/batch",
    tags=["search"],
    summary="Search with each of several images",
    openapi_extra=describe_body(BatchForm),
)
async def search_batch(
    request: Request, served: Served, form: Annotated[BatchForm, Depends(body_of(BatchForm))]
) -> BatchResult:
    """Searches with each uploaded image and each key on its own. One that fails has an error in its place, and the
    others have their results.
    """
    queries = [ImageQuery("upload", images=(image,)) for image in form.image]
    queries += [ImageQuery(key, keys=(key,)) for key in form.key]
    find = served.of(form.run).search_each
    found = await to_thread.run_sync(find, queries, form, form.any_distance, limiter=_UPLOAD_THREADS)
    return BatchResult(results=[_batch_entry(each, form, request) for each in found])


def _batch_entry(found: SearchResult | Exception, options: SearchOptions, request: Request) -> BatchEntry:
    if isinstance(found, SearchResult):
        return BatchEntry(result=_with_urls(found, options, request), error=None, code=None, status=200)
    status, failure = failure_of(found)
    return BatchEntry(result=None, error=failure.detail, code=failure.code, status=status)


def _with_urls(found: SearchResult, options: SearchOptions, request: Request) -> SearchResult:
    """Add the addresses of images, if they are asked for."""
    for each in found.answer.neighbors if "urls" in options.include else ():
        each.url = f"{request.url_for('get_image', key=each.key)}?hash={each.hash}"
        each.thumbnail_url = f"{each.url}&thumbnail=256"
    return found


@router.get("/similar", tags=["search"], summary="Find images like an indexed one")
def similar(request: Request, served: Served, query: Annotated[SimilarQuery, Query()]) -> SearchResult:
    """Reads the stored neighbors, or searches if they are too few, or if other ones or another index are asked for."""
    found = served.of(query.run).search(ImageQuery(query.key, keys=(query.key,)), query)
    return _with_urls(found, query, request)


@router.post("/embed", tags=["search"], summary="Embed images", openapi_extra=describe_body(EmbedForm))
async def embed(catalog: Current, form: Annotated[EmbedForm, Depends(body_of(EmbedForm))]) -> Embeddings:
    """Returns the embedding of each uploaded image, to compare with others."""
    return await to_thread.run_sync(catalog.embed, form.image, limiter=_UPLOAD_THREADS)


@router.get("/images", tags=["images"], summary="List the indexed images")
def list_images(catalog: Current, query: Annotated[ImagesQuery, Query()]) -> ImagePage:
    """Returns a page of the images, in the order of their keys; pages after the last are empty. If a part of a name is
    given, the best matches come first.
    """
    return catalog.image_page(query)


@router.get(
    "/images/{key:path}",
    tags=["images"],
    responses={200: {"content": {"image/*": {}}}, 304: {"description": "Not modified"}},
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
    hash: Annotated[  # noqa: A002  # as other calls name it
        str | None, Query(description="Its `hash`, by other calls: browsers then keep the answer for good.")
    ] = None,
) -> Response:
    """Returns the file as it is, or a small picture of it that every browser can show; never that of another image."""
    record, folder = catalog.record(key), catalog.engine.images
    if hash not in {None, record.sha256[:HASH_LENGTH]}:
        raise Refusal(409, "file_changed", f"{key} is another image now: its hash is {record.sha256[:HASH_LENGTH]}.")
    headers = {
        "etag": f'"{record.sha256}-{thumbnail or "file"}"',
        "cache-control": "no-cache" if hash is None else _FOREVER,
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if thumbnail is not None:
        return Response(make_thumbnail(folder, record, thumbnail), media_type="image/jpeg", headers=headers)
    return Response(read_image_bytes(folder, record), media_type=guess_type(key)[0], headers=headers)


@router.post(
    "/download",
    tags=["images"],
    responses={200: {"content": {"application/zip": {}}}},
    response_class=Response,
    summary="Get some indexed images in one archive",
    openapi_extra=describe_body(DownloadForm),
)
def download(catalog: Current, form: Annotated[DownloadForm, Depends(body_of(DownloadForm))]) -> Response:
    """Returns a zip file of the files as they are, by their keys; never with another image in it."""
    records, folder = [catalog.record(key) for key in dict.fromkeys(form.key)], catalog.engine.images
    require_room(folder, records, catalog.info.limits.download_bytes)
    headers = {"content-disposition": 'attachment; filename="images.zip"', "cache-control": "no-store"}
    return StreamingResponse(pack(folder, records), media_type="application/zip", headers=headers)


@router.get("/map", tags=["images"], summary="Get the images as points in the plane")
def get_map(catalog: Current) -> EmbeddingMap:
    """Returns up to 20,000 images, evenly chosen, with their places by the stage `embed`."""
    return catalog.embedding_map()


@router.get(
    "/map/packed",
    tags=["images"],
    responses={200: {"content": {"application/octet-stream": {}}}},
    response_class=Response,
    summary="Get all images as points in the plane, packed",
)
def get_packed_map(catalog: Current) -> Response:
    """Returns the places of all images by the stage `embed`, packed; numbers are little endian. First a header: its
    length (uint32), then JSON with the number of `images`, the names of `classes`, `splits` and `findings`, and whether
    there are places by the `look` alone. Then columns with a number for each image, in the order of the keys: x, y and,
    if so, x and y by the look (uint16, 0…65535 across the map, y upwards), class (uint16), split and most important
    finding (uint8, 255 for none).
    """
    return Response(catalog.packed_map(), media_type="application/octet-stream")


@router.get("/findings", tags=["findings"], summary="List what is probably wrong with images and labels")
def list_findings(catalog: Current, query: Annotated[FindingsQuery, Query()]) -> FindingPage:
    """Returns a page of what the stage `audit` has found, the most important first; none if it was not run."""
    return catalog.finding_page(query)


@router.get("/info", tags=["service"], summary="Describe what is served")
async def get_info(served: Served) -> Info:
    """Describe the model, the data, their versions by hash, the metrics, and the limits."""
    now: dict[str, object] = {"out_of_date": await served.is_out_of_date()}
    if served.beside is not None:
        revision, info = served.beside.revision, served.beside.catalog.info
        now["beside"] = BesideInfo(revision=revision, model=info.model, indexes=info.indexes, metrics=info.metrics)
    return served.current.info.model_copy(update=now)


@router.post("/reload", tags=["service"], summary="Serve the latest results of the pipeline")
async def reload(served: Served) -> Info:
    """Open and check all files again. Until that is done, and if it fails, the old version is served."""
    await served.reload()
    return await get_info(served)


@router.post("/session", tags=["service"], summary="Let the page in")
async def begin_session(request: Request, response: Response) -> Health:
    """Set a cookie, which a browser sends in place of the token, also for pictures; it ends with the browser."""
    response.set_cookie(
        COOKIE,
        cookie_value(request.app.state.token or ""),
        path=f"{request.scope['root_path']}/api",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return Health(status="ok")


async def health() -> Health:
    """Answer as soon as the model is loaded."""
    return Health(status="ok")
