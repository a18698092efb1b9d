"""What the API returns, as its OpenAPI document says."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypeAliasType

from similarity.data.dataset import corrections
from similarity.engine.results import Index
from similarity.findings import finding

Key = Annotated[str, Field(description="`<class>/<name>`, as in the manifest.", examples=["jug/jug_0042.jpg"])]
Label = Annotated[str, Field(description="A class.", examples=["jug"])]
# Aliases have names in the document as well, and so in the clients that are made of it.
Split = TypeAliasType("Split", Literal["train", "valid", "test"])
FindingKind = TypeAliasType("FindingKind", finding.FindingKind)
FindingFilter = TypeAliasType("FindingFilter", Literal[finding.FindingKind, "any", "none"])
Findings = Annotated[list[FindingKind], Field(description="Kinds of findings about the image.", examples=[["odd"]])]
Milliseconds = Annotated[
    float, AfterValidator(lambda number: round(number, 2)), Field(ge=0, description="Time that the server took.")
]


Decision = TypeAliasType("Decision", corrections.Decision)


class Failure(BaseModel):
    """Why there is no answer."""

    code: Annotated[str, Field(description="For programs: it stays the same.", examples=["unknown_name"])]
    detail: Annotated[str, Field(examples=["no image 'jug/x.jpg' is indexed; near it are: jug/jug_0042.jpg"])]


class _Sized(BaseModel):
    width: Annotated[int, Field(ge=1, description="Pixels.")]
    height: Annotated[int, Field(ge=1, description="Pixels.")]


class _Indexed(BaseModel):
    key: Key
    label: Label
    split: Split | None
    findings: Findings
    row: Annotated[int, Field(ge=0, description="Its place among all images, in the order of their keys.")]
    hash: Annotated[str, Field(description="Begin of the SHA-256 of its file; see `get_image`.", examples=["9f86d081"])]


class Neighbor(_Indexed):
    """An indexed image that is similar to the query."""

    likeness: Annotated[int, Field(ge=0, le=100, description="How similar it is to the query.", examples=[83])]
    words: Annotated[str, Field(description="The likeness in words.", examples=["very similar"])]
    cosine: Annotated[float, Field(ge=-1, le=1.000001, description="Of both embeddings.", examples=[0.974652])]
    url: Annotated[str | None, Field(description="URL of its file, with `include=urls`.")] = None
    thumbnail_url: Annotated[str | None, Field(description="URL of a small JPEG, with `include=urls`.")] = None


class Answer(BaseModel):
    """The images most similar to the query, best first."""

    index: Annotated[Index, Field(description="What was searched.")]
    source: Annotated[str, Field(description="`inverted index` if stored neighbors were read, else `search`.")]
    milliseconds: Milliseconds
    matches: Annotated[int, Field(ge=0, description="How many images could be returned, with larger `k` and `offset`.")]
    neighbors: list[Neighbor]


class Query(_Sized):
    """An image that was asked for. An uploaded one has neither key nor class."""

    key: Key | None = None
    label: Label | None = None
    split: Split | None = None
    findings: Findings = []
    row: Annotated[int | None, Field(description="Its place among all images.")] = None
    hash: str | None = None


class Novelty(BaseModel):
    """How far an upload is from all that is indexed, in the features of the backbone."""

    distance: Annotated[float, Field(ge=0, description="To the nearest indexed image.")]
    max_distance: Annotated[float, Field(ge=0, description="Up to which an image is similar to something.")]


class SearchResult(BaseModel):
    """The query and its results."""

    query: Annotated[Query | None, Field(description="The first of `queries`; null for a vector.")]
    queries: Annotated[list[Query], Field(description="All images of the query: uploads, then keys.")]
    answer: Answer
    place: Annotated[list[float] | None, Field(description="Where the query is on the map: x and y.")]
    embed_milliseconds: Milliseconds | None
    similar: Annotated[bool, Field(description="False for an upload that is like nothing; see `any`.")]
    novel: Annotated[bool, Field(description="The opposite of `similar`; a novel region still has neighbors.")]
    novelty: Annotated[Novelty | None, Field(description="For an upload: what decided `similar`.")]


Grid = Annotated[
    list[list[Annotated[float, Field(ge=0, le=1)]]],
    Field(description="How much each place contributes, in rows from above; 1 is the place that contributes most."),
]


class Why(BaseModel):
    """Where in two images their likeness comes from."""

    query: Grid
    hit: Grid
    milliseconds: Milliseconds


class ImageEntry(_Indexed, _Sized):
    """An indexed image."""


class _Page(BaseModel):
    page: Annotated[int, Field(ge=1)]
    pages: Annotated[int, Field(ge=1)]
    total: Annotated[int, Field(ge=0, description="What is on all pages together.")]


class ImagePage(_Page):
    """Some of the indexed images, in the order of their keys; if a name was asked for, the best match first."""

    images: list[ImageEntry]


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
    decided_label: Annotated[Label | None, Field(description="The class to relabel it to.")]


class FindingCount(BaseModel):
    """A kind of findings and how many there are."""

    kind: FindingKind
    findings: int


class FindingPage(_Page):
    """Some of the findings, the most important first."""

    audited: Annotated[bool, Field(description="Whether there was an audit at all.")]
    counts: Annotated[list[FindingCount], Field(description="Findings of each kind, the most important first.")]
    findings: list[FindingEntry]


class Embeddings(BaseModel):
    """The embeddings of some images, in their order, at length 1."""

    embeddings: list[list[float]]
    milliseconds: Milliseconds


class Change(BaseModel):
    """An image whose nearest differ between two runs."""

    query: ImageEntry
    shared: Annotated[int, Field(ge=0, description="How many of its ten nearest both runs have.")]


class Changes(BaseModel):
    """The test images, or all if there are no splits, whose nearest differ most between two runs."""

    changes: list[Change]


class Correction(BaseModel):
    """What somebody decided about an image: its label is right, is to be another one, or it is to be left out."""

    key: Key
    decision: Decision
    label: Annotated[Label | None, Field(description="The right class, for `relabel`.")]


class Corrections(BaseModel):
    """All decisions; the next run of the pipeline applies them."""

    writable: Annotated[bool, Field(description="Whether this service takes decisions.")]
    corrections: list[Correction]


class Health(BaseModel):
    """The service is up and has its model loaded."""

    status: Annotated[str, Field(examples=["ok"])]
