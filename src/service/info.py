"""What is served: the model, the data, the indexes, and the limits."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from similarity.data.dataset.manifest import SPLIT_NAMES
from similarity.data.features.extractor import describe as describe_backbone
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Index
from similarity.layout import ANN_INDEX, EMBEDDER, MANIFEST

Md5 = Annotated[str, Field(description="MD5 of the content.", pattern="^[0-9a-f]{32}$")]


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
    k: Annotated[int, Field(description="Neighbors in an answer.")]
    results: Annotated[int, Field(description="Neighbors that can be paged through: `k` + `offset`.")]
    images: Annotated[int, Field(description="Images and keys in a request.")]
    download_images: Annotated[int, Field(description="Images in a download.")]
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


def describe(engine: ImageIndex, limits: LimitInfo, metrics: dict[str, Any]) -> Info:
    """Describe what is served."""
    backbone, gallery, lock = describe_backbone(engine.root / EMBEDDER), engine.gallery, engine.lock
    manifest, vectors, splits = gallery.manifest, gallery.vectors, gallery.splits
    approximate_md5 = None if vectors.backend == "lancedb" else lock.md5(ANN_INDEX)
    model = {
        "backbone": backbone["name"],
        "image_size": backbone["image_size"],
        "embedding_size": vectors.parts.size,
        "visual_weight": vectors.parts.visual_weight if vectors.parts.are_two else None,
        "md5": lock.md5(EMBEDDER).removesuffix(".dir"),
    }
    data = {
        "images": len(engine),
        "classes": _counts(manifest.folders, manifest.labels),
        "splits": [] if splits is None else _counts(SPLIT_NAMES, splits[splits >= 0]),
        "audited": gallery.findings is not None,
        "md5": lock.md5(MANIFEST),
    }
    indexes = {"approximate": {"backend": vectors.backend, "md5": approximate_md5}}
    return Info.model_validate({"model": model, "data": data, "indexes": indexes, "metrics": metrics, "limits": limits})


def _counts(names: Sequence[str], places: np.ndarray) -> list[dict[str, Any]]:
    counts = np.bincount(places, minlength=len(names)).tolist()
    return [{"name": name, "images": count} for name, count in zip(names, counts, strict=True)]
