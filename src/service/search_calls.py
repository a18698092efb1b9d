"""Calls that search: with uploads, with keys, with both, one query or many."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, TypeVar

from anyio import to_thread
from fastapi import APIRouter, File, Request, UploadFile
from fastapi import Query as Parameters

from service.catalog import Catalog
from service.dependencies import Served
from service.failures import failures, reply_to
from service.forms import BatchForm, SearchForm, SimilarQuery
from service.schema import BatchEntry, BatchResult, SearchResult
from similarity.engine.results import Query

Answered = TypeVar("Answered")

router = APIRouter(tags=["search"])


@router.post(
    "/search",
    responses=failures(400, 404, 408, 409, 413, 415, 422, 503),
    summary="Find images like uploaded ones",
)
async def search(request: Request, served: Served, form: Annotated[SearchForm, File()]) -> SearchResult:
    """Makes one query of uploaded images, of indexed ones, or of both: their mean, moved towards what is liked and away
    from what is not (Rocchio). Uploads are embedded, and never written to disk. Images that are named by key are not
    among the neighbors.
    """
    query = Query("upload", form.key, await _contents(form.image), form.like, form.unlike, form.part)
    return await _in_thread(request, partial(served.of(form.run).search, query, form, form.any_distance))


@router.post(
    "/search/batch",
    responses=failures(400, 404, 408, 413, 422, 503),
    summary="Search with each of several images",
)
async def search_batch(request: Request, served: Served, form: Annotated[BatchForm, File()]) -> BatchResult:
    """Searches with each uploaded image and each key on its own. One that fails has an error in its place, and the
    others have their results.
    """
    queries = [Query("upload", images=(content,)) for content in await _contents(form.image)]
    queries += [Query(key, keys=(key,)) for key in form.key]
    return await _in_thread(request, partial(_search_each, served.of(form.run), queries, form))


@router.get("/similar", responses=failures(404, 422), summary="Find images like an indexed one")
async def similar(served: Served, query: Annotated[SimilarQuery, Parameters()]) -> SearchResult:
    """Reads the stored neighbors, or searches if they are too few, or if other ones or another index are asked for."""
    return await to_thread.run_sync(served.of(query.run).search, Query(query.key, keys=(query.key,)), query)


def _search_each(catalog: Catalog, queries: Sequence[Query], form: BatchForm) -> BatchResult:
    found = catalog.search_each(queries, form, form.any_distance)
    return BatchResult(results=[_as_entry(each) for each in found])


def _as_entry(found: SearchResult | Exception) -> BatchEntry:
    if isinstance(found, SearchResult):
        return BatchEntry(result=found, error=None, status=200)
    status, detail = reply_to(found)
    return BatchEntry(result=None, error=detail, status=status)


async def _contents(files: Sequence[UploadFile]) -> list[bytes]:
    return [await file.read() for file in files]


async def _in_thread(request: Request, work: Callable[[], Answered]) -> Answered:
    """Run the work of an upload in one of the threads for uploads."""
    return await to_thread.run_sync(work, limiter=request.app.state.upload_threads)
