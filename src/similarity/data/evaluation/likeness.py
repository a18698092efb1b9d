"""Likeness: how similar two images are on a scale from 0 to 100 that reads the same for every gallery and every look.

NumPy is imported where it is needed, so that stored neighbors are shown at once.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile, ZipInfo

import orjson

if TYPE_CHECKING:
    import numpy as np

LOOKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_WORDS = ((95, "same picture"), (75, "very similar"), (40, "similar"), (0, "not similar"))
_ANCHORS = (0.0, 30.0, 70.0, 95.0, 100.0)
_QUANTILES = (0.5, 0.99)
_LEAST_STEP, _DECIMALS = 1e-3, 4  # of the cosines of anchors
_PAIRS, _QUERIES = 20_000, 1000
_MEMBER = "likeness.json"  # of the file that also holds the novelty limit


@dataclass(frozen=True)
class Likeness:
    """Maps cosines to likeness: whole numbers from 0 to 100 that never fall as the cosine rises.

    `look` is the weight of the visual part in the cosines of the embeddings themselves. `cosines` are, for each of some
    looks, ascending, those at which the likeness is 0, 30, 70 and 95, ascending.
    """

    look: float
    cosines: Sequence[tuple[float, Sequence[float]]]

    def __call__(self, cosine: float, look: float | None = None, is_new: bool = False) -> int:
        """Return the likeness of two images by their cosine for a look; None is that of the embeddings.

        An image that is new resembles nothing, whatever the model makes of it, so all of its likeness is below 40.
        """
        looks, rows = zip(*self.cosines, strict=True)
        at = self.look if look is None else look
        anchors = [_interpolate(at, looks, column) for column in zip(*rows, strict=True)]
        likeness = _interpolate(cosine, [*anchors, 1], _ANCHORS)
        return int(likeness * (0.39 if is_new else 1) + 0.5)


def words(likeness: int) -> str:
    """Say a likeness in words."""
    return next(name for least, name in _WORDS if likeness >= least)


def fit_likeness(
    units: "Mapping[float, np.ndarray]", look: float, groups: "np.ndarray", labels: "np.ndarray", seed: int
) -> Likeness:
    """Fit the scale to what is usual in a gallery.

    The median of strangers, random pairs of different classes, gets the likeness 0, and their 99th percentile 30. The
    median of nearest others, which are no duplicates, gets 70, and their 99th percentile 95: what is more alike is most
    probably the same picture.

    Args:
        units: by look, the embeddings of the gallery, or of a sample of it, at length 1, float32 (m, E).
        look: that of the embeddings themselves.
        groups: a number that duplicates share, int64 (m,).
        labels: of the classes, int (m,), all equal without classes.
        seed: draws pairs and queries.
    """
    import numpy as np

    rng, count = np.random.default_rng(seed), len(groups)
    groups = groups if len(np.unique(groups)) > 1 else np.arange(count)
    first, second = rng.integers(0, count, (2, _PAIRS))
    apart = (groups[first] != groups[second]) & ((labels[first] != labels[second]) | (labels.min() == labels.max()))
    queries, rows = np.sort(rng.permutation(count)[:_QUERIES]), []
    for look_of_units, vectors in sorted(units.items()):
        strangers = np.einsum("ij,ij->i", vectors[first[apart]], vectors[second[apart]])
        cosines = vectors[queries] @ vectors.T
        cosines[groups[queries, None] == groups] = -1
        samples = (strangers if len(strangers) else np.zeros(1), cosines.max(axis=1))
        found = [float(np.quantile(sample, share)) for sample in samples for share in _QUANTILES]
        rows.append((look_of_units, _ascending(found)))
    return Likeness(look, rows)


def add_likeness(likeness: Likeness, path: Path) -> None:
    """Add it to a ``.npz`` file, as JSON."""
    with ZipFile(path, "a") as archive:
        archive.writestr(ZipInfo(_MEMBER), orjson.dumps(asdict(likeness)))


def load_likeness(path: Path) -> Likeness:
    """Read what `add_likeness` added to a file."""
    with ZipFile(path) as archive:
        return Likeness(**orjson.loads(archive.read(_MEMBER)))


def _ascending(found: Sequence[float]) -> list[float]:
    """Move cosines as little as makes each larger than the one before it, and all smaller than 1."""
    anchors: list[float] = []
    for place, each in enumerate(found):
        least = anchors[-1] + _LEAST_STEP if anchors else -1
        anchors.append(round(min(max(each, least), 1 - _LEAST_STEP * (len(found) - place)), _DECIMALS))
    return anchors


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Interpolate between points, ascending, as `numpy.interp` does."""
    place = bisect_right(xs, x)
    if place in {0, len(xs)}:
        return ys[0 if place == 0 else -1]
    (left, right), (low, high) = xs[place - 1 : place + 1], ys[place - 1 : place + 1]
    return low + (high - low) * (x - left) / (right - left)
