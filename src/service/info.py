"""What is served, as the API describes it."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from service.schema import Label, Model, Split
from similarity.dataset.manifest import SPLIT_NAMES
from similarity.engine.image_index import ImageIndex
from similarity.engine.stores import Index
from similarity.features.extractor import describe as describe_backbone
from similarity.layout import ANN_INDEX, EMBEDDER, MANIFEST

Md5 = Annotated[str, Field(description="MD5 of the content.", pattern="^[0-9a-f]{32}$")]


class ClassCount(Model):
    """A class and how many images it has."""

    name: Label
    images: int


class SplitCount(Model):
    """A split and how many images it has."""

    name: Split
    images: int


class DataInfo(Model):
    """The indexed images; `md5` is of their manifest, as in `dvc.lock`, which holds the SHA-256 of each."""

    images: int
    classes: list[ClassCount]
    splits: Annotated[list[SplitCount], Field(description="Empty if the images are not split.")]
    audited: Annotated[bool, Field(description="Whether there was an audit.")]
    md5: Md5


class ModelInfo(Model):
    """The model; `md5` is of its folder, as in `dvc.lock` but for the ending `.dir`."""

    backbone: str
    image_size: int
    features: int
    engine: str
    embedding_size: int
    visual_weight: Annotated[float | None, Field(description="The look of the indexes; null if there is no choice.")]
    md5: Md5


class ApproximateInfo(Model):
    """The approximate index, which searches are asked of by its backend's name; one in a database has no file."""

    backend: Index
    search_k: int | None
    md5: Md5 | None


class IndexInfo(Model):
    """Neighbors that are stored for each image, and the approximate index."""

    stored_neighbors: int
    approximate: ApproximateInfo


class LimitInfo(Model):
    """What a request may ask for at most."""

    upload_bytes: Annotated[int, Field(description="Of all images of a request together.")]
    megapixels: Annotated[float, Field(description="Millions of pixels of an image.")]
    k: Annotated[int, Field(description="Neighbors in an answer.")]
    results: Annotated[int, Field(description="Neighbors that can be paged through: `k` + `offset`.")]
    images: Annotated[int, Field(description="Images and keys in a request.")]
    download_images: Annotated[int, Field(description="Images in a download.")]
    download_bytes: Annotated[int, Field(description="Of all images of a download together.")]


class _Run(Model):
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
    beside: Annotated[
        BesideInfo | None, Field(description="What `run=beside` searches; null if the service has no second run.")
    ] = None
    out_of_date: Annotated[
        bool, Field(description="Whether the pipeline has made something else since, or is about to; see `reload`.")
    ] = False


def describe(engine: ImageIndex, limits: LimitInfo, metrics: dict[str, Any]) -> Info:
    """Describe what is served."""
    backbone, gallery, lock = describe_backbone(engine.root / EMBEDDER), engine.gallery, engine.lock
    manifest, vectors = gallery.manifest, gallery.vectors
    counts = np.bincount(manifest.labels, minlength=len(manifest.folders)).tolist()
    splits = [] if gallery.splits is None else [int((gallery.splits == place).sum()) for place in range(3)]
    is_published = vectors.backend == "lancedb"
    return Info(
        model=ModelInfo(
            backbone=backbone["name"],
            image_size=backbone["image_size"],
            features=backbone["features"],
            engine=backbone["engine"],
            embedding_size=vectors.parts.size,
            visual_weight=vectors.parts.visual_weight if vectors.parts.are_two else None,
            md5=lock.md5(EMBEDDER).removesuffix(".dir"),
        ),
        data=DataInfo(
            images=len(engine),
            classes=[ClassCount(name=name, images=count) for name, count in zip(manifest.folders, counts, strict=True)],
            splits=[SplitCount(name=name, images=count) for name, count in zip(SPLIT_NAMES, splits, strict=False)],  # type: ignore[arg-type]
            audited=gallery.findings is not None,
            md5=lock.md5(MANIFEST),
        ),
        indexes=IndexInfo(
            stored_neighbors=len(engine.stored_neighbors(engine.keys[0]) or ()),
            approximate=ApproximateInfo(
                backend=vectors.backend,
                search_k=vectors.search_k,
                md5=None if is_published else lock.md5(ANN_INDEX),
            ),
        ),
        metrics=metrics,
        limits=limits,
    )
