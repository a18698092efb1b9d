"""What the audit found, and what people decide about it: rows of `data/corrections.csv`, which `fetch` applies."""

import os
from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel, Field, model_validator

from service.access import API, Refusal
from service.catalog import Catalog, Current
from service.forms import FormRoute, Input, Paged
from service.schema import Decision, FindingKind, Key, Label, Page
from similarity.data.sources import label_tables
from similarity.data.sources.folders import can_be_class
from similarity.finding import KINDS, Finding, explain
from similarity.layout import CORRECTIONS, DATA

router = APIRouter(prefix=API, route_class=FormRoute, tags=["findings"])
_WRITING = Lock()


class FindingsQuery(Paged):
    """A page of the findings."""

    kind: Annotated[FindingKind | None, Field(description="Only these.", examples=["wrong_label"])] = None
    label: Annotated[Label | None, Field(description="Only findings about images of this class.")] = None
    key: Annotated[Key | None, Field(description="Only findings about this image.")] = None
    decided: Annotated[bool | None, Field(description="Only those with a decision, or only those without.")] = None


class FindingEntry(BaseModel):
    """Something that is probably wrong with an image, a pair of images, or a class."""

    kind: FindingKind
    key: Annotated[Key | None, Field(description="The image; null if it is about a class.")]
    label: Annotated[Label | None, Field(description="Its class.")]
    indexed: Annotated[bool, Field(description="Whether the image can be shown: false for an unreadable one.")]
    suggested: Annotated[Label | None, Field(description="The class that it rather seems to be of.")]
    other: Annotated[Key | None, Field(description="The other image of a pair.")]
    other_label: Annotated[Label | None, Field(description="Its class.")]
    score: Annotated[float | None, Field(description="What findings of its kind are sorted by.", examples=[0.931])]
    explanation: Annotated[str, Field(examples=["Probably of class jug: the label is wrong with …"])]
    decision: Annotated[Decision | None, Field(description="What was decided since the audit.")]
    decided_key: Annotated[Key | None, Field(description="The image it was decided about: that one, or `other`.")]
    decided_label: Annotated[Label | None, Field(description="The class to relabel it to.")]


class FindingCount(BaseModel):
    """A kind of findings and how many there are."""

    kind: FindingKind
    findings: int


class FindingPage(Page):
    """Some of the findings, the most important first."""

    audited: Annotated[bool, Field(description="Whether there was an audit at all.")]
    counts: Annotated[list[FindingCount], Field(description="Findings of each kind, the most important first.")]
    findings: list[FindingEntry]


class Correction(BaseModel):
    """What somebody decided about an image: its label is right, is to be another one, or it is to be left out."""

    key: Key
    decision: Decision
    label: Annotated[Label | None, Field(description="The right class, for `relabel`.")] = None


class Corrections(BaseModel):
    """All decisions; the next run of the pipeline applies them."""

    writable: Annotated[bool, Field(description="Whether this service takes decisions.")]
    corrections: list[Correction]


class CorrectionForm(Input):
    """A decision about the label of an image."""

    key: Key
    decision: Annotated[Decision | Literal["undecided"], Field(description="`undecided` takes a decision back.")]
    label: Annotated[Label | None, Field(description="The right class, for `relabel`.")] = None

    @model_validator(mode="after")
    def _check_label(self) -> "CorrectionForm":
        if (self.decision == "relabel") != (self.label is not None):
            raise ValueError("label: it is needed for `relabel`, and for nothing else")
        if not can_be_class(self.label or ""):
            raise ValueError(f"label: {self.label!r} cannot be the name of a class")
        return self


@router.get("/findings", summary="List what is probably wrong with images and labels")
def list_findings(catalog: Current, query: Annotated[FindingsQuery, Query()]) -> FindingPage:
    """Return a page of what the stage `audit` has found, the most important first; none if it was not run."""
    decisions, findings = _read(catalog), catalog.gallery.findings or ()
    found = [
        each
        for each in findings
        if query.kind in {None, each.finding}
        and query.label in {None, each.label, each.other_label}
        and query.key in {None, each.path, each.other}
        and query.decided in {None, bool(decisions.keys() & {each.path, each.other})}
    ]
    kinds = [each.finding for each in findings]
    return FindingPage(
        audited=catalog.gallery.findings is not None,
        counts=[FindingCount(kind=kind, findings=kinds.count(kind)) for kind in KINDS if kind in kinds],
        findings=[_entry(each, catalog, decisions) for each in found[query.entries]],
        **query.describe_page(len(found)),
    )


def _entry(finding: Finding, catalog: Catalog, decisions: dict[str, label_tables.Correction]) -> FindingEntry:
    known: dict[str, Any] = {name: each or None for name, each in finding._asdict().items()}
    decided_key = next((key for key in (finding.path, finding.other) if key in decisions), None)
    decision, decided_label = decisions[decided_key] if decided_key else (None, None)
    return FindingEntry(
        kind=finding.finding,
        key=known["path"],
        indexed=finding.path in catalog.gallery.finding_rows,
        explanation=explain(finding),
        decision=decision,
        decided_key=decided_key,
        decided_label=decided_label or None,
        **known,
    )


@router.get("/corrections", summary="List what was decided about labels")
def list_corrections(request: Request, catalog: Current) -> Corrections:
    """Return the rows of `data/corrections.csv`, by key; the next run of the pipeline applies them."""
    writable = request.app.state.takes_corrections and os.access(catalog.engine.root / DATA, os.W_OK)
    decided = _read(catalog).items()
    entries = [Correction(key=key, decision=decision, label=label or None) for key, (decision, label) in decided]
    return Corrections(writable=writable, corrections=entries)


@router.post("/corrections", summary="Decide about the label of an image")
def correct(request: Request, catalog: Current, form: Annotated[CorrectionForm, Form()]) -> Corrections:
    """Write a row of `data/corrections.csv`: the label is right, is to be another one, or the image is to be left out;
    `undecided` takes it back. A service without a token takes this from its own machine only.
    """
    if not request.app.state.takes_corrections:
        raise Refusal(403, "read_only", "Decisions need a token, and the service has none: set SIMILARITY_TOKEN.")
    if form.key not in {each.path for each in catalog.gallery.findings or ()}:  # it may be about an unreadable image
        catalog.gallery.row(form.key)
    try:
        with _WRITING:
            decisions = _read(catalog)
            decisions.pop(form.key, None)
            if form.decision != "undecided":
                decisions[form.key] = label_tables.Correction(form.decision, form.label or "")
            label_tables.write_corrections(catalog.engine.root / CORRECTIONS, decisions)
    except OSError as error:
        message = f"{CORRECTIONS} cannot be written here ({error.strerror}): decide where the pipeline runs."
        raise Refusal(403, "read_only", message) from error
    return list_corrections(request, catalog)


def _read(catalog: Catalog) -> dict[str, label_tables.Correction]:
    return label_tables.read_corrections(catalog.engine.root / CORRECTIONS)
