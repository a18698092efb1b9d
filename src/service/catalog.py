"""What the service answers from: the engine's results in the words of the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any
from unicodedata import normalize

import numpy as np
import orjson

from service import schema
from service.failures import Refusal
from service.forms import FindingsQuery, ImagesQuery
from service.image_files import read_image_bytes
from service.info import Info
from service.schema import Answer, FindingEntry, FindingPage, ImageEntry, ImagePage, SearchResult
from similarity.data.dataset.corrections import Correction
from similarity.data.dataset.manifest import SPLIT_NAMES, ImageRecord
from similarity.engine.gallery import Gallery
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Failure, Options, Query
from similarity.errors import UserError
from similarity.findings.finding import KINDS, Finding, explain

HASH_LENGTH = 16  # hexadecimal digits, which distinguish the files of a key
_MAX_COMPARED = 10_000  # images of two runs
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

    def search(self, query: Query, options: Options) -> SearchResult:
        """Find the images most similar to a query.

        Raises:
            Exception: the query cannot be answered; see `failure_of`.
        """
        if query.region and not query.images:
            query = replace(query, images=(read_image_bytes(self.engine.images, self.record(query.keys[0])),))
        [result] = self.engine.answer([query], options)
        if isinstance(result, Failure):
            raise result.error
        uploads = len(query.images) - (len(query.keys) if query.region else 0)
        queries = [schema.Query(width=width, height=height) for width, height in result.sizes[:uploads]]
        queries += [schema.Query(**self._facts(self.gallery.row(key))) for key in query.keys]
        novelty = None
        if result.distance is not None and result.max_distance is not None:
            novelty = schema.Novelty(distance=result.distance, max_distance=result.max_distance)
        neighbors = [
            schema.Neighbor(likeness=each.likeness, words=each.words, cosine=each.cosine, **self._facts(row))
            for each, row in ((each, self.gallery.row(each.key)) for each in result.neighbors)
        ]
        answer = Answer(
            index=result.index,
            source="inverted index" if result.matches is None else "search",
            milliseconds=1000 * result.seconds,
            matches=len(self.engine) - 1 if result.matches is None else result.matches,
            neighbors=neighbors,
        )
        return SearchResult(
            query=queries[0] if queries else None,
            queries=queries,
            answer=answer,
            place=self._place(queries, answer),
            embed_milliseconds=None if result.embed_seconds is None else 1000 * result.embed_seconds,
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
        start, vectors = perf_counter(), list[np.ndarray]()
        for each in self.engine.embedder(images):
            if isinstance(each, Exception):
                raise type(each)(f"image {len(vectors) + 1} of {len(images)}, {each}")
            vectors.append(each.embedding)
        rounded = np.array(vectors, float).round(_VECTOR_DIGITS).tolist()
        return schema.Embeddings(embeddings=rounded, milliseconds=1000 * (perf_counter() - start))

    def as_vector(self, numbers: Sequence[float]) -> np.ndarray:
        """Return a query given as numbers, float32 (E,), or raise UserError if it is no embedding."""
        vector, size = np.array(numbers, np.float32), self.gallery.vectors.parts.size
        if len(vector) != size or not np.isfinite(vector).all() or not vector.any():
            raise UserError(f"vector: it must have {size} finite numbers, not all 0, and has {len(vector)} numbers")
        return vector

    def require_known(self, key: str) -> None:
        """Check that an image is indexed, or is what a finding is about (UnknownNameError)."""
        if key not in {each.path for each in self.gallery.findings or ()}:
            self.gallery.row(key)

    def _facts(self, row: int) -> dict[str, Any]:
        """Return what answers say about an image."""
        record, split = self.gallery.manifest.records[row], self.gallery.split(row)
        known = {"row": row, "hash": record.sha256[:HASH_LENGTH], "findings": self.gallery.kinds(row), "split": split}
        return {"key": record.path, "label": record.label, "width": record.width, "height": record.height, **known}

    def entry(self, row: int) -> ImageEntry:
        """Return an image as lists have it."""
        return ImageEntry(**self._facts(row))

    def record(self, key: str) -> ImageRecord:
        """Return the record of an image, or raise UnknownNameError."""
        return self.gallery.manifest.records[self.gallery.row(key)]

    def image_page(self, query: ImagesQuery) -> ImagePage:
        """List images by key; with a part of a name, those that begin with it first."""
        allowed = self.gallery.allow(query.label or None, query.split, query.finding, query.not_label or None)
        given = np.array([row for row in query.row if 0 <= row < len(self.engine)], np.int64)
        rows = given if query.row else np.arange(len(self.engine))
        rows = rows if allowed is None else rows[allowed[rows]]
        if query.name is not None:
            part, names = folded(query.name), self._names
            found = (row for row in rows.tolist() if part in names[row])
            rows = np.array(sorted(found, key=lambda row: not names[row].startswith(part)), np.int64)
        images = [self.entry(row) for row in rows[query.entries].tolist()]
        return ImagePage(images=images, **query.describe_page(len(rows)))

    @cached_property
    def _names(self) -> list[str]:
        return [folded(key.rpartition("/")[2]) for key in self.gallery.manifest.keys]

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
        names = {"classes": gallery.manifest.folders, "splits": SPLIT_NAMES, "findings": KINDS}
        header = orjson.dumps({"images": len(positions), "look": len(layouts) == 2, **names})
        header += b" " * (-len(header) % 4)
        columns = [*(axis * 65535 for each in layouts for axis in each.T.astype(float)), gallery.manifest.labels]
        parts = [*(each.round().astype("<u2") for each in columns), splits.astype(np.uint8), findings]
        return b"".join([len(header).to_bytes(4, "little"), header, *(each.tobytes() for each in parts)])

    def finding_page(self, query: FindingsQuery, decisions: Mapping[str, Correction]) -> FindingPage:
        """List findings of a kind, about a class or an image, with or without a decision."""
        found = [
            each
            for each in self.gallery.findings or ()
            if query.kind in {None, each.finding}
            and query.label in {None, each.label, each.other_label}
            and query.key in {None, each.path, each.other}
            and query.decided in {None, each.path in decisions}
        ]
        kinds = [each.finding for each in self.gallery.findings or ()]
        counts = [schema.FindingCount(kind=kind, findings=count) for kind in KINDS if (count := kinds.count(kind))]
        entries = [self._finding_entry(each, decisions.get(each.path)) for each in found[query.entries]]
        audited = self.gallery.findings is not None
        return FindingPage(audited=audited, counts=counts, findings=entries, **query.describe_page(len(found)))

    def _finding_entry(self, finding: Finding, correction: Correction | None) -> FindingEntry:
        same: dict[str, Any] = {
            name: getattr(finding, name) or None for name in ("label", "suggested", "other", "other_label", "score")
        }
        return FindingEntry(
            kind=finding.finding,
            key=finding.path or None,
            indexed=finding.path in self.gallery.finding_rows,
            explanation=explain(finding),
            decision=correction and correction.decision,
            decided_label=(correction and correction.label) or None,
            **same,
        )


def changed_queries(first: Catalog, second: Catalog, size: int) -> list[schema.Change]:
    """Find the images whose ten stored neighbors differ most between two runs of the same images."""
    splits = first.gallery.splits
    rows = np.arange(len(first.engine)) if splits is None else np.flatnonzero(splits == SPLIT_NAMES.index("test"))
    keys = {row: first.gallery.manifest.keys[row] for row in rows[:: 1 + len(rows) // _MAX_COMPARED].tolist()}

    def nearest(catalog: Catalog, key: str) -> set[str]:
        return {each[0] for each in (catalog.engine.stored_neighbors(key) or ())[:10]}

    shared = {row: len(nearest(first, key) & nearest(second, key)) for row, key in keys.items()}
    most = sorted((row for row, count in shared.items() if count < 10), key=lambda row: shared[row])[:size]
    return [schema.Change(query=first.entry(row), shared=shared[row]) for row in most]


def folded(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return normalize("NFC", name).casefold()
