"""What the API returns, as its OpenAPI document says."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypeAliasType

from similarity.engine.stores import Index
from similarity.findings import finding

Key = Annotated[str, Field(description="`<class>/<name>`, as in the manifest.", examples=["jug/jug_0042.jpg"])]
Label = Annotated[str, Field(description="A class.", examples=["jug"])]
# Aliases have names in the document as well, and so in the clients that are made of it.
Split = TypeAliasType("Split", Literal["train", "valid", "test"])
FindingKind = TypeAliasType("FindingKind", finding.FindingKind)
FindingFilter = TypeAliasType("FindingFilter", Literal[finding.FindingKind, "any", "none"])
Findings = Annotated[
    list[FindingKind], Field(description="Kinds of findings of the audit that are about the image.", examples=[["odd"]])
]
Md5 = Annotated[str, Field(description="MD5 of the content.", pattern="^[0-9a-f]{32}$")]
Milliseconds = Annotated[
    float, AfterValidator(lambda number: round(number, 2)), Field(ge=0, description="Time that the server took.")
]


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
    cosine: Annotated[float, Field(ge=-1, le=1.000001, description="Of the two embeddings.", examples=[0.974652])]
    url: Annotated[str | None, Field(description="Of its file, with `include=urls`.")] = None
    thumbnail_url: Annotated[str | None, Field(description="Of a small JPEG of it, with `include=urls`.")] = None


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
    """What was asked for, and what was found."""

    query: Annotated[Query | None, Field(description="The first of `queries`; null for a vector.")]
    queries: Annotated[list[Query], Field(description="All images that were asked for: uploads, then keys.")]
    answer: Answer
    place: Annotated[list[float] | None, Field(description="Where the query is on the map: x and y.")]
    embed_milliseconds: Milliseconds | None
    similar: Annotated[
        bool, Field(description="False for an upload that is like nothing; see `any` for its neighbors.")
    ]
    novel: Annotated[bool, Field(description="The opposite of `similar`; a novel region still has neighbors.")]
    novelty: Annotated[Novelty | None, Field(description="Of an upload: what decided `similar`.")]


class BatchEntry(BaseModel):
    """What became of one of several searches: a result, or an error."""

    result: SearchResult | None
    error: Annotated[str | None, Field(description="Why there is no result.")]
    code: Annotated[str | None, Field(description="The same, for programs.")]
    status: Annotated[int, Field(description="As if it had been asked for alone.", examples=[200])]


class BatchResult(BaseModel):
    """The results of several searches: of uploads in their order, then of keys in theirs."""

    results: list[BatchEntry]


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


class FindingCount(BaseModel):
    """A kind of findings and how many there are."""

    kind: FindingKind
    findings: int


class FindingPage(_Page):
    """Some of the findings, the most important first."""

    audited: Annotated[bool, Field(description="Whether there was an audit at all.")]
    counts: Annotated[list[FindingCount], Field(description="Of all findings, the most important kind first.")]
    findings: list[FindingEntry]


class Embeddings(BaseModel):
    """The embeddings of some images, in their order, at length 1."""

    embeddings: list[list[float]]
    milliseconds: Milliseconds


class Layout(BaseModel):
    """Places in the plane, 0…1 with y upwards; the lists run in parallel."""

    x: list[float]
    y: list[float]


class EmbeddingMap(Layout):
    """Images as points in the plane; the lists run in parallel."""

    classes: Annotated[list[str], Field(description="The last is `unlabeled` if there are images without a class.")]
    keys: list[str]
    labels: Annotated[list[int], Field(description="Positions in `classes`.")]
    splits: list[Split | None]
    findings: Annotated[dict[FindingKind, list[int]], Field(description="Positions in `keys`, by kind of finding.")]
    look: Annotated[Layout | None, Field(description="Places by the look alone; null if there is no choice.")]


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
    features: int
    engine: str
    embedding_size: int
    visual_weight: Annotated[float | None, Field(description="The look of the indexes; null if there is no choice.")]
    md5: Md5


class ApproximateInfo(BaseModel):
    """The approximate index, which searches are asked of by its backend's name; one in a database has no file."""

    backend: Index
    search_k: int | None
    md5: Md5 | None


class IndexInfo(BaseModel):
    """Neighbors that are stored for each image, and the approximate index."""

    stored_neighbors: int
    approximate: ApproximateInfo


class LimitInfo(BaseModel):
    """What a request may ask for at most."""

    upload_bytes: Annotated[int, Field(description="Of all images of a request together.")]
    megapixels: Annotated[float, Field(description="Millions of pixels of an image.")]
    k: Annotated[int, Field(description="Neighbors in an answer.")]
    results: Annotated[int, Field(description="Neighbors that can be paged through: `k` + `offset`.")]
    images: Annotated[int, Field(description="Images and keys in a request.")]
    download_images: Annotated[int, Field(description="Images in a download.")]
    download_bytes: Annotated[int, Field(description="Of all images of a download together.")]


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


class Health(BaseModel):
    """The service is up and has its model loaded."""

    status: Annotated[str, Field(examples=["ok"])]
