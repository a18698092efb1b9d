"""Stage `index`: writes what is searched, of the images that the model was made from and of the changes since.

What the model was made from stays as it is, so that this takes as long as the changes are many.
"""

from pipeline.feature_blocks import feature_blocks
from pipeline.inputs import check_finite, load_rows
from pipeline.paths import (
    ANN_INDEX,
    ANN_INVERTED_INDEX,
    ANN_ROWS,
    ANN_SETTINGS,
    BACKBONE,
    BASE_ANN_NEIGHBORS,
    BASE_EMBEDDINGS,
    BASE_LOOK_MAP,
    BASE_MAP,
    BASE_NEIGHBORS,
    BASE_REFERENCE,
    BASE_REFERENCE_ROWS,
    EMBEDDER,
    EMBEDDINGS,
    INDEX_MANIFEST,
    INVERTED_INDEX,
    LOOK_MAP,
    MANIFEST,
    MAP,
    METRICS,
    PENDING,
    REFERENCE,
    SPLITS,
)
from pipeline.problems import listing_problems
from pipeline.stage import run_stage, track

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from similarity.dataset.change_list import ChangedSet, Changes, apply_changes, read_changes
from similarity.dataset.image_folders import open_indexed_images
from similarity.dataset.manifest import UNLABELED, Manifest, read_manifest, read_splits, write_manifest
from similarity.embedding.embedder import load_embedding_model
from similarity.errors import UserError
from similarity.features.extractor import describe, load_extractor
from similarity.files import Outputs, write_array, write_json_entries, write_metrics
from similarity.index.approximate import approximate_neighbors
from similarity.index.backends import load_index, load_settings
from similarity.index.exact import most_similar, neighbors_of_rows
from similarity.index.growing import grow_neighbors
from similarity.index.grown import grown_index
from similarity.index.inverted_index import write_inverted_index
from similarity.index.neighbor_lists import NeighborLists, load_neighbors
from similarity.novelty.drift import Drift, class_shift, reasons_to_retrain
from similarity.novelty.reference import load_reference, save_reference
from similarity.params import Params
from similarity.pictures.projection import place_beside
from similarity.vectors import normalize, rows_not_finite

NEAREST = 5  # known images that an added one is placed between on the map


@dataclass(frozen=True)
class Grown:
    """The images by now, N of them, and before, n.

    Attributes:
        before: the images that the model was made from.
        manifest: those by now.
        origins: the row that each had before, int64 (N,); −1 for what was added.
        features: of what was added, float32 (a, D).
        known: embeddings before, float32 (n, E).
        embeddings: by now, float32 (N, E).
    """

    before: Manifest
    manifest: Manifest
    origins: np.ndarray
    features: np.ndarray
    known: np.ndarray
    embeddings: np.ndarray

    @cached_property
    def added(self) -> np.ndarray:
        """The rows of what was added, int64 (a,)."""
        return np.flatnonzero(self.origins < 0)

    @cached_property
    def kept(self) -> np.ndarray:
        """The rows of the others, int64 (N − a,)."""
        return np.flatnonzero(self.origins >= 0)

    @cached_property
    def rows_by_now(self) -> np.ndarray:
        """The row by now of each image before, int64 (n,); −1 for what was removed."""
        rows = np.full(len(self.known), -1)
        rows[self.origins[self.kept]] = self.kept
        return rows

    @cached_property
    def units(self) -> np.ndarray:
        return normalize(self.embeddings)

    @cached_property
    def nearest(self) -> NeighborLists:
        """The images before that are most similar to those added, (a, `NEAREST`)."""
        return self.nearest_from(0)

    def nearest_from(self, start: int) -> NeighborLists:
        """The same by the rest of the embeddings, from some dimension on."""
        units, added = normalize(self.known[:, start:]), normalize(self.embeddings[self.added, start:])
        return NeighborLists(*most_similar(added, units, min(NEAREST, len(units))))

    def joined(self, before: np.ndarray, added: np.ndarray) -> np.ndarray:
        """Rows of all images by now, from those of the images before, (n, …), and of those added, (a, …)."""
        rows = np.empty((len(self.origins), *before.shape[1:]), before.dtype)
        rows[self.kept], rows[self.added] = before[self.origins[self.kept]], added
        return rows


@listing_problems()
def main(params: Params, outputs: Outputs) -> None:
    write_index(read_changes(PENDING), params, outputs)


def write_index(changes: Changes, params: Params, outputs: Outputs) -> list[str]:
    """Writes all that is searched; prints what it did, and gives reasons to train anew."""
    before = read_manifest(MANIFEST)
    changed = apply_changes(before, changes)
    if len(changed.origins) < 2:
        raise UserError("an index needs two images: remove fewer")
    grown = embed_added(before, changed, params)
    write_manifest(outputs.file(INDEX_MANIFEST), grown.manifest.records)
    write_array(outputs.file(EMBEDDINGS), [grown.embeddings])
    keys = grown.manifest.keys
    entries = track(zip(keys, grown.embeddings, strict=True), "write embeddings", len(keys))
    write_json_entries(outputs.file(EMBEDDINGS.with_suffix(".json")), entries)
    write_neighbors(grown, params, outputs)
    write_maps(grown, outputs)
    return report(grown, write_reference(grown, outputs), params, outputs)


def embed_added(before: Manifest, changed: ChangedSet, params: Params) -> Grown:
    model, known = load_embedding_model(EMBEDDER), np.asarray(load_rows(BASE_EMBEDDINGS, before))
    added = np.flatnonzero(changed.origins < 0)
    features = features_of([changed.manifest.keys[row] for row in added], changed.manifest, added, params)
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        embeddings = model(features)
    check_finite(EMBEDDINGS, added[rows_not_finite(embeddings)], changed.manifest)
    grown = Grown(before, changed.manifest, changed.origins, features, known, known)
    return replace(grown, embeddings=grown.joined(known, embeddings))


