"""Searching a gallery: what is found is what is allowed, and the nearest of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import relu_clusters
from similarity.data.dataset.manifest import ImageRecord, Manifest
from similarity.data.vectors import normalize
from similarity.engine.gallery import Gallery
from similarity.engine.results import Index, Options
from similarity.engine.stores import InMemoryStore, Parts
from similarity.index import build_forest

SIZES = {"jug": 100, "vase": 190, "bowl": 1, "cup": 2, "mug": 5, "basalt": 1}
IMAGES = sum(SIZES.values())


def gallery_of(embeddings: np.ndarray) -> Gallery:
    labels = [label for label, size in SIZES.items() for _ in range(size)]
    records = [ImageRecord(f"{label}/{i:04d}.png", label, "0" * 64, 8, 8) for i, label in enumerate(sorted(labels))]
    store = InMemoryStore(normalize(embeddings), build_forest(embeddings, 5, 0), 200, Parts(32, 20, 0.3))
    return Gallery(Manifest(records), store, (np.arange(IMAGES) % 4 - 1).astype(np.int8))


EMBEDDINGS = relu_clusters(IMAGES)
EMBEDDINGS[17] = 0  # similar to nothing, and still answered
GALLERY = gallery_of(EMBEDDINGS)


@given(
    row=st.integers(0, IMAGES - 1),
    count=st.integers(1, 400),
    label=st.sampled_from([None, *SIZES]),
    split=st.sampled_from([None, "train", "test"]),
    index=st.sampled_from(["exact", "annoy"]),
    excluded=st.sets(st.integers(0, IMAGES - 1), max_size=20),
)
@settings(deadline=None, max_examples=60)
def test_as_many_are_found_as_are_allowed_and_the_nearest_of_them(
    row: int, count: int, label: str | None, split: str | None, index: Index, excluded: set[int]
) -> None:
    options = Options(count, label, index, split=split)
    found = GALLERY.search(7 * EMBEDDINGS[row], options, sorted(excluded))  # whatever its length
    records = GALLERY.manifest.records
    possible = [
        other
        for other in sorted(set(range(IMAGES)) - excluded)
        if label in {None, records[other].label} and split in {None, GALLERY.split(other)}
    ]
    assert (found.matches, found.index) == (len(possible), index)
    assert set(found.rows.tolist()) <= set(possible)
    assert len(set(found.rows.tolist())) == min(count, len(possible))
    assert (np.diff(found.cosines) <= 0).all()
    units = GALLERY.vectors[np.array(possible, np.int64)].astype(np.float64)
    cosines = np.sort(units @ GALLERY.vectors[row])[::-1][:count]
    if index == "exact" or len(possible) <= count:  # an approximate search may miss some
        np.testing.assert_allclose(found.cosines, cosines, atol=2e-6)
    else:
        assert (found.cosines <= cosines + 2e-6).all()


@pytest.mark.parametrize("look", [0.0, 0.25, 0.7, 1.0])
def test_a_look_weighs_the_cosines_of_both_parts_also_where_one_is_missing(look: float) -> None:
    rng = np.random.default_rng(5)
    parts = [normalize(rng.standard_normal((IMAGES, size)).astype(np.float32)) for size in (20, 12)]
    embeddings = np.hstack([0.7**0.5 * parts[0], 0.3**0.5 * parts[1]])
    embeddings[:50, :20] = embeddings[50:100, 20:] = 0
    kind, visual = (part @ part.T for part in parts)
    kind[:, :50], visual[:, 50:100] = 0, 0
    gallery = gallery_of(embeddings)
    for row in (123, 200):
        found = gallery.search(embeddings[row], Options(IMAGES - 1, look=look), [row])
        expected = (1 - look) * kind[row] + look * visual[row]
        np.testing.assert_allclose(found.cosines, expected[found.rows], atol=2e-6)
        np.testing.assert_allclose(found.cosines, np.sort(np.delete(expected, row))[::-1], atol=2e-6)
        assert found.index == "exact"
