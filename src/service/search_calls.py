"""Calls that search: by uploads, by keys, by both, one query or many."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, TypeVar

from anyio import to_thread
from fastapi import APIRouter, File, Query, Request, UploadFile

from service.catalog import Asked, Catalog
from service.dependencies import Served
from service.failures import failures, reply_to
from service.forms import BatchForm, SearchForm, SimilarQuery
from service.schema import BatchEntry, BatchResult, SearchResult

Result = TypeVar("Result")

router = APIRouter(tags=["search"])


@router.post(
    "/search",
    responses=failures(400, 404, 408, 409, 413, 415, 422, 503),
    summary="Find images like uploaded ones",
)
async def search(request: Request, served: Served, form: Annotated[SearchForm, File()]) -> SearchResult:
    """Makes one query of uploaded images, of indexed ones, or of both: their mean, moved towards what is liked and away
    from what is not (Rocchio). Uploads are embedded, and nothing of them is written to disk. The images that are named
    by key are not among the neighbors.
    """
    asked = Asked(await _contents(form.image), form.key, form.like, form.unlike, form.part)
    return await _in_thread(request, partial(served.of(form.run).search, asked, form, form.any_distance))


@router.post(
    "/search/batch",
    responses=failures(400, 404, 408, 413, 422, 503),
    summary="Search with each of several images",
)
async def search_batch(request: Request, served: Served, form: Annotated[BatchForm, File()]) -> BatchResult:
    """Searches with each uploaded image and each key for itself. What cannot be searched with has an error in its
    place, and the others have their results.
    """
    return await _in_thread(request, partial(_search_each, served.of(form.run), await _contents(form.image), form))


@router.get("/similar", responses=failures(404, 422), summary="Find images like an indexed one")
async def similar(served: Served, query: Annotated[SimilarQuery, Query()]) -> SearchResult:
    """Reads the stored neighbors, or searches if they are too few, or other ones or the other index are asked for."""
    return await to_thread.run_sync(served.of(query.run).search, Asked(keys=[query.key]), query)


def _search_each(catalog: Catalog, uploads: Sequence[bytes], form: BatchForm) -> BatchResult:
    found = catalog.search_each(uploads, form.key, form, form.any_distance)
    return BatchResult(results=[_as_entry(each) for each in found])


def _as_entry(found: SearchResult | Exception) -> BatchEntry:
    if isinstance(found, SearchResult):
        return BatchEntry(result=found, error=None, status=200)
    status, detail = reply_to(found)
    return BatchEntry(result=None, error=detail, status=status)


async def _contents(files: Sequence[UploadFile]) -> list[bytes]:
    return [await file.read() for file in files]


async def _in_thread(request: Request, work: Callable[[], Result]) -> Result:
    """Does the work of an upload in one of the threads that are for uploads."""
    return await to_thread.run_sync(work, limiter=request.app.state.upload_threads)
