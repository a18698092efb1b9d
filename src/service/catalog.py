"""What the service answers from: the engine's results in the words of the API."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any, cast
from unicodedata import normalize

import numpy as np
import orjson

from service import schema
from service.failures import Refusal
from service.forms import FindingsQuery, ImagesQuery, SearchOptions
from service.image_files import read_image_bytes
from service.schema import Answer, EmbeddingMap, FindingEntry, FindingPage, ImageEntry, ImagePage, Info, SearchResult
from similarity.data.dataset.manifest import SPLIT_NAMES, ImageRecord
from similarity.data.features.extractor import describe as describe_backbone
from similarity.engine.gallery import Gallery
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Failure, Prepared, Query
from similarity.findings.finding import KINDS, Finding, FindingKind, explain
from similarity.layout import ANN_INDEX, EMBEDDER, MANIFEST

_MAX_POINTS = 20_000  # of the map: more than a screen can show
HASH_LENGTH = 16  # hexadecimal digits, which distinguish the files of a key
_NEAREST_ON_MAP = 3  # images, between which a query is shown
_VECTOR_DIGITS = 7  # float32 has no more
_NONE = 255  # no split, or no finding


@dataclass(frozen=True)
class Catalog:
    """The images and the model of one run.

    Attributes:
        engine: searches; all of it is loaded.
        info: describes it.
        version: differs from that of a later state of the files.
    """

    engine: ImageIndex
    info: Info
    version: str

    @property
    def gallery(self) -> Gallery:
        """The images."""
        return self.engine.gallery

    def search(self, query: Query, options: SearchOptions, any_distance: bool = False) -> SearchResult:
        """Find the images most similar to a query.

        Raises:
            Exception: the query cannot be answered; see `reply_to`.
        """
        if query.region and not query.images:
            query = replace(query, images=(read_image_bytes(self.engine.images, self.record(query.keys[0])),))
        [found] = self.search_each([query], options, any_distance)
        if isinstance(found, Exception):
            raise found
        return found

    def search_each(
        self, queries: Sequence[Query], options: SearchOptions, any_distance: bool
    ) -> list[SearchResult | Exception]:
        """Answer several queries; one that fails has its error in its place."""
        return [
            each.error if isinstance(each, Failure) else self._search(each, options, any_distance)
            for each in self.engine.prepare(queries)
        ]

    def _search(self, prepared: Prepared, options: SearchOptions, any_distance: bool) -> SearchResult:
        query, result = prepared.query, self.engine.find(prepared, options.as_engine_options(any_distance))
        uploads = len(query.images) - (len(query.keys) if query.region else 0)
        sizes = [size for _, _, size in prepared.embedded[:uploads]]
        queries = [schema.Query(width=width, height=height) for width, height in sizes]
        queries += [schema.Query(**self._facts(self.gallery.row(key))) for key in query.keys]
        novelty = None
        if result.distance is not None and result.max_distance is not None:
            novelty = schema.Novelty(distance=result.distance, max_distance=result.max_distance)
        answer = Answer(
            index=result.index,
            source="inverted index" if result.matches is None else "search",
            milliseconds=1000 * result.seconds,
            matches=len(self.engine) - 1 if result.matches is None else result.matches,
            neighbors=[
                schema.Neighbor(
                    likeness=each.likeness,
                    words=each.words,
                    cosine=each.cosine,
                    **self._facts(self.gallery.row(each.key)),
                )
                for each in result.neighbors
            ],
        )
        return SearchResult(
            query=queries[0] if queries else None,
            queries=queries,
            answer=answer,
            place=self._place(queries, answer),
            embed_milliseconds=None if prepared.seconds is None else 1000 * prepared.seconds,
            similar=result.similar,
            novel=not result.similar,
            novelty=novelty,
        )

    def _place(self, queries: Sequence[schema.Query], answer: Answer) -> list[float] | None:
        """Return where a query is on the map: among its nearest images, unless it is one of the indexed ones."""
        known = [each.row for each in queries if each.row is not None]
        rows = known if len(known) == 1 == len(queries) else [each.row for each in answer.neighbors[:_NEAREST_ON_MAP]]
        positions = self.engine.map.get("all")
        return None if positions is None or not rows else positions[rows].mean(axis=0, dtype=float).round(4).tolist()

    def embed(self, images: Sequence[bytes]) -> schema.Embeddings:
        """Embed uploads; the error of one that cannot be embedded names it."""
        start, vectors = perf_counter(), []
        for place, each in enumerate(
            self.engine.prepare([Query("upload", images=(each,)) for each in images]), start=1
        ):
            if isinstance(each, Failure):
                raise type(each.error)(f"image {place} of {len(images)}, {each.error}")
            vectors.append(each.embedding)
        rounded = np.array(vectors, float).round(_VECTOR_DIGITS).tolist()
        return schema.Embeddings(embeddings=rounded, milliseconds=1000 * (perf_counter() - start))

    def _facts(self, row: int) -> dict[str, Any]:
        """Return what answers say about an image."""
        record, split = self.gallery.manifest.records[row], self.gallery.split(row)
        known = {"row": row, "hash": record.sha256[:HASH_LENGTH], "findings": self.gallery.kinds(row), "split": split}
        return {"key": record.path, "label": record.label, "width": record.width, "height": record.height, **known}

    def record(self, key: str) -> ImageRecord:
        """Return the record of an image, or raise UnknownNameError."""
        return self.gallery.manifest.records[self.gallery.row(key)]

    def image_page(self, query: ImagesQuery) -> ImagePage:
        """List images by key; with a part of a name, the best match first."""
        allowed = self.gallery.allow(query.label, query.split, query.finding)
        given = np.array([row for row in query.row if 0 <= row < len(self.engine)], np.int64)
        rows = given if query.row else np.arange(len(self.engine))
        rows = rows if allowed is None else rows[allowed[rows]]
        if query.name is not None:
            rows = rank_names(self._names, query.name, rows)
        images = [ImageEntry(**self._facts(row)) for row in rows[query.entries].tolist()]
        return ImagePage(images=images, **query.describe_page(len(rows)))

    @cached_property
    def _names(self) -> list[str]:
        return [folded(key.rpartition("/")[2]) for key in self.gallery.manifest.keys]

    def embedding_map(self) -> EmbeddingMap:
        """Return the images as points in the plane, evenly chosen if there are too many; 404 without a map."""
        if (positions := self.engine.map.get("all")) is None:
            raise Refusal(404, "no_map", "There is no map of these images: run `dvc repro`.")
        manifest, gallery, look = self.gallery.manifest, self.gallery, self.engine.map.get("look")
        rows = np.unique(np.linspace(0, len(positions) - 1, _MAX_POINTS).astype(int))
        places: dict[FindingKind, list[int]] = {}
        for place, row in enumerate(rows.tolist()):
            for kind in gallery.kinds(row):
                places.setdefault(kind, []).append(place)
        return EmbeddingMap(
            classes=manifest.folders,
            keys=[manifest.keys[row] for row in rows],
            labels=manifest.labels[rows].tolist(),
            splits=[cast("schema.Split | None", gallery.split(row)) for row in rows],
            findings=places,
            look=schema.Layout(**_places(look[rows])) if look is not None and gallery.vectors.parts.are_two else None,
            **_places(positions[rows]),
        )

    def packed_map(self) -> bytes:
        """Return the places of all images in the plane; see `get_map`. There must be a map (404)."""
        if (positions := self.engine.map.get("all")) is None:
            raise Refusal(404, "no_map", "There is no map of these images: run `dvc repro`.")
        gallery, look = self.gallery, self.engine.map.get("look")
        layouts = [positions] if look is None or not gallery.vectors.parts.are_two else [positions, look]
        findings = np.full(len(positions), _NONE, np.uint8)
        for row in gallery.finding_rows.values():
            findings[row] = KINDS.index(gallery.kinds(row)[0])
        splits = np.full(len(positions), -1) if gallery.splits is None else gallery.splits
        header = orjson.dumps(
            {
                "images": len(positions),
                "classes": gallery.manifest.folders,
                "splits": SPLIT_NAMES,
                "findings": KINDS,
                "look": len(layouts) == 2,
            }
        )
        header += b" " * (-len(header) % 4)
        columns = [*(axis * 65535 for each in layouts for axis in each.T.astype(float)), gallery.manifest.labels]
        parts = [*(each.round().astype("<u2") for each in columns), splits.astype(np.uint8), findings]
        return b"".join([len(header).to_bytes(4, "little"), header, *(each.tobytes() for each in parts)])

    def finding_page(self, query: FindingsQuery) -> FindingPage:
        """List findings of a kind, about a class or an image."""
        found = [
            each
            for each in self.gallery.findings or ()
            if query.kind in {None, each.finding}
            and query.label in {None, each.label, each.other_label}
            and query.key in {None, each.path, each.other}
        ]
        kinds = [each.finding for each in self.gallery.findings or ()]
        counts = [schema.FindingCount(kind=kind, findings=count) for kind in KINDS if (count := kinds.count(kind))]
        entries = [self._finding_entry(each) for each in found[query.entries]]
        audited = self.gallery.findings is not None
        return FindingPage(audited=audited, counts=counts, findings=entries, **query.describe_page(len(found)))

    def _finding_entry(self, finding: Finding) -> FindingEntry:
        same: dict[str, Any] = {
            name: getattr(finding, name) or None for name in ("label", "suggested", "other", "other_label", "score")
        }
        return FindingEntry(
            kind=finding.finding,
            key=finding.path or None,
            indexed=finding.path in self.gallery.finding_rows,
            explanation=explain(finding),
            **same,
        )


def folded(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return normalize("NFC", name).casefold()


def rank_names(names: Sequence[str], part: str, rows: np.ndarray) -> np.ndarray:
    """Find the rows, among some, int64 (n,), whose folded name contains a text.

    The whole name comes first (with or without its suffix), then names that begin with the text, then all others.
    """
    part = folded(part)

    def order(row: int) -> tuple[bool, bool]:
        name = names[row]
        return part not in {name, name.rpartition(".")[0]}, not name.startswith(part)

    return np.array(sorted((row for row in rows.tolist() if part in names[row]), key=order), np.int64)


def _places(positions: np.ndarray) -> dict[str, Any]:
    x, y = positions.T.astype(float).round(4).tolist()
    return {"x": x, "y": y}


def describe(engine: ImageIndex, limits: schema.LimitInfo, metrics: dict[str, Any]) -> Info:
    """Describe what is served."""
    backbone, gallery, lock = describe_backbone(engine.root / EMBEDDER), engine.gallery, engine.lock
    manifest, vectors, splits = gallery.manifest, gallery.vectors, gallery.splits
    approximate_md5 = None if vectors.backend == "lancedb" else lock.md5(ANN_INDEX)
    model = {
        **{name: backbone[name] for name in ("image_size", "features", "engine")},
        "backbone": backbone["name"],
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
    indexes = {
        "stored_neighbors": len(engine.stored_neighbors(engine.keys[0]) or ()),
        "approximate": {"backend": vectors.backend, "search_k": vectors.search_k, "md5": approximate_md5},
    }
    return Info.model_validate({"model": model, "data": data, "indexes": indexes, "metrics": metrics, "limits": limits})


def _counts(names: Sequence[str], places: np.ndarray) -> list[dict[str, Any]]:
    counts = np.bincount(places, minlength=len(names)).tolist()
    return [{"name": name, "images": count} for name, count in zip(names, counts, strict=True)]
