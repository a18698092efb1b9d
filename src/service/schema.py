"""What the API takes and gives, as it stands in its OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from similarity.index.backends import Backend
from similarity.index.searcher import Index

MAX_NEIGHBORS = 100
Count = Annotated[int, Field(ge=1, le=MAX_NEIGHBORS, description="How many neighbors to give, if there are as many.")]
Key = Annotated[str, Field(description="`<class>/<name>`, as in the manifest.", examples=["marble/marble_0042.jpg"])]
Label = Annotated[str, Field(description="A class.", examples=["marble"])]
Look = Annotated[
    float,
    Field(ge=0, le=1, description="0 finds images of the same kind, 1 those of the same look; by exact search only."),
]
Md5 = Annotated[str, Field(description="MD5 of the content.", pattern="^[0-9a-f]{32}$")]
Milliseconds = Annotated[float, Field(ge=0, description="Time that the server took.")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Failure(_Model):
    """Why there is no answer."""

    detail: Annotated[str, Field(examples=["no image 'marble/x.jpg' is indexed; near it are: marble/marble_0042.jpg"])]


class Neighbor(_Model):
    """An indexed image that is similar to the query."""

    key: Key
    label: Label
    cosine: Annotated[float, Field(ge=-1, le=1.000001, description="Similarity to the query.", examples=[0.974652])]


class Answer(_Model):
    """The images most similar to the query, best first."""

    index: Annotated[Index, Field(description="What was searched.")]
    source: Annotated[str, Field(description="`inverted index` if stored neighbors were read, else `search`.")]
    milliseconds: Milliseconds
    neighbors: list[Neighbor]


class Query(_Model):
    """The image that was asked for. An uploaded one has neither key nor class."""

    key: Key | None
    label: Label | None
    width: Annotated[int, Field(ge=1, description="Pixels.")]
    height: Annotated[int, Field(ge=1, description="Pixels.")]


class Novelty(_Model):
    """How far an upload is from all that is indexed, in the features of the backbone."""

    distance: Annotated[float, Field(ge=0, description="To the nearest indexed image.")]
    max_distance: Annotated[float, Field(ge=0, description="Up to which an image is similar to something.")]


class SearchResult(_Model):
    """The answer of one index and, if a comparison was asked for, that of the other."""

    query: Query
    answer: Answer
    comparison: Answer | None
    embed_milliseconds: Milliseconds | None
    similar: Annotated[
        bool,
        Field(
            description="False if nothing indexed is similar to an upload, with a class or without. No neighbors are "
            "given then, unless `any` asks for them."
        ),
    ]
    novelty: Annotated[Novelty | None, Field(description="Of an upload: by what `similar` was decided.")]


class ImageEntry(_Model):
    """An indexed image."""

    key: Key
    label: Label
    width: Annotated[int, Field(ge=1, description="Pixels.")]
    height: Annotated[int, Field(ge=1, description="Pixels.")]


class ImagePage(_Model):
    """Some of the indexed images, in the order of their keys."""

    images: list[ImageEntry]
    page: Annotated[int, Field(ge=1)]
    pages: Annotated[int, Field(ge=1)]
    total: Annotated[int, Field(ge=0, description="Images in all pages.")]


class ClassCount(_Model):
    """A class and how many images it has."""

    name: Label
    images: int


class DataInfo(_Model):
    """The indexed images; `md5` is of their manifest, as in `dvc.lock`, which holds the SHA-256 of each."""

    images: int
    classes: list[ClassCount]
    md5: Md5


class ModelInfo(_Model):
    """The model; `md5` is of its folder, as in `dvc.lock` but for the ending `.dir`."""

    backbone: str
    image_size: int
    features: int
    engine: str
    embedding_size: int
    visual_weight: Annotated[float | None, Field(description="The look of the indexes; null if there is no choice.")]
    md5: Md5


class ApproximateInfo(_Model):
    """The approximate index, which searches are asked of by its backend's name."""

    backend: Backend
    search_k: int | None
    md5: Md5


class IndexInfo(_Model):
    """Neighbors that are stored for each image, and the approximate index."""

    stored_neighbors: int
    approximate: ApproximateInfo


class LimitInfo(_Model):
    """The largest upload in bytes, the largest image in millions of pixels, the most neighbors."""

    upload_bytes: int
    megapixels: float
    k: int


class Info(_Model):
    """What is served."""

    model: ModelInfo
    data: DataInfo
    indexes: IndexInfo
    metrics: Annotated[dict[str, Any], Field(description="The files in `metrics/`, by name.")]
    limits: LimitInfo


class EmbeddingMap(_Model):
    """Images as points in the plane; the lists run in parallel. `labels` are positions in `classes`, of which the last
    is `unlabeled` if there are images without a class.
    """

    classes: list[str]
    keys: list[str]
    labels: list[int]
    x: list[float]
    y: list[float]


class Health(_Model):
    """The service is up and has its model loaded."""

    status: Annotated[str, Field(examples=["ok"])]
