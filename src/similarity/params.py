"""`params.yaml` as one typed model: every parameter, its unit and its range."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from similarity.errors import UserError


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _refuse_repetition(value: list[str]) -> list[str]:
    if repeated := [entry for i, entry in enumerate(value) if entry in value[:i]]:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return value


# Numbers may come as strings: DVC writes 0.00001 as 1e-05, which PyYAML reads as a string. Pydantic coerces them.
Integer = Annotated[int, BeforeValidator(_refuse_bool)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
Share = Annotated[Number, Field(ge=0, le=1)]
PositiveShare = Annotated[Number, Field(gt=0, lt=1)]

PositiveNumber = Annotated[Number, Field(gt=0)]
Taps = Annotated[list[str], AfterValidator(_refuse_repetition)]
Loss = Literal["softmax", "normalized_softmax"]
Precision = Literal["f32", "bf16"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class BaseParams(_Section):
    """What all stages share."""

    seed: Annotated[Integer, Field(ge=0, le=2**31 - 1)]
    """Seed of everything that is random."""


class DataParams(_Section):
    """Stage `fetch`."""

    source: Annotated[str, Field(min_length=1)]
    """A folder of images, best in class folders, an archive of one, or a recipe."""
    mode: Literal["copy", "link"]
    """Whether the images of a folder are copied, or symbolic links to them are made; see [images.md](images.md)."""
    layout: Literal["files", "shards"]
    """Whether `data/images` has a file for each image, or a few tar archives: best from 100,000 images on; see
    [scaling.md](scaling.md)."""
    shards: Annotated[Integer, Field(ge=1, le=100_000)]
    """How many such archives; an image's key tells its archive. Only of `data.layout: shards`."""
    heic: Literal["read", "leave_out"]
    """What is done with HEIC images, for which the package `pillow-heif` is needed."""
    table: Annotated[str, Field(min_length=1)] | None
    """The path, in the source, of a CSV or Parquet file of classes; empty is `labels.csv` or `labels.parquet`, if there
    is one."""
    label: Annotated[str, Field(min_length=1)] | None
    """The column of that table that has the classes; empty is `label`, or the only one there is."""
    max_unpacked_gb: Annotated[Number, Field(gt=0)]
    """The most that an archive may unpack to, in 10⁹ bytes."""


class ScanParams(_Section):
    """Stage `scan`."""

    max_rejected: Share
    """Share of the files that may be unreadable."""
    thumbnail_size: Annotated[Integer, Field(ge=8, le=256)]
    """Side of the thumbnails, in pixels; near duplicates and the pixel baseline go by them."""
    histogram_bins: Annotated[Integer, Field(ge=2, le=256)]
    """Bins of the color histogram, per channel."""


class DuplicatesParams(_Section):
    """Stage `duplicates`."""

    min_correlation: Annotated[Number, Field(gt=0, le=1)]
    """Correlation of two thumbnails from which their images count as near duplicates."""
    max_exact: Annotated[Integer, Field(ge=0)]
    """Images up to which near duplicates are looked for by comparing all with all; of more, by an index."""


class SplitParams(_Section):
    """Stage `split`."""

    train: PositiveShare
    """Share of each class to learn from."""
    valid: PositiveShare
    """Share of each class that chooses the best epoch, and parameters."""
    test: PositiveShare
    """Share of each class that final figures are measured with."""
    keep_given: bool
    """Whether the splits that the source gives (folders such as `train`, or a column `split`) are kept; what it does
    not give is drawn."""
    group_near_duplicates: bool
    """Whether nearly equal images share a split, as far as each class allows."""

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "SplitParams":
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-3:
            raise ValueError(f"train + valid + test must be 1, not {total:g}")
        return self


