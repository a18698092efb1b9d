"""`params.yaml` as one typed model: every parameter, its unit and its range."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


# Numbers may come as strings: DVC writes 0.00001 as 1e-05, which PyYAML reads as a string. Pydantic coerces them.
Integer = Annotated[int, BeforeValidator(_refuse_bool)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
Share = Annotated[Number, Field(ge=0, le=1)]
PositiveShare = Annotated[Number, Field(gt=0, lt=1)]
PositiveNumber = Annotated[Number, Field(gt=0)]
Triple = tuple[Number, Number, Number]
Text = Annotated[str, Field(min_length=1)]
Loss = Literal["softmax", "normalized_softmax"]
Optimizer = Literal[
    "sgd", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lamb", "lion", "muon", "nadam",
    "rmsprop",
]  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class BaseParams(_Section):
    """What all stages share."""

    seed: Annotated[Integer, Field(ge=0, le=2**31 - 1)]
    """Seed of everything random but the training."""


class DataParams(_Section):
    """Stage `fetch`."""

    source: Text
    """A folder of images, best in class folders, an archive of one, or a recipe."""
    labels: Literal["folders", "none"]
    """Whether folders, or a table, give the classes; `none` ignores both, as for photographs in folders by date."""
    heic: Literal["read", "leave_out"]
    """What is done with HEIC images, for which the package `pillow-heif` is needed."""
    table: Text | None
    """The path, in the source, of a CSV file of classes; empty is `labels.csv` or `labels.tsv`, if there is one."""
    label: Text | None
    """The column of that table that has the classes; empty is `label`, or the only one there is."""


class ScanParams(_Section):
    """Stage `scan`."""

    max_rejected: Share
    """Share of the files that may be unreadable."""
    min_correlation: Annotated[Number, Field(gt=0, le=1)]
    """Correlation of two thumbnails above which their images count as near duplicates."""


class SplitParams(_Section):
    """Stage `split`."""

    train: PositiveShare
    """Share of each class to learn from."""
    valid: PositiveShare
    """Share of each class that chooses the best epoch, and parameters."""
    test: PositiveShare
    """Share of each class that final figures are measured with."""
    keep_given: bool
    """Whether the splits that the source gives (folders such as `train`, or a column `split`) are kept; the others are
    drawn."""

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "SplitParams":
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-3:
            raise ValueError(f"train + valid + test must be 1, not {total:g}")
        return self


class BackboneParams(_Section):
    """Stage `backbone`; `batch_size`: stage `featurize`."""

    name: Text
    """`efficientnet_lite0`, `…1` or `…2`, a model of `keras.applications`, or the path of an ONNX file."""
    weights: Text
    """`imagenet`, or the path of a weights file of the model without its classifier."""
    image_size: Annotated[Integer, Field(ge=16, le=2048)]
    """Side of the square that images are resized to, in pixels."""
    normalization: tuple[Triple, tuple[PositiveNumber, PositiveNumber, PositiveNumber]] | None
    """Mean and standard deviation, per channel, of the pixels in 0…1 that the network of an ONNX file was trained with;
    empty for all other backbones."""
    taps: list[str]
    """Layers whose channels are pooled to means and deviations, or beginnings of their names, which stand for the last
    such layer; `final` is the usual pooled last layer; [] is [final]."""
    batch_size: Annotated[Integer, Field(ge=1, le=4096)]
    """Images that the backbone runs on at a time."""
    engine: Literal["openvino", "openvino_bf16", "keras"]
    """What runs the backbone: OpenVINO in 32-bit floats, or in 16-bit ones, faster on processors that have them, or
    Keras, which can use a GPU."""

    @property
    def is_onnx(self) -> bool:
        """Whether the name is the path of an ONNX file."""
        return self.name.lower().endswith(".onnx")

    @model_validator(mode="after")
    def _onnx_files_bring_no_preprocessing(self) -> "BackboneParams":
        if self.normalization and not self.is_onnx:
            raise ValueError(f"normalization must be empty, since {self.name} comes with its preprocessing")
        if self.is_onnx and not self.normalization:
            raise ValueError("normalization is needed with an ONNX file; [[0, 0, 0], [1, 1, 1]] leaves pixels in 0…1")
        if self.is_onnx and (self.taps not in ([], ["final"]) or self.engine == "keras"):
            raise ValueError("with an ONNX file, taps must be [], and engine openvino or openvino_bf16")
        return self


class EmbeddingParams(_Section):
    """Stages `train` and `embed`."""

    size: Annotated[Integer, Field(ge=1, le=4096)]
    """Dimensions of the class part, the ReLU layer that is learned from labels."""
    visual_size: Annotated[Integer, Field(ge=0, le=4096)]
    """Dimensions of the visual part; 0 is none, as in the original."""
    visual_taps: list[str]
    """The entries of `backbone.taps` that the visual part is made of; [] is all."""
    visual_weight: Share
    """Weight of the visual part in the cosine of two embeddings."""


class TrainParams(_Section):
    """Stage `train`."""

    lr: Annotated[Number, Field(gt=0, le=10)]
    """Learning rate."""
    epochs: Annotated[Integer, Field(ge=1, le=100_000)]
    """Passes over the training images at most; the best one is kept, by the MAP@R of the validation images for
    `normalized_softmax`, by their loss for `softmax`. With the schedule `cosine`, classes with more than 500
    training images on average are passed over less often, in proportion, but at least a sixth of this."""
    patience: Annotated[Integer, Field(ge=1)] | None
    """Epochs without a better one after which training ends; empty is never."""
    batch_size: Annotated[Integer, Field(ge=1, le=1_000_000)]
    """Images per step."""
    optimizer: Optimizer
    """An optimizer of Keras; `sgd` is the original's. Others need another `train.lr`, often 0.001."""
    schedule: Literal["constant", "cosine"]
    """How the learning rate falls: `constant` is lr / (1 + 10⁻⁶ · step), as in the original; `cosine` ends at 0 after
    `train.epochs`."""
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    """Nesterov momentum of `sgd`."""
    loss: Loss
    """Cross-entropy of products with the classes' vectors (`softmax`, the original's layers), or of cosines to them
    (`normalized_softmax`, on standardized features, with dropout and weight decay)."""
    scale: PositiveNumber | None
    """Factor of the cosines in `normalized_softmax`, 1 / temperature; empty is ln(9 · (classes − 1)), which gives a
    class the probability 0.9 if its cosine is 1 and those of all others are 0."""
    dropout: Annotated[Number, Field(ge=0, lt=1)] | None
    """Share of the features that a training step of `normalized_softmax` does not see; empty is 0.5, or less if classes
    have more than 100 training images on average: 5 / √images, so 0.1 for 2,500."""
    seed: Annotated[Integer, Field(ge=0, le=2**31 - 1)]
    """Seed of the initial weights, the order of the batches, and dropout; `base.seed` is that of all else."""

    @property
    def best_epoch_by(self) -> tuple[str, Literal["max", "min"]]:
        """The figure by which the best epoch is chosen; the loss rises long before retrieval ceases to improve."""
        return ("val_map_at_r", "max") if self.loss == "normalized_softmax" else ("val_loss", "min")


