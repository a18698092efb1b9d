"""From pixels and features to embeddings, without Keras: the class part, learned from labels, and the visual part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.data.features.extractor import Extractor, load_extractor
from similarity.data.files import write_arrays
from similarity.data.vectors import multiply_rows, normalize, row_blocks, standardization
from similarity.errors import UserError

_SHRINKAGE = 0.3  # of the variances, by which components are divided
_MIN_VARIANCE = 1e-6  # of a component, relative to the first one; less is rounding
_MAX_ROWS = 50_000  # images that the components are computed from; of more, a sample
_MODEL = "embedding.npz"


class Head(NamedTuple):
    """The weights of both trained layers, float32; E is the length of the class part, C the number of classes."""

    kernel: np.ndarray  # (D, E), from features to the class part
    bias: np.ndarray  # (E,)
    class_kernel: np.ndarray  # (E, C), from the class part to the classes' logits
    class_bias: np.ndarray  # (C,)


def save_head(head: Head, path: Path) -> None:
    """Write the weights as a ``.weights.h5`` file of Keras, with the same bytes every time.

    ``load_weights`` of ``Sequential([Input((D,)), Dense(E, "relu"), Dense(C, "softmax")])`` reads it. After a training
    with ``normalized_softmax``, only embeddings of length 1 give the right probabilities.
    """
    import h5py

    content = BytesIO()  # a full disk gives one clear error here, where HDF5's own has several lines
    layers = ("dense", "embedding", head.kernel, head.bias), ("dense_1", "classes", head.class_kernel, head.class_bias)
    with h5py.File(content, "w") as file:
        file.create_group("vars")
        for place, name, kernel, bias in layers:
            variables = file.create_group(f"layers/{place}/vars")
            variables.attrs["name"] = name
            variables["0"], variables["1"] = kernel, bias
    path.write_bytes(content.getvalue())


def load_head(path: Path) -> Head:
    """Read what `save_head` wrote."""
    import h5py

    with path.open("rb") as content, h5py.File(content) as file:
        return Head(*(file[f"layers/{place}/vars/{part}"][:] for place in ("dense", "dense_1") for part in "01"))


def embed(
    features: np.ndarray, head: Head, multiply: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.matmul
) -> np.ndarray:
    """Map features, float32 (n, D), to class parts, float32 (n, E), none negative, by some matrix product."""
    blocks = (np.maximum(multiply(block, head.kernel) + head.bias, 0) for block in row_blocks(features))
    return np.concatenate([np.empty((0, len(head.bias)), np.float32), *blocks])


def predict_classes(features: np.ndarray, head: Head) -> np.ndarray:
    """Find the most likely class of each row of features, float32 (n, D): its index, int64 (n,).

    This holds for both losses: cosines have no bias, so the length of an embedding does not change the best class.
    """
    return (embed(features, head) @ head.class_kernel + head.class_bias).argmax(axis=1)


class VisualPart(NamedTuple):
    """What distinguishes images of one class, learned without labels; with K = 0 there is no visual part."""

    kernel: np.ndarray  # float32 (D, K), zeros in the rows of features that are not used
    bias: np.ndarray  # float32 (K,)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map features, float32 (n, D), to components with mean 0 over the images fitted to: float32 (n, K)."""
        return multiply_rows(features, self.kernel) + self.bias


def fit_visual_part(features: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: int, seed: int) -> VisualPart:
    """Find the leading principal components of standardized features, and make them about equally large (whitening).

    The features of a pretrained network are dominated by a few directions, such as brightness and the kind of object.
    Whitening gives the finer ones, by which one image differs from others of its kind, the same weight (Jégou & Chum,
    "Negative evidences and co-occurences in image retrieval: the benefit of PCA and whitening", ECCV 2012). A component
    of variance v is divided by √(v + 0.3 · m), with the mean variance m. Without m, and with no more images than
    components, each image would be as far from all the others.

    Args:
        features: float32 (n, D); may be mapped from a file.
        rows: the images to fit to, int64 (m,); of more than 50,000, a sample that the seed draws.
        columns: which of the features are used, int64 (d,), ascending.
        size: how many components; there are fewer where the images span fewer.
    """
    from sklearn.decomposition import PCA

    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:_MAX_ROWS])
    taken = np.concatenate([block[:, columns] for block in row_blocks(features, sample)])
    count = min(size, len(taken) - 1, len(columns))
    if count < 1:
        return VisualPart(np.zeros((features.shape[1], 0), np.float32), np.zeros(0, np.float32))
    mean, scale = standardization(taken)
    taken -= mean
    taken /= scale
    is_wide = len(taken) < taken.shape[1]
    analysis = PCA(count, svd_solver="full" if is_wide else "covariance_eigh").fit(taken)
    variances = analysis.explained_variance_.astype(np.float64)
    kept = variances > _MIN_VARIANCE * variances[0]
    mean_variance = np.square(taken).sum() / (len(taken) - 1) / min(len(taken) - 1, len(columns))
    lengths = np.sqrt(variances[kept] + _SHRINKAGE * mean_variance)
    folded = analysis.components_[kept].T / lengths / scale[:, None].astype(np.float64)
    kernel = np.zeros((features.shape[1], len(lengths)), np.float32)
    kernel[columns] = folded
    return VisualPart(kernel, (-mean @ folded).astype(np.float32))