def features_of(keys: list[str], manifest: Manifest, rows: np.ndarray, params: Params) -> np.ndarray:
    """The features of some images, float32 (a, D), for which the backbone is not even loaded if there are none."""
    features = np.empty((len(keys), describe(BACKBONE)["features"]), np.float32)
    if not keys:
        return features
    batch_size, digests = params.backbone.batch_size, [manifest.records[row].sha256 for row in rows]
    extractor = load_extractor(BACKBONE, (batch_size,), throughput=True)
    images = open_indexed_images()
    for block in feature_blocks([images / key for key in keys], digests, extractor, batch_size):
        features[block.rows] = block.features
    return features


def write_neighbors(grown: Grown, params: Params, outputs: Outputs) -> None:
    """Writes the exact and the approximate neighbors, and what leads from the approximate index to the rows by now."""
    settings, units = load_settings(ANN_SETTINGS), grown.units
    write_array(outputs.file(ANN_ROWS), [grown.rows_by_now])
    index = grown_index(load_index(ANN_INDEX, settings.backend, units.shape[1]), grown.rows_by_now, units)
    count = min(params.neighbors.top_k, len(units) - 1)

    def search_exactly(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return neighbors_of_rows(units, rows, count)

    def search_approximately(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        progress = partial(track, label="approximate neighbors")
        return approximate_neighbors(index, units, rows, count, settings.search_k, progress)

    for path, written, search in (
        (BASE_NEIGHBORS, INVERTED_INDEX, search_exactly),
        (BASE_ANN_NEIGHBORS, ANN_INVERTED_INDEX, search_approximately),
    ):
        lists = load_neighbors(path, len(grown.known), params.neighbors.top_k)
        if len(grown.kept) < len(units) or len(units) < len(grown.known):
            lists = grow_neighbors(units, grown.origins, lists, count, search, partial(track, label=path.stem))
        neighbors = track(zip(*lists, strict=True), f"write {written.stem}", len(units))
        write_inverted_index(outputs.file(written), grown.manifest.keys, neighbors)


def write_maps(grown: Grown, outputs: Outputs) -> None:
    """Leaves all images before in their places, and puts those added between the ones that they are most similar to."""
    class_size = load_embedding_model(EMBEDDER).class_size
    look = class_size if class_size < grown.known.shape[1] else 0
    for before, path, nearest in (
        (BASE_MAP, MAP, grown.nearest),
        (BASE_LOOK_MAP, LOOK_MAP, grown.nearest_from(look)),
    ):
        places = load_rows(before, grown.before)
        write_array(outputs.file(path), [grown.joined(places, place_beside(nearest.cosines, places[nearest.rows]))])


def write_reference(grown: Grown, outputs: Outputs) -> np.ndarray:
    """Has queries compared with what was added as well; tells what of it is unlike all that was known, bool (a,)."""
    reference, rows = load_reference(BASE_REFERENCE), np.load(BASE_REFERENCE_ROWS)
    distances = reference.distances(grown.features) if len(grown.added) else np.empty(0)
    is_kept = grown.rows_by_now[rows] >= 0
    added = [reference.project(grown.features)] if len(grown.added) else []
    points = np.concatenate([reference.points[is_kept], *added])
    save_reference(replace(reference, points=points) if len(points) else reference, outputs.file(REFERENCE))
    return distances > reference.max_distance


def report(grown: Grown, is_unlike: np.ndarray, params: Params, outputs: Outputs) -> list[str]:
    """Writes and prints how much was changed, and gives reasons to train anew."""
    drift, removed = drift_of(grown, is_unlike), len(grown.known) - len(grown.kept)
    counts = {"images": len(grown.origins), "removed": removed, "new_classes": len(drift.new_classes)}
    write_metrics(outputs.file(METRICS / "index.json"), drift._asdict() | counts)
    print(f"index: {len(grown.origins)} images, {drift.added} added and {removed} removed since the model was made")
    expected = share_that_finds_its_class(grown.before, params)
    reasons = list(reasons_to_retrain(drift, len(grown.known), 1 - params.threshold.accepted, expected))
    for reason in reasons:
        print(f"index: {reason}")
    return reasons


def drift_of(grown: Grown, is_unlike: np.ndarray) -> Drift:
    before, by_now = ([record.label for record in manifest.records] for manifest in (grown.before, grown.manifest))
    labels = np.array(by_now)[grown.added]
    is_known = np.isin(labels, grown.before.classes)
    is_found = np.array(before)[grown.nearest.rows[:, 0]] == labels
    return Drift(
        added=len(labels),
        unlike_known=int(is_unlike.sum()),
        in_known_classes=int(is_known.sum()),
        found_their_class=int((is_known & is_found).sum()),
        new_classes=sorted({*labels.tolist()} - {*grown.before.classes, UNLABELED}),
        class_shift=class_shift(before, by_now),
    )


def share_that_finds_its_class(before: Manifest, params: Params) -> float | None:
    """The share of the labeled test images whose nearest image has their class, None without classes to tell apart."""
    test = before.labeled(read_splits(SPLITS, before)["test"])
    if not before.can_teach or not len(test):
        return None
    lists = load_neighbors(BASE_NEIGHBORS, len(before.records), params.neighbors.top_k)
    return float((before.labels[lists.rows[test, 0]] == before.labels[test]).mean())


if __name__ == "__main__":
    run_stage(main)