class BackboneParams(_Section):
    """Stage `backbone`; `batch_size`: stage `featurize`."""

    name: Annotated[str, Field(min_length=1)]
    """`efficientnet_lite0`, `…1` or `…2`, a model of `keras.applications`, or the path of an ONNX file."""
    weights: Annotated[str, Field(min_length=1)]
    """`imagenet`, or the path of a weights file of the model without its classifier."""
    image_size: Annotated[Integer, Field(ge=16, le=2048)]
    """Side of the square that images are resized to, in pixels."""
    mean: tuple[Number, Number, Number] | None
    """Mean of each channel of pixels in 0…1 that an ONNX file's network was trained with; empty for other backbones."""
    std: tuple[PositiveNumber, PositiveNumber, PositiveNumber] | None
    """Standard deviation, likewise."""
    taps: Taps
    """Layers whose channels are pooled to means and deviations, or beginnings of their names, which stand for the last
    such layer; `final` is the usual pooled last layer; [] is [final]."""
    precision: Precision
    """Numbers that OpenVINO computes in: `f32`, or `bf16`, faster on processors that have it."""
    batch_size: Annotated[Integer, Field(ge=1, le=4096)]
    """Images that the backbone runs on at a time."""
    engine: Literal["openvino", "keras"]
    """What runs the backbone."""

    @property
    def is_onnx(self) -> bool:
        """Whether the name is the path of an ONNX file."""
        return self.name.lower().endswith(".onnx")

    @model_validator(mode="after")
    def _keras_computes_in_f32(self) -> "BackboneParams":
        if self.engine == "keras" and self.precision != "f32":
            raise ValueError(f"precision must be f32 with engine keras, not {self.precision}")
        return self

    @model_validator(mode="after")
    def _onnx_files_bring_no_preprocessing(self) -> "BackboneParams":
        if not self.is_onnx:
            if self.mean or self.std:
                raise ValueError(f"mean and std must be empty, since {self.name} comes with its preprocessing")
            return self
        if not (self.mean and self.std):
            raise ValueError("mean and std are needed with an ONNX file; [0, 0, 0] and [1, 1, 1] leave pixels in 0…1")
        if self.taps not in ([], ["final"]):
            raise ValueError(f"taps must be [] with an ONNX file, not {self.taps}: its output is what is taken")
        if self.engine != "openvino":
            raise ValueError("engine must be openvino with an ONNX file")
        return self


class EmbeddingParams(_Section):
    """Stages `train`, `visual` and `embed`."""

    size: Annotated[Integer, Field(ge=1, le=4096)]
    """Dimensions of the class part, the ReLU layer that is learned from labels."""
    visual_size: Annotated[Integer, Field(ge=0, le=4096)]
    """Dimensions of the visual part; 0 is none, as in the original."""
    visual_taps: Taps
    """The entries of `backbone.taps` that the visual part is made of; [] is all."""
    visual_weight: Share
    """Weight of the visual part in the cosine of two embeddings."""


class TrainParams(_Section):
    """Stage `train`."""

    lr: Annotated[Number, Field(gt=0, le=10)]
    """Learning rate of SGD."""
    epochs: Annotated[Integer, Field(ge=1, le=100_000)]
    """Passes over the training images; the one with the lowest validation loss is kept."""
    batch_size: Annotated[Integer, Field(ge=1, le=1_000_000)]
    """Images per step."""
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    """Momentum of SGD."""
    nesterov: bool
    """Whether the momentum is Nesterov's."""
    decay: Annotated[Number, Field(ge=0, le=1)]
    """Decay of the learning rate, per step: lr / (1 + decay · step)."""
    weight_decay: Annotated[Number, Field(ge=0, lt=1)]
    """Share by which each weight shrinks per step, × lr."""
    loss: Loss
    """Cross-entropy of products with the classes' vectors (`softmax`, the original's) or of cosines to them."""
    scale: Annotated[Number, Field(gt=0, le=1000)]
    """Factor of the cosines in `normalized_softmax`; 1 / temperature."""
    dropout: Annotated[Number, Field(ge=0, lt=1)]
    """Share of the features that a training step does not see."""
    standardize: bool
    """Whether features are brought to mean 0 and standard deviation 1."""