@dataclass(frozen=True)
class EmbeddingModel:
    """Maps features to embeddings.

    An embedding is the class part at length √(1 − w), then the visual part at length √w, so that the cosine of two
    embeddings is (1 − w) · cosine of the class parts + w · cosine of the visual parts; w is `visual_weight`. Without a
    visual part, it is the output of the ReLU layer as it is.
    """

    head: Head
    visual: VisualPart
    visual_weight: float

    @property
    def class_size(self) -> int:
        """Length of the class part, the beginning of an embedding."""
        return len(self.head.bias)

    @property
    def size(self) -> int:
        """Length of an embedding."""
        return self.class_size + len(self.visual.bias)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map features, float32 (n, D), to embeddings, float32 (n, E + K); no row changes the bits of another."""
        embeddings, start = np.empty((len(features), self.size), np.float32), 0
        for block in row_blocks(features):
            rows = slice(start, start := start + len(block))
            parts = [embed(block, self.head, multiply_rows), self.visual(block)]
            if len(self.visual.bias):
                weights = (1 - self.visual_weight, self.visual_weight)
                parts = [np.float32(w**0.5) * normalize(part) for w, part in zip(weights, parts, strict=True)]
            np.concatenate(parts, axis=1, out=embeddings[rows])
        return embeddings


@dataclass(frozen=True)
class Embedder:
    """Embeds images as the pipeline does. One call at a time: not to be shared by threads."""

    extractor: Extractor
    model: EmbeddingModel

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Map RGB pixels, float32 (n, size, size, 3) in 0…255, to embeddings, float32 (n, E + K)."""
        return self.model(self.extractor(pixels))

    def check(self, pixels: np.ndarray, embeddings: np.ndarray) -> None:
        """Embed a few indexed images again, from pixels as above, and compare them with those stored, none all zeros.

        Raises:
            UserError: another model gave the stored ones.
        """
        agreement = 0.0
        if self.extractor.features == len(self.model.head.kernel) and embeddings.shape[1] == self.model.size:
            agreement = float((normalize(self(pixels)) * normalize(embeddings)).sum(axis=1).min(initial=1))
        if not agreement >= self.extractor.min_agreement:
            raise UserError(
                f"the model does not give the stored embeddings of indexed images (cosine {agreement:.4f}): data/ and "
                "models/ come from different runs; run `dvc repro`, or `dvc checkout` to go back to the last one"
            )


def save_embedder(folder: Path, backbone: Path, model: EmbeddingModel) -> None:
    """Fill an existing folder, which can then be used alone, with a copy of the backbone's and the embedding model."""
    for file in sorted(backbone.iterdir()):
        (folder / file.name).write_bytes(file.read_bytes())
    arrays = {**model.head._asdict(), **{f"visual_{name}": array for name, array in model.visual._asdict().items()}}
    write_arrays(folder / _MODEL, {**arrays, "visual_weight": np.float64(model.visual_weight)})


def load_embedder(folder: Path, batch_sizes: Sequence[int]) -> Embedder:
    """Load what `save_embedder` wrote, prepared for some numbers of images; see `load_extractor`."""
    return Embedder(load_extractor(folder, batch_sizes), load_embedding_model(folder))


def load_embedding_model(folder: Path) -> EmbeddingModel:
    """Load only the embedding model from such a folder."""
    with np.load(folder / _MODEL) as arrays:
        head = Head(*(arrays[name] for name in Head._fields))
        visual = VisualPart(arrays["visual_kernel"], arrays["visual_bias"])
        return EmbeddingModel(head, visual, float(arrays["visual_weight"]))
