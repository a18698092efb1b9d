"""What the API returns, as its OpenAPI document says, and the limits that no option changes."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypeAliasType

from similarity import finding
from similarity.data.sources import label_tables
from similarity.engine.results import Index

MAX_NEIGHBORS = 100
MAX_RESULTS = 1000
MAX_IMAGES = 32
MAX_DOWNLOADED = 1000
MAX_ROWS = 500

Key = Annotated[str, Field(description="`<class>/<name>`, as in the manifest.", examples=["jug/jug_0042.jpg"])]
Label = Annotated[str, Field(description="A class.", examples=["jug"])]
# Aliases have names in the document as well, and so in the clients that are made of it.
Split = TypeAliasType("Split", Literal["train", "valid", "test"])
FindingKind = TypeAliasType("FindingKind", finding.FindingKind)
FindingFilter = TypeAliasType("FindingFilter", Literal[finding.FindingKind, "any", "none"])
Decision = TypeAliasType("Decision", label_tables.Decision)
Findings = Annotated[list[FindingKind], Field(description="Kinds of findings about the image.", examples=[["odd"]])]
Pixels = Annotated[int, Field(ge=1, description="Pixels.")]
Row = Annotated[int, Field(ge=0, description="Its place among all images, in the order of their keys.")]
Hash = Annotated[str, Field(description="Begin of the SHA-256 of its file; see `get_image`.", examples=["9f86d081"])]
Md5 = Annotated[str, Field(description="MD5 of the content.", pattern="^[0-9a-f]{32}$")]
Milliseconds = Annotated[
    float, AfterValidator(lambda number: round(number, 2)), Field(ge=0, description="Time that the server took.")
]


class ImageEntry(BaseModel):
    """An indexed image."""

    key: Key
    label: Label
    width: Pixels
    height: Pixels
    split: Split | None
    findings: Findings
    row: Row
    hash: Hash


class Neighbor(ImageEntry):
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


class Query(BaseModel):
    """An image that was asked for. An uploaded one has neither key nor class."""

    width: Pixels
    height: Pixels
    key: Key | None = None
    label: Label | None = None
    split: Split | None = None
    findings: Findings = []
    row: Row | None = None
    hash: Hash | None = None


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


class Page(BaseModel):
    """A part of a list."""

    page: Annotated[int, Field(ge=1)]
    pages: Annotated[int, Field(ge=1)]
    total: Annotated[int, Field(ge=0, description="What is on all pages together.")]


class ImagePage(Page):
    """Some of the indexed images, in the order of their keys; if a name was asked for, the best match first."""

    images: list[ImageEntry]


class Health(BaseModel):
    """The service is up and has its model loaded."""

    status: Annotated[str, Field(examples=["ok"])]


class Count(BaseModel):
    """A class or a split, and how many images it has."""

    name: str
    images: int


class DataInfo(BaseModel):
    """The indexed images; `md5` is of their manifest, as in `dvc.lock`, which holds the SHA-256 of each."""

    images: int
    classes: list[Count]
    splits: Annotated[list[Count], Field(description="Empty if the images are not split.")]
    audited: Annotated[bool, Field(description="Whether there was an audit.")]
    md5: Md5


class ModelInfo(BaseModel):
    """The model; `md5` is of its folder, as in `dvc.lock` but for the ending `.dir`."""

    backbone: str
    image_size: int
    embedding_size: int
    visual_weight: Annotated[float | None, Field(description="The look of the indexes; null if there is no choice.")]
    md5: Md5


class ApproximateInfo(BaseModel):
    """The approximate index, which searches are asked of by its backend's name; one in a database has no file."""

    backend: Index
    md5: Md5 | None


class IndexInfo(BaseModel):
    """The indexes, of which there is always an exact one."""

    approximate: ApproximateInfo


class LimitInfo(BaseModel):
    """What a request may ask for at most."""

    upload_bytes: Annotated[int, Field(description="Bytes of all images of a request together.")]
    megapixels: Annotated[float, Field(description="Millions of pixels of an image.")]
    k: Annotated[int, Field(description="Neighbors in an answer.")] = MAX_NEIGHBORS
    results: Annotated[int, Field(description="Neighbors that can be paged through: `k` + `offset`.")] = MAX_RESULTS
    images: Annotated[int, Field(description="Images and keys in a request.")] = MAX_IMAGES
    download_images: Annotated[int, Field(description="Images in a download.")] = MAX_DOWNLOADED
    download_bytes: Annotated[int, Field(description="Bytes of all images of a download together.")]


class _Run(BaseModel):
    model: ModelInfo
    indexes: IndexInfo
    metrics: Annotated[dict[str, Any], Field(description="The files in its `metrics/`, by name.")]


class BesideInfo(_Run):
    """A second run that is served for comparison, of the same images."""

    revision: Annotated[str, Field(description="The commit or the experiment.", examples=["my-experiment"])]


class Info(_Run):
    """What is served."""

    data: DataInfo
    limits: LimitInfo
    beside: Annotated[BesideInfo | None, Field(description="What `run=beside` searches, if there is a second run.")] = (
        None
    )
    out_of_date: Annotated[bool, Field(description="Whether the files are newer; see the call `reload`.")] = False
