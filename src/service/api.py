"""The calls of the REST API, but for those about findings."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from threading import Lock
from typing import Annotated, Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import StreamingResponse
from PIL import Image

from service import forms, schema
from service.access import API, COOKIE, Refusal, cookie_value
from service.catalog import HASH_LENGTH, Catalog, Current, ServedRuns
from similarity.data.dataset.manifest import SPLIT_NAMES
from similarity.data.images.decoding import START, image_format, read_image
from similarity.data.images.wide import Ranges
from similarity.engine.results import Query as ImageQuery

_BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
_COMPARED = 10  # nearest images of each, of two runs
_FOREVER = "private, max-age=31536000, immutable"
_MEDIA_TYPES = {"JPEG2000": "jp2", "HEIF": "heic", "PPM": "x-portable-anymap"}  # others have the format's own name
_MAX_COMPARED = 10_000  # images of two runs
_THUMBNAIL = Lock()
_UPLOAD_THREADS = CapacityLimiter(32)  # a batch of the model is gathered from them
_ZIP: dict[int | str, dict[str, Any]] = {200: {"content": {"application/zip": {}}}}
router = APIRouter(prefix=API, route_class=forms.FormRoute)


@router.post("/search", tags=["search"], summary="Find images like uploaded ones")
async def search(
    request: Request, served: ServedRuns, form: Annotated[forms.SearchForm, forms.Multipart]
) -> schema.SearchResult:
    """Make one query from uploaded images, of indexed ones, of a vector, or of all: their mean, moved towards what is
    liked and away from what is not (Rocchio). Uploads are embedded, and never written to disk. Images that are named by
    key are not among the neighbors.
    """
    vectors = [np.array(form.vector, np.float32)] if form.vector else []
    query = ImageQuery("upload", form.key, form.image, form.like, form.unlike, form.region, vectors)
    options, catalog = form.as_engine_options(form.any_distance), served.of(form.run)
    found = await to_thread.run_sync(catalog.search, query, options, limiter=_UPLOAD_THREADS)
    return _with_urls(found, form, request)


def _with_urls(found: schema.SearchResult, options: forms.SearchOptions, request: Request) -> schema.SearchResult:
    """Add the addresses of images, if they are asked for."""
    for each in found.answer.neighbors if "urls" in options.include else ():
        each.url = f"{request.url_for('get_image', key=each.key)}?hash={each.hash}"
        each.thumbnail_url = f"{each.url}&thumbnail=256"
    return found


@router.get("/similar", tags=["search"], summary="Find images like an indexed one")
def similar(request: Request, served: ServedRuns, query: Annotated[forms.SimilarQuery, Query()]) -> schema.SearchResult:
    """Read the stored neighbors, or search if they are too few, or if the request needs others or another index."""
    found = served.of(query.run).search(ImageQuery(query.key, keys=(query.key,)), query.as_engine_options())
    return _with_urls(found, query, request)


@router.post("/why", tags=["search"], summary="Show where two images are similar")
async def why(catalog: Current, form: Annotated[forms.WhyForm, forms.Multipart]) -> schema.Why:
    """Return how much each place in an image, or in a region of it, and in its hit contributes to their cosine."""
    return await to_thread.run_sync(catalog.explain, form, limiter=_UPLOAD_THREADS)


@router.get("/changes", tags=["search"], summary="Find what differs most between two runs")
def list_changes(
    served: ServedRuns,
    size: Annotated[int, Query(ge=1, le=100, description="How many images to return at most.")] = 20,
) -> schema.Changes:
    """Return the test images whose nearest differ most between the served run and the one compared with it."""
    first, second = served.current, served.of("beside")
    splits, keys = first.gallery.splits, first.engine.keys
    rows = np.arange(len(keys)) if splits is None else np.flatnonzero(splits == SPLIT_NAMES.index("test"))

    def nearest(catalog: Catalog, key: str) -> set[str]:
        return {each[0] for each in (catalog.engine.stored_neighbors(key) or ())[:_COMPARED]}

    compared = [keys[row] for row in rows[:: 1 + len(rows) // _MAX_COMPARED].tolist()]
    shared = {key: len(nearest(first, key) & nearest(second, key)) for key in compared}
    changed = sorted((key for key in compared if shared[key] < _COMPARED), key=lambda key: shared[key])[:size]
    entries = [schema.ImageEntry(**first.describe(key)) for key in changed]
    return schema.Changes(changes=[schema.Change(query=each, shared=shared[each.key]) for each in entries])


@router.post("/embed", tags=["search"], summary="Embed images")
async def embed(catalog: Current, form: Annotated[forms.EmbedForm, forms.Multipart]) -> schema.Embeddings:
    """Return the embedding of each uploaded image, to compare or to search with; `search` takes it as `vector`."""
    return await to_thread.run_sync(catalog.embed, form.image, limiter=_UPLOAD_THREADS)


@router.get("/images", tags=["images"], summary="List the indexed images")
def list_images(catalog: Current, query: Annotated[forms.ImagesQuery, Query()]) -> schema.ImagePage:
    """Return a page of the images, in the order of their keys; pages after the last are empty. If a part of a name is
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
    key: schema.Key,
    thumbnail: Annotated[
        int | None, Query(ge=16, le=1024, description="Side of the square that a JPEG of it is to fit into.")
    ] = None,
    hash: Annotated[  # noqa: A002  # as other calls name it
        str | None, Query(description="Its `hash`, by other calls: browsers then keep the answer for good.")
    ] = None,
) -> Response:
    """Return the file as it is, or a small picture of it that every browser can show; never that of another image."""
    record = catalog.record(key)
    if hash not in {None, record.sha256[:HASH_LENGTH]}:
        raise Refusal(409, "file_changed", f"{key} is another image now: its hash is {record.sha256[:HASH_LENGTH]}.")
    etag = f'"{record.sha256}-{thumbnail or "file"}"'
    headers = {"etag": etag, "cache-control": _FOREVER if hash else "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    content = catalog.read(key)
    if thumbnail is not None:
        content = make_thumbnail(content, thumbnail, catalog.engine.ranges)
    return Response(content, media_type=media_type(content), headers=headers)


def media_type(content: bytes) -> str:
    """Return the type of an image by its content, as its name may be wrong."""
    kind = image_format(content[:START]) or "octet-stream"
    return f"image/{_MEDIA_TYPES.get(kind, kind.lower())}"


def make_thumbnail(content: bytes, size: int, ranges: Ranges) -> bytes:
    """Make a JPEG of an image that fits into a square of `size` pixels, in the ranges of the data set.

    Raises:
        UnreadableImageError: it can no longer be decoded.
    """
    with _THUMBNAIL:  # one at a time, so that uploads do not wait for the pictures of a page
        picture = Image.fromarray(read_image(content, size, ranges))
    picture.thumbnail((size, size))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


@router.post("/download", tags=["images"], responses=_ZIP, response_class=Response, summary="Get several images")
def download(catalog: Current, form: Annotated[forms.DownloadForm, Form()]) -> Response:
    """Return a zip file of indexed images by their keys, as they are; never with another image in it."""
    keys, limit, total = [*dict.fromkeys(form.key)], catalog.info.limits.download_bytes, 0
    for key in keys:
        total += len(catalog.read(key))
        if total > limit:
            message = f"These images are too large together: {limit / 1e6:g} MB are allowed."
            raise Refusal(413, "too_many_bytes", message)
    headers = {"content-disposition": 'attachment; filename="images.zip"', "cache-control": "no-store"}
    return StreamingResponse(pack(catalog, keys), media_type="application/zip", headers=headers)


def pack(catalog: Catalog, keys: Iterable[str]) -> Iterator[bytes]:
    """Yield the parts of a zip file of images; it stops short at a file that is no longer the image indexed."""
    written = _Written()
    with ZipFile(written, "w") as archive:  # type: ignore[call-overload]  # it needs no more than write and flush
        for key in keys:
            archive.writestr(ZipInfo(key), catalog.read(key))  # as it is, and without a time: the same each time
            yield bytes(written)
            written.clear()
    yield bytes(written)


class _Written(bytearray):
    """The bytes that were written and not yet sent."""

    def write(self, data: bytes) -> int:
        self += data
        return len(data)

    def flush(self) -> None:
        pass


@router.get("/map", tags=["images"], responses=_BYTES, response_class=Response, summary="Get all images as points")
def get_map(catalog: Current) -> Response:
    """Return the places of all images by the stage `embed`, packed; numbers are little endian. First a header: its
    length (uint32), then JSON with the number of `images`, the names of `classes`, `splits` and `findings`, and whether
    there are places by the `look` alone. Then columns with a number for each image, in the order of the keys: x, y and,
    if so, x and y by the look (uint16, 0…65535 across the map, y upwards), class (uint16), split and most important
    finding (uint8, 255 for none).
    """
    return Response(catalog.packed_map(), media_type="application/octet-stream")


@router.get("/info", tags=["service"], summary="Describe what is served")
def get_info(served: ServedRuns) -> schema.Info:
    """Describe the model, the data, their versions by hash, the metrics, and the limits."""
    beside = None
    if served.beside is not None:
        same = served.beside.info.model_dump(include={"model", "indexes", "metrics"})
        beside = schema.BesideInfo(revision=served.revision, **same)
    return served.current.info.model_copy(update={"out_of_date": served.is_out_of_date, "beside": beside})


@router.post("/reload", tags=["service"], summary="Serve the latest results of the pipeline")
async def reload(served: ServedRuns) -> schema.Info:
    """Open and check all files again. Until that is done, and if it fails, the old version is served."""
    await served.reload()
    return get_info(served)


@router.post("/session", tags=["service"], summary="Let the page in")
async def begin_session(request: Request, response: Response) -> schema.Health:
    """Set a cookie, which a browser sends in place of the token, also for pictures; it ends with the browser."""
    response.set_cookie(
        COOKIE,
        cookie_value(request.app.state.token or ""),
        path=f"{request.scope['root_path']}/api",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return schema.Health(status="ok")