class NeighborsParams(_Section):
    """Stages `neighbors` and `ann`."""

    top_k: Annotated[Integer, Field(ge=1, le=10_000)]
    """Neighbors stored per image."""


class AnnParams(_Section):
    """Stage `ann`."""

    trees: Annotated[Integer, Field(ge=1, le=10_000)]
    """Trees of the Annoy index."""
    search_k: Annotated[Integer, Field(ge=1, le=2**31 - 1)] | None
    """Candidates per query; empty is a multiple of trees × (top_k + 1)."""
    target_recall: Annotated[Number, Field(gt=0, le=1)] | None
    """Share of the true neighbors to be found, for which the smallest `search_k` is looked for; empty is none."""


class NoveltyParams(_Section):
    """Stage `novelty`."""

    accepted: PositiveShare
    """Share of the indexed images that should count as similar to another one."""


class Params(_Section):
    """All of `params.yaml`."""

    base: BaseParams
    data: DataParams
    scan: ScanParams
    split: SplitParams
    backbone: BackboneParams
    embedding: EmbeddingParams
    train: TrainParams
    neighbors: NeighborsParams
    ann: AnnParams
    novelty: NoveltyParams

    @model_validator(mode="after")
    def _visual_taps_are_tapped(self) -> "Params":
        missing = [tap for tap in self.embedding.visual_taps if tap not in self.backbone.taps]
        if missing and self.embedding.visual_size:
            raise ValueError(f"embedding.visual_taps: {missing[0]!r} is none of backbone.taps; [] takes all of them")
        return self