class NeighborsParams(_Section):
    """Stages `neighbors` and `ann`."""

    top_k: Annotated[Integer, Field(ge=1, le=10_000)]
    """Neighbors stored per image."""


class AnnParams(_Section):
    """Stage `ann`."""

    backend: Literal["annoy", "faiss"]
    """The approximate index: Annoy's trees, or an HNSW graph by Faiss."""
    trees: Annotated[Integer, Field(ge=1, le=10_000)]
    """Trees of the Annoy index."""
    links: Annotated[Integer, Field(ge=2, le=512)]
    """Links of each image in the Faiss graph."""
    search_k: Annotated[Integer, Field(ge=1, le=2**31 - 1)] | None
    """Candidates per query; empty is trees × (top_k + 1) for Annoy, the larger of 64 and 2 × (top_k + 1) for Faiss."""
    target_recall: Annotated[Number, Field(gt=0, le=1)] | None
    """Share of the true neighbors to be found, for which the smallest `search_k` is looked for; empty is none."""


class ThresholdParams(_Section):
    """Stage `threshold`."""

    accepted: PositiveShare
    """Share of the indexed images that are to count as similar to another one."""


class MapParams(_Section):
    """Stage `map`."""

    landmarks: Annotated[Integer, Field(ge=2, le=20_000)]
    """Images that t-SNE lays out."""
    perplexity: Annotated[Number, Field(ge=1, le=1000)]
    """Neighbors that t-SNE keeps near, roughly."""


class EvaluateParams(_Section):
    """Stages `variants`, `baselines` and `evaluate`."""

    query_rows: Annotated[Integer, Field(ge=1, le=100)]
    """Test images drawn with their neighbors."""
    likeness_queries: Annotated[Integer, Field(ge=1)]
    """Test images that are changed, to see whether they are found."""
    max_queries: Annotated[Integer, Field(ge=1)]
    """Test images to measure with; of more, a sample, each class in it."""


class AuditParams(_Section):
    """Stage `audit`."""

    folds: Annotated[Integer, Field(ge=2, le=100)]
    """Parts of the images, in each of which labels are judged by what the others teach."""


class Params(_Section):
    """All of `params.yaml`."""

    base: BaseParams
    data: DataParams
    scan: ScanParams
    duplicates: DuplicatesParams
    split: SplitParams
    backbone: BackboneParams
    embedding: EmbeddingParams
    train: TrainParams
    neighbors: NeighborsParams
    ann: AnnParams
    threshold: ThresholdParams
    map: MapParams
    evaluate: EvaluateParams
    audit: AuditParams

    @model_validator(mode="after")
    def _visual_taps_are_tapped(self) -> "Params":
        chosen, taps = self.embedding.visual_taps, self.backbone.taps
        if self.embedding.visual_size and (missing := [tap for tap in chosen if tap not in taps]):
            raise ValueError(
                f"embedding.visual_taps: {missing[0]!r} is none of backbone.taps ({', '.join(taps) or 'none'}): choose "
                "some of these, or [] for all"
            )
        return self


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks every parameter.

    Raises:
        UserError: the file is missing or no YAML, or a parameter is unknown, missing or not allowed. The message
            names the parameter with dots, its value, and what is allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"there is no {path} here: run from the root of the repository") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(content if content is not None else {})
    except ValidationError as error:
        raise UserError("; ".join(_explain(path, problem) for problem in error.errors())) from error


def _explain(path: Path, problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, _known_names(), n=1)
        return f"{path}: {name} is unknown" + (f"; did you mean {near[0]}?" if near else "; remove it")
    if problem["type"] == "missing":
        return f"{path}: {name} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    shown = "" if isinstance(value, dict | BaseModel) else f": {value!r}"
    place = f"{name}{shown}: " if name else ""
    return f"{path}: {place}{message[0].lower()}{message[1:]}"


def _known_names() -> list[str]:
    sections = {name: field.annotation for name, field in Params.model_fields.items()}
    return [
        *sections,
        *(f"{name}.{key}" for name, section in sections.items() if section for key in section.model_fields),
    ]
