"""Calls that return the indexed images: lists, files, the map."""

from mimetypes import guess_type
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.dependencies import Current
from service.failures import failures
from service.forms import DownloadForm, ImagesQuery
from service.image_files import read_image_bytes
from service.packing import pack, require_room
from service.schema import EmbeddingMap, ImagePage, Key, pages_of

router = APIRouter(tags=["images"])


@router.get("/images", responses=failures(404, 422), summary="List the indexed images")
def list_images(catalog: Current, query: Annotated[ImagesQuery, Query()]) -> ImagePage:
    """Returns a page of the images, in the order of their keys; pages after the last are empty. If a part of a name is
    given, the best matches come first.
    """
    rows = catalog.rows(query, query.name)
    first = (query.page - 1) * query.size
    shown = [catalog.entry(row) for row in rows[first : first + query.size].tolist()]
    return ImagePage(images=shown, page=query.page, pages=pages_of(len(rows), query.size), total=len(rows))


@router.get(
    "/images/{key:path}",
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
    record = catalog.record(key)
    headers = {"etag": f'"{record.sha256}-{thumbnail or "file"}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if thumbnail is not None:
        return Response(catalog.thumbnail(record, thumbnail), media_type="image/jpeg", headers=headers)
    content = read_image_bytes(catalog.engine.images, key, record.sha256)
    return Response(content, media_type=guess_type(key)[0], headers=headers)


@router.post(
    "/download",
    responses={200: {"content": {"application/zip": {}}}, **failures(400, 404, 408, 409, 413, 422, 503)},
    response_class=Response,
    summary="Get some indexed images in one archive",
)
def download(catalog: Current, form: Annotated[DownloadForm, Form()]) -> Response:
    """Returns a zip file of the files as they are, by their keys; never with another image in it."""
    records = [catalog.record(key) for key in dict.fromkeys(form.key)]
    try:
        require_room(catalog.engine.images, records, catalog.info.limits.download_bytes)
    except ValueError as error:
        raise HTTPException(413, str(error)) from error
    headers = {"content-disposition": 'attachment; filename="images.zip"', "cache-control": "no-store"}
    return StreamingResponse(pack(catalog.engine.images, records), media_type="application/zip", headers=headers)


@router.get("/map", responses=failures(404, 422), summary="Get the images as points in the plane")
def get_map(catalog: Current) -> EmbeddingMap:
    """Returns up to 20,000 images, evenly chosen, with their places by the stage `embed`."""
    points = catalog.embedding_map()
    if points is None:
        raise HTTPException(404, "There is no map of these images: run `dvc repro`.")
    return points
