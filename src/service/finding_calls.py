"""The call that lists what the audit has found."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.dependencies import Current
from service.failures import failures
from service.forms import FindingsQuery
from service.schema import FindingPage, pages_of

router = APIRouter(tags=["findings"])


@router.get("/findings", responses=failures(422), summary="List what is probably wrong with images and labels")
def list_findings(catalog: Current, query: Annotated[FindingsQuery, Query()]) -> FindingPage:
    """Returns a page of what the stage `audit` has found, the most important first; none if it was not run."""
    found = catalog.findings(query.kind, query.label, query.key)
    first = (query.page - 1) * query.size
    return FindingPage(
        audited=catalog.gallery.findings is not None,
        counts=catalog.finding_counts,
        findings=[catalog.finding_entry(each) for each in found[first : first + query.size]],
        page=query.page,
        pages=pages_of(len(found), query.size),
        total=len(found),
    )
