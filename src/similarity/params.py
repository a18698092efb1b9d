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

Taps = Annotated[list[str], AfterValidator(_refuse_repetition)]
Loss = Literal["softmax", "normalized_softmax"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BaseParams(_Section):
    """What all stages share."""

    seed: Annotated[Integer, Field(ge=0, le=2**31 - 1)]


class DataParams(_Section):
    """Stage `fetch`."""

    source: Annotated[str, Field(min_length=1)]  # folder of class folders, archive of one, or recipe
    max_unpacked_gb: Annotated[Number, Field(gt=0)]  # bound on what an archive may unpack to, in 10⁹ bytes


class ScanParams(_Section):
    """Stage `scan`."""

    max_rejected: Share  # share of the files that may be unreadable
    thumbnail_size: Annotated[Integer, Field(ge=8, le=256)]  # pixels, side of the square
    histogram_bins: Annotated[Integer, Field(ge=2, le=256)]  # per color channel


class DuplicatesParams(_Section):
    """Stage `duplicates`."""

    min_correlation: Annotated[Number, Field(gt=0, le=1)]  # of two thumbnails, to count as nearly the same image


class SplitParams(_Section):
    """Stage `split`."""

    train: PositiveShare  # of each class
    valid: PositiveShare
    test: PositiveShare
    group_near_duplicates: bool  # whether nearly equal images always share a split

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "SplitParams":
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-3:
            raise ValueError(f"train + valid + test must be 1, not {total:g}")
        return self


class BackboneParams(_Section):
    """Stage `featurize`."""

    name: Annotated[str, Field(min_length=1)]
    weights: Annotated[str, Field(min_length=1)]  # `imagenet`, or a weights file
    image_size: Annotated[Integer, Field(ge=16, le=2048)]  # pixels
    taps: Taps  # layers, or beginnings of their names: the last such; `final` for the last means; [] is [final]
    batch_size: Annotated[Integer, Field(ge=1, le=4096)]  # images
    engine: Literal["openvino", "keras"]


class EmbeddingParams(_Section):
    """Stages `train`, `visual` and `embed`."""

    size: Annotated[Integer, Field(ge=1, le=4096)]  # dimensions of the class part
    visual_size: Annotated[Integer, Field(ge=0, le=4096)]  # dimensions of the visual part; 0 is none
    visual_taps: Taps  # those of backbone.taps that the visual part is made of; [] is all
    visual_weight: Share  # of the visual part in the cosine of two embeddings


class TrainParams(_Section):
    """Stage `train`."""

    lr: Annotated[Number, Field(gt=0, le=10)]
    epochs: Annotated[Integer, Field(ge=1, le=100_000)]
    batch_size: Annotated[Integer, Field(ge=1, le=1_000_000)]  # images
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    nesterov: bool
    decay: Annotated[Number, Field(ge=0, le=1)]  # per step: lr / (1 + decay · step)
    weight_decay: Annotated[Number, Field(ge=0, lt=1)]  # share of each weight taken off per step, × lr
    loss: Loss  # of cosines to the classes, not of products, if normalized
    scale: Annotated[Number, Field(gt=0, le=1000)]  # of the cosines in normalized_softmax; 1 / temperature
    dropout: Annotated[Number, Field(ge=0, lt=1)]  # share of the features that a training step does not see
    standardize: bool  # features to mean 0, standard deviation 1 over the training images


class NeighborsParams(_Section):
    """Stages `neighbors` and `ann`."""

    top_k: Annotated[Integer, Field(ge=1, le=10_000)]  # neighbors kept per image


class AnnParams(_Section):
    """Stage `ann`."""

    backend: Literal["annoy", "faiss"]
    trees: Annotated[Integer, Field(ge=1, le=10_000)]  # annoy
    links: Annotated[Integer, Field(ge=2, le=512)]  # faiss: of each image in the graph
    search_k: Annotated[Integer, Field(ge=1, le=2**31 - 1)] | None  # candidates per query; null: see `default_search_k`
    target_recall: Annotated[Number, Field(gt=0, le=1)] | None  # share of the true neighbors; overrides search_k


class ThresholdParams(_Section):
    """Stage `threshold`."""

    accepted: PositiveShare  # of the indexed images, to be taken for similar to another one


class MapParams(_Section):
    """Stage `map`."""

    landmarks: Annotated[Integer, Field(ge=2, le=20_000)]  # images that t-SNE lays out
    perplexity: Annotated[Number, Field(ge=1, le=1000)]  # neighbors that t-SNE keeps near, roughly


class EvaluateParams(_Section):
    """Stages `variants`, `baselines` and `evaluate`."""

    query_rows: Annotated[Integer, Field(ge=1, le=100)]  # test images drawn with their neighbors
    likeness_queries: Annotated[Integer, Field(ge=1)]  # test images that are changed, to see whether they are found
    max_queries: Annotated[Integer, Field(ge=1)]  # test images to measure with; of more, a sample, each class in it


class AuditParams(_Section):
    """Stage `audit`."""

    folds: Annotated[Integer, Field(ge=2, le=100)]  # in each of which labels are judged by what the others teach


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
