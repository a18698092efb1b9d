"""What the calls accept: the fields of their bodies and queries. A field that a call does not have is refused."""

from base64 import b64decode
from typing import Annotated, Literal, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from service.schema import Decision, FindingFilter, FindingKind, Key, Label, Split
from similarity.data.images.query_images import Region, parse_region
from similarity.data.sources.folders import can_be_class
from similarity.engine.results import Index, Options
from similarity.errors import UserError

MAX_NEIGHBORS = 100
MAX_RESULTS = 1000
MAX_IMAGES = 32
MAX_DOWNLOADED = 1000
MAX_ROWS = 500


def _decode(given: object) -> object:
    """Decode an image from base64, also from a data URL; a form has its bytes."""
    if not isinstance(given, str):
        return given
    try:
        return b64decode(given.rpartition(",")[2], validate=True)
    except ValueError as error:
        raise ValueError("this is no file (`curl -F image=@photo.jpg`), and in JSON no base64") from error


def _parse_region(given: object) -> object:
    try:
        return parse_region(str(given))
    except UserError as error:
        raise ValueError(str(error)) from error


_BINARY = WithJsonSchema({"type": "string", "format": "binary"})  # what makers of clients know
_PART = "The part of the one image or key to search with: `x,y,width,height`, in fractions of the upright image."
_REGION = WithJsonSchema({"type": "string", "description": _PART})
Image = Annotated[bytes, BeforeValidator(_decode), _BINARY]
Images = Annotated[list[Image], Field(max_length=MAX_IMAGES, description="Image files, whatever their names.")]
Keys = Annotated[list[Key], Field(max_length=MAX_IMAGES, description="Keys of indexed images.")]


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, given: object) -> object:
        """Treat empty fields of a form as missing, and one value as a list of one where several are allowed."""
        if not isinstance(given, dict):
            return given
        named = {name: each for name, each in given.items() if each not in ("", [""], None)}
        lists = lists_of(cls)
        return {name: [each] if isinstance(each, str) and name in lists else each for name, each in named.items()}


def lists_of(model: type[BaseModel]) -> set[str]:
    """Return the names of the fields that hold several values."""
    return {each.alias or name for name, each in model.model_fields.items() if get_origin(each.annotation) is list}


class Filters(_Input):
    """Which images to return; all conditions must hold."""

    label: Annotated[list[Label], Field(description="Only images of these classes.")] = []
    not_label: Annotated[list[Label], Field(description="No images of these classes.")] = []
    split: Annotated[Split | None, Field(description="Only images of this part.", examples=["test"])] = None
    finding: Annotated[FindingFilter | None, Field(description="Only with a finding of a kind, `any`, or `none`.")] = (
        None
    )


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


class EmbedForm(_Input):
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
    region: Annotated[Region | None, BeforeValidator(_parse_region), _REGION, Field(examples=["0.25,0,0.5,1"])] = None

    @model_validator(mode="after")
    def _check_number(self) -> "SearchForm":
        if not (self.image or self.key or self.vector):
            raise ValueError("image, key: at least one of them is needed")
        number = len(self.image) + len(self.key) + len(self.like) + len(self.unlike)
        if number > MAX_IMAGES:
            raise ValueError(f"{number} images and keys are too many: {MAX_IMAGES} are allowed")
        if self.region and (self.vector or len(self.image) + len(self.key) != 1):
            raise ValueError("region: it is a part of one image or key, and not of several")
        return self


class WhyForm(_Input):
    """An image, uploaded or by key, and one that was found for it."""

    image: Images = []
    key: Keys = []
    hit: Key
    region: Annotated[Region | None, BeforeValidator(_parse_region), _REGION, Field(examples=["0.25,0,0.5,1"])] = None

    @model_validator(mode="after")
    def _check_number(self) -> "WhyForm":
        if len(self.image) + len(self.key) != 1:
            raise ValueError("image, key: one of them is needed, and one image only")
        return self


class _Paged(_Input):
    page: Annotated[int, Field(ge=1, le=10**9, description="Number of the page, from 1.")] = 1
    size: Annotated[int, Field(ge=1, le=MAX_ROWS, description="How many are on a page.")] = 60

    @property
    def entries(self) -> slice:
        """Which entries are on the page."""
        return slice((self.page - 1) * self.size, self.page * self.size)

    def describe_page(self, total: int) -> dict[str, int]:
        """Return what the answer says about the page."""
        return {"page": self.page, "pages": max(1, -(-total // self.size)), "total": total}


class ImagesQuery(Filters, _Paged):
    """A page of the indexed images."""

    name: Annotated[str | None, Field(max_length=200, description="Part of the files' names, any case.")] = None
    row: Annotated[list[int], Field(max_length=MAX_ROWS, description="Only these, in this order, by `row`.")] = []


class FindingsQuery(_Paged):
    """A page of the findings."""

    kind: Annotated[FindingKind | None, Field(description="Only these.", examples=["wrong_label"])] = None
    label: Annotated[Label | None, Field(description="Only findings about images of this class.")] = None
    key: Annotated[Key | None, Field(description="Only findings about this image.")] = None
    decided: Annotated[bool | None, Field(description="Only those with a decision, or only those without.")] = None


class DownloadForm(_Input):
    """Images to be packed together."""

    key: Annotated[list[Key], Field(min_length=1, max_length=MAX_DOWNLOADED, description="Of each image.")]


class CorrectionForm(_Input):
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
