"""What the calls accept: the fields of their queries and bodies. A field that a call does not have is refused."""

from base64 import b64decode
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import Form, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from starlette.datastructures import FormData, UploadFile

from service.access import Refusal
from service.schema import (
    MAX_DOWNLOADED,
    MAX_IMAGES,
    MAX_NEIGHBORS,
    MAX_RESULTS,
    MAX_ROWS,
    FindingFilter,
    Key,
    Label,
    Split,
)
from similarity.data.images.query_images import Region, parse_region
from similarity.engine.results import Index, Options

Multipart = Form(media_type="multipart/form-data")


class _FormRequest(Request):
    """A request that reads JSON as a form with the same fields."""

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]  # FastAPI only awaits it
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in {"multipart/form-data", "application/x-www-form-urlencoded"}:
            return await super().form(**limits)
        if kind != "application/json":
            example = "as `curl -F image=@photo.jpg` does, or JSON with the image in base64"
            raise Refusal(415, "use_multipart", f"Use multipart/form-data, {example}; not {kind or 'no type'!r}.")
        try:
            given = await self.json()
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "bad_body", "The body is not JSON.") from error
        if not isinstance(given, dict):
            raise Refusal(422, "invalid", "The body must be a JSON object.")
        listed = {name: each if isinstance(each, list) else [each] for name, each in given.items()}
        return FormData([(name, each) for name, values in listed.items() for each in values if each is not None])


class FormRoute(APIRoute):
    """A call whose form may also be sent as JSON; the OpenAPI document has the form, as makers of clients need one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            return await handle(_FormRequest(request.scope, request.receive))

        return handle_form


def _read_image(given: object) -> object:
    """Read an upload, or decode base64, also from a data URL."""
    if isinstance(given, UploadFile):
        return given.file.read()
    try:
        return b64decode(str(given).rpartition(",")[2], validate=True)
    except ValueError as error:
        raise ValueError("this is no file (`curl -F image=@photo.jpg`), and in JSON no base64") from error


def _parse_region(given: list[object]) -> Region:
    """Parse a region, which FastAPI gives as a list, as it is a tuple."""
    return parse_region(",".join(map(str, given)))


_BINARY = WithJsonSchema({"type": "string", "format": "binary"})  # what makers of clients know
_PART = "The part of the one image or key to search with: `x,y,width,height`, in fractions of the upright image."
_REGION = WithJsonSchema({"type": "string", "description": _PART, "examples": ["0.25,0,0.5,1"]})
Image = Annotated[bytes, BeforeValidator(_read_image), _BINARY]
Images = Annotated[list[Image], Field(max_length=MAX_IMAGES, description="Image files, whatever their names.")]
Keys = Annotated[list[Key], Field(max_length=MAX_IMAGES, description="Keys of indexed images.")]
Part = Annotated[Region | None, BeforeValidator(_parse_region), _REGION]


class Input(BaseModel):
    """The fields that a call takes; empty ones count as missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, given: dict[str, object]) -> dict[str, object]:
        return {name: each for name, each in given.items() if each not in ("", [""])}


class Filters(Input):
    """Which images to return; all conditions must hold."""

    label: Annotated[list[Label], Field(description="Only images of these classes.")] = []
    not_label: Annotated[list[Label], Field(description="No images of these classes.")] = []
    split: Annotated[Split | None, Field(description="Only images of this part.", examples=["test"])] = None
    finding: Annotated[FindingFilter | None, Field(description="With a finding of a kind, `any`, or `none`.")] = None


class SearchOptions(Filters):
    """How to search."""

    k: Annotated[int, Field(ge=1, le=MAX_NEIGHBORS, description="How many neighbors to return at most.")] = 10
    offset: Annotated[int, Field(ge=0, lt=MAX_RESULTS, description="How many to skip; with `k`, 1,000 at most.")] = 0
    index: Annotated[Index | None, Field(description="What to search.", examples=["exact"])] = None
    look: Annotated[float | None, Field(ge=0, le=1, description="0 finds the same kind, 1 the same look.")] = None
    run: Annotated[Literal["beside"] | None, Field(description="`beside` searches the second run.")] = None
    include: Annotated[list[Literal["urls"]], Field(description="`urls`: of each image and its thumbnail.")] = []

    @model_validator(mode="after")
    def _check_end(self) -> "SearchOptions":
        if (end := self.offset + self.k) > MAX_RESULTS:
            raise ValueError(f"k + offset is {end:,}, and may be {MAX_RESULTS:,} at most")
        return self

    def as_engine_options(self, any_distance: bool = False) -> Options:
        """Return the same for the engine."""
        same = self.model_dump(include={"split", "finding", "index", "look", "offset"})
        return Options(self.k, self.label or None, not_label=self.not_label or None, any=any_distance, **same)


class SimilarQuery(SearchOptions):
    """A search with an indexed image."""

    key: Key


class EmbedForm(Input):
    """Images to be embedded."""

    image: Annotated[Images, Field(min_length=1)]


class SearchForm(SearchOptions):
    """One search with one image or several, which may be similar to nothing."""

    image: Images = []
    key: Keys = []
    any_distance: Annotated[bool, Field(alias="any", description="Return the nearest even if none is similar.")] = False
    vector: Annotated[list[float], Field(description="An embedding, as `embed` returns it, to search with.")] = []
    like: Annotated[Keys, Field(description="Keys of images like those that are wanted.")] = []
    unlike: Annotated[Keys, Field(description="Keys of images unlike those that are wanted.")] = []
    region: Part = None

    @model_validator(mode="after")
    def _check_number(self) -> "SearchForm":
        if not (self.image or self.key or any(self.vector)):
            raise ValueError("image, key: at least one of them is needed, or a vector that is not all 0")
        number = len(self.image) + len(self.key) + len(self.like) + len(self.unlike)
        if number > MAX_IMAGES:
            raise ValueError(f"{number} images and keys are too many: {MAX_IMAGES} are allowed")
        if self.region and (self.vector or len(self.image) + len(self.key) != 1):
            raise ValueError("region: it is a part of one image or key, and not of several")
        return self


class WhyForm(Input):
    """An image, uploaded or by key, and one that was found for it."""

    image: Images = []
    key: Keys = []
    hit: Key
    region: Part = None

    @model_validator(mode="after")
    def _check_number(self) -> "WhyForm":
        if len(self.image) + len(self.key) != 1:
            raise ValueError("image, key: one of them is needed, and one image only")
        return self


class Paged(Input):
    """A page of a list."""

    page: Annotated[int, Field(ge=1, le=10**9, description="Number of the page, from 1.")] = 1
    size: Annotated[int, Field(ge=1, le=MAX_ROWS, description="How many are on a page.")] = 60

    @property
    def entries(self) -> slice:
        """Which entries are on the page."""
        return slice((self.page - 1) * self.size, self.page * self.size)

    def describe_page(self, total: int) -> dict[str, int]:
        """Return what the answer says about the page."""
        return {"page": self.page, "pages": max(1, -(-total // self.size)), "total": total}


class ImagesQuery(Filters, Paged):
    """A page of the indexed images."""

    name: Annotated[str | None, Field(max_length=200, description="Part of the files' names, any case.")] = None
    row: Annotated[list[int], Field(max_length=MAX_ROWS, description="Only these, in this order, by `row`.")] = []


class DownloadForm(Input):
    """Images to be packed together."""

    key: Annotated[list[Key], Field(min_length=1, max_length=MAX_DOWNLOADED, description="Of each image.")]
