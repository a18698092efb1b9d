"""What the calls accept: the fields of their bodies and queries. A field that a call does not have is refused."""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from starlette.datastructures import UploadFile

from service.failures import Refusal
from service.schema import FindingFilter, FindingKind, Key, Label, Split
from similarity.data.images.query_images import Region, parse_region
from similarity.engine.results import Options
from similarity.engine.stores import Index
from similarity.errors import UserError

MAX_NEIGHBORS = 100
MAX_RESULTS = 1000
MAX_IMAGES = 32
MAX_DOWNLOADED = 1000
MAX_ROWS = 500
_FORMS = "multipart/form-data", "application/x-www-form-urlencoded"
Body = TypeVar("Body", bound=BaseModel)


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


_BINARY = {"type": "string", "format": "binary"}  # what makers of clients know
Image = Annotated[bytes, BeforeValidator(_decode), WithJsonSchema(_BINARY)]
Images = Annotated[
    list[Image],
    Field(max_length=MAX_IMAGES, description="Image files; their content decides the format, not the name."),
]
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
        return {name: [each] if isinstance(each, str) and name in _lists(cls) else each for name, each in named.items()}


def _lists(model: type[BaseModel]) -> set[str]:
    """Return the names of the fields that hold several values."""
    return {each.alias or name for name, each in model.model_fields.items() if get_origin(each.annotation) is list}


class Filters(_Input):
    """Which images to return; all conditions must hold."""

    label: Annotated[Label | None, Field(description="Only images of this class.")] = None
    split: Annotated[Split | None, Field(description="Only images of this part.", examples=["test"])] = None
    finding: Annotated[
        FindingFilter | None,
        Field(description="Only images with a finding of this kind, with `any`, or with `none`.", examples=["none"]),
    ] = None


class SearchOptions(Filters):
    """How to search."""

    k: Annotated[int, Field(ge=1, le=MAX_NEIGHBORS, description="How many neighbors to return at most.")] = 10
    offset: Annotated[int, Field(ge=0, lt=MAX_RESULTS, description="How many to skip; with `k`, 1,000 at most.")] = 0
    index: Annotated[Index | None, Field(description="What to search.", examples=["exact"])] = None
    look: Annotated[
        float | None,
        Field(ge=0, le=1, description="0 finds the same kind, 1 the same look; by exact search only.", examples=[0.5]),
    ] = None
    run: Annotated[Literal["beside"] | None, Field(description="`beside` searches the second run that is served.")] = (
        None
    )
    include: Annotated[
        list[Literal["urls"]], Field(description="What else to return: `urls`, of each image and its thumbnail.")
    ] = []

    @model_validator(mode="after")
    def _check_end(self) -> "SearchOptions":
        if (end := self.offset + self.k) > MAX_RESULTS:
            raise ValueError(f"k + offset is {end:,}, and may be {MAX_RESULTS:,} at most")
        return self

    def as_engine_options(self, any_distance: bool) -> Options:
        """Return the same for the engine."""
        same = self.model_dump(include={"label", "split", "finding", "index", "look", "offset"})
        return Options(self.k, any=any_distance, **same)


class SimilarQuery(SearchOptions):
    """A search with an indexed image."""

    key: Key


class EmbedForm(_Input):
    """Images to be embedded."""

    image: Annotated[Images, Field(min_length=1)]


class BatchForm(SearchOptions):
    """Several searches, with images that may be similar to nothing."""

    image: Images = []
    key: Keys = []
    any_distance: Annotated[bool, Field(alias="any", description="Return the nearest even if none is similar.")] = False

    @model_validator(mode="after")
    def _check_number(self) -> "BatchForm":
        if not (self.image or self.key):
            raise ValueError("image, key: at least one of them is needed")
        number = sum(len(getattr(self, name, [])) for name in ("image", "key", "like", "unlike"))
        if number > MAX_IMAGES:
            raise ValueError(f"{number} images and keys are too many: {MAX_IMAGES} are allowed")
        return self


class SearchForm(BatchForm):
    """One search with one image or several."""

    like: Annotated[Keys, Field(description="Keys of images like those that are wanted.")] = []
    unlike: Annotated[Keys, Field(description="Keys of images unlike those that are wanted.")] = []
    region: Annotated[
        Region | None,
        BeforeValidator(_parse_region),
        WithJsonSchema({"type": "string"}),
        Field(
            description="The part of the one image or key to search with: `x,y,width,height`, in fractions of the "
            "image as it stands upright.",
            examples=["0.25,0,0.5,1"],
        ),
    ] = None

    @model_validator(mode="after")
    def _check_region(self) -> "SearchForm":
        if self.region and len(self.image) + len(self.key) != 1:
            raise ValueError("region: it is a part of one image or key, and not of several")
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

    name: Annotated[
        str | None,
        Field(max_length=200, description="Part of the files' names, in capitals or not.", examples=["0042"]),
    ] = None
    row: Annotated[list[int], Field(max_length=MAX_ROWS, description="Only these, in this order, by `row`.")] = []


class FindingsQuery(_Paged):
    """A page of the findings."""

    kind: Annotated[FindingKind | None, Field(description="Only these.", examples=["wrong_label"])] = None
    label: Annotated[Label | None, Field(description="Only findings about images of this class.")] = None
    key: Annotated[Key | None, Field(description="Only findings about this image.")] = None


class DownloadForm(_Input):
    """Images to be packed together."""

    key: Annotated[list[Key], Field(min_length=1, max_length=MAX_DOWNLOADED, description="Of each image.")]


async def _content(field: UploadFile | str) -> bytes | str:
    return await field.read() if isinstance(field, UploadFile) else field


def body_of(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """Return a dependency that reads a body as a form or as JSON."""
    lists = _lists(model)

    async def read(request: Request) -> Body:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        given: Any
        if kind in _FORMS:
            async with request.form() as form:
                fields = {name: [await _content(each) for each in form.getlist(name)] for name in form}
            given = {name: each if name in lists else each[-1] for name, each in fields.items()}
        elif kind == "application/json":
            try:
                given = await request.json()
            except ValueError as error:
                raise Refusal(400, "bad_body", "The body is not JSON.") from error
        else:
            example = "as `curl -F image=@photo.jpg` does, or JSON with the image in base64"
            raise Refusal(415, "use_multipart", f"Use multipart/form-data, {example}; not {kind or 'no type'!r}.")
        try:
            return model.model_validate(given)
        except ValidationError as error:
            problems = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            raise RequestValidationError(problems) from error

    return read


def describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a form for the OpenAPI document, without JSON: some makers of clients fail where there is a choice."""
    kind = _FORMS["image" not in model.model_fields]
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def add_forms(schemas: dict[str, Any]) -> None:
    """Add all forms to the schemas of the OpenAPI document."""
    for model in (SearchForm, BatchForm, EmbedForm, DownloadForm):
        form = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(form.pop("$defs", {}))
        schemas[model.__name__] = form
