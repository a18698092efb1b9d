"""What the calls accept: the fields of their forms and queries. A field that a call does not have is refused."""

from typing import Annotated, Literal

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from service.schema import FindingFilter, FindingKind, Key, Label, Split
from similarity.data.images.query_images import Region, parse_region
from similarity.engine.results import Options
from similarity.engine.stores import Index
from similarity.errors import UserError

MAX_NEIGHBORS = 100
MAX_RESULTS = 1000
MAX_IMAGES = 32
MAX_DOWNLOADED = 1000


def _check_region(text: str) -> str:
    try:
        parse_region(text)
    except UserError as error:
        raise ValueError(str(error)) from error
    return text  # a tuple would be a repeated field to FastAPI


Image = Annotated[UploadFile, WithJsonSchema({"type": "string", "format": "binary"})]  # what makers of clients know
Images = Annotated[
    list[Image],
    Field(max_length=MAX_IMAGES, description="Image files; their content decides the format, not the name."),
]
Keys = Annotated[list[Key], Field(max_length=MAX_IMAGES, description="Keys of indexed images.")]


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: object) -> object:
        """Treat empty fields of a form as missing."""
        return {name: each for name, each in given.items() if each != ""} if isinstance(given, dict) else given


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
    compare: Annotated[bool, Field(description="Search the other index as well.")] = False
    look: Annotated[
        float | None,
        Field(ge=0, le=1, description="0 finds the same kind, 1 the same look; by exact search only.", examples=[0.5]),
    ] = None
    run: Annotated[Literal["beside"] | None, Field(description="`beside` searches the second run that is served.")] = (
        None
    )

    @model_validator(mode="after")
    def _check_end(self) -> "SearchOptions":
        if (end := self.offset + self.k) > MAX_RESULTS:
            raise ValueError(f"k + offset is {end:,}, and may be {MAX_RESULTS:,} at most")
        return self

    def as_engine_options(self, index: Index | None, any_distance: bool) -> Options:
        """Return the options for a search of an index."""
        same = self.model_dump(include={"label", "split", "finding", "look", "offset"})
        return Options(self.k, index=index, any=any_distance, stored=not self.compare, **same)


class SimilarQuery(SearchOptions):
    """A search with an indexed image."""

    key: Key


class BatchForm(SearchOptions):
    """Several searches, with images that may be similar to nothing."""

    image: Images = []
    key: Keys = []
    any_distance: Annotated[bool, Field(alias="any", description="Return the nearest even if none is similar.")] = False

    @model_validator(mode="after")
    def _check_number(self) -> "BatchForm":
        if not self.image and not self.key:
            raise ValueError("image, key: at least one of them is needed")
        number = sum(len(getattr(self, name, ())) for name in ("image", "key", "like", "unlike"))
        if number > MAX_IMAGES:
            raise ValueError(f"{number} images and keys are too many: {MAX_IMAGES} are allowed")
        return self


class SearchForm(BatchForm):
    """One search with one image or several."""

    like: Annotated[Keys, Field(description="Keys of images like those that are wanted.")] = []
    unlike: Annotated[Keys, Field(description="Keys of images unlike those that are wanted.")] = []
    region: Annotated[
        Annotated[str, AfterValidator(_check_region)] | None,
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

    @property
    def part(self) -> Region | None:
        """The region, as numbers."""
        return parse_region(self.region) if self.region else None


class _Paged(_Input):
    page: Annotated[int, Field(ge=1, le=10**9, description="Number of the page, from 1.")] = 1
    size: Annotated[int, Field(ge=1, le=500, description="How many are on a page.")] = 60

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


class FindingsQuery(_Paged):
    """A page of the findings."""

    kind: Annotated[FindingKind | None, Field(description="Only these.", examples=["wrong_label"])] = None
    label: Annotated[Label | None, Field(description="Only findings about images of this class.")] = None
    key: Annotated[Key | None, Field(description="Only findings about this image.")] = None


class DownloadForm(_Input):
    """Images to be packed together."""

    key: Annotated[list[Key], Field(min_length=1, max_length=MAX_DOWNLOADED, description="Of each image.")]
