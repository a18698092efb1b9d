"""What the service answers from: the engine's results in the words of the API, of one run until a reload."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Annotated, Any
from unicodedata import normalize

import numpy as np
import orjson
from anyio import to_thread
from fastapi import Depends, Request

from service import schema
from service.access import Refusal
from service.forms import ImagesQuery, WhyForm
from similarity.data.dataset.manifest import SPLIT_NAMES, ImageRecord
from similarity.engine.embedding import Explainer, load_explainer
from similarity.engine.gallery import Gallery
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Failure, Options, Query
from similarity.finding import KINDS
from similarity.layout import EMBEDDER

HASH_LENGTH = 16  # hexadecimal digits, which distinguish the files of a key
_EXPLAINING = Lock()
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
    info: schema.Info
    version: bytes

    @property
    def gallery(self) -> Gallery:
        """The images."""
        return self.engine.gallery

    def record(self, key: str) -> ImageRecord:
        """Return the record of an image, or raise UnknownNameError."""
        return self.gallery.manifest.records[self.gallery.row(key)]

    def describe(self, key: str) -> dict[str, Any]:
        """Return what answers say about an image, the fields of `ImageEntry`; or raise UnknownNameError."""
        row = self.gallery.row(key)
        record = self.gallery.manifest.records[row]
        known = {"key": key, "label": record.label, "width": record.width, "height": record.height, "row": row}
        more = {"split": self.gallery.split(row), "findings": self.gallery.kinds(row)}
        return {**known, **more, "hash": record.sha256[:HASH_LENGTH]}

    def read(self, key: str) -> bytes:
        """Read the file of an image.

        Raises:
            UnknownNameError: there is no such image.
            Refusal: the file is missing (404), or is another image (409); the message says what to do.
        """
        record = self.record(key)
        try:
            content = (self.engine.images / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            message = f"The file of {key} is not there: run `dvc checkout` or `dvc pull`."
            raise Refusal(404, "file_missing", message) from error
        if sha256(content).hexdigest() != record.sha256:
            advice = "run `dvc repro` and reload the service, or run `dvc checkout`"
            raise Refusal(409, "file_changed", f"The file of {key} is not the image that was indexed: {advice}.")
        return content

    def search(self, query: Query, options: Options) -> schema.SearchResult:
        """Find the images most similar to a query; its error is raised if it has one."""
        uploads = len(query.images)
        if query.region and not uploads:
            query = replace(query, images=(self.read(query.keys[0]),))
        [result] = self.engine.answer([query], options)
        if isinstance(result, Failure):
            raise result.error
        queries = [schema.Query(width=width, height=height) for width, height in result.sizes[:uploads]]
        queries += [schema.Query(**self.describe(key)) for key in query.keys]
        neighbors = [
            schema.Neighbor(**self.describe(each.key), likeness=each.likeness, words=each.words, cosine=each.cosine)
            for each in result.neighbors
        ]
        novelty = None
        if result.distance is not None and result.max_distance is not None:
            novelty = schema.Novelty(distance=result.distance, max_distance=result.max_distance)
        return schema.SearchResult(
            query=queries[0] if queries else None,
            queries=queries,
            answer=schema.Answer(
                index=result.index,
                source="inverted index" if result.matches is None else "search",
                milliseconds=1000 * result.seconds,
                matches=len(self.engine) - 1 if result.matches is None else result.matches,
                neighbors=neighbors,
            ),
            place=self._place(queries, neighbors),
            embed_milliseconds=None if result.embed_seconds is None else 1000 * result.embed_seconds,
            similar=result.similar,
            novel=not result.similar,
            novelty=novelty,
        )

    def _place(self, queries: Sequence[schema.Query], neighbors: Sequence[schema.Neighbor]) -> list[float] | None:
        """Return where a query is on the map: among its nearest images, unless it is one of the indexed ones."""
        known = [each.row for each in queries if each.row is not None]
        rows = known if len(known) == 1 == len(queries) else [each.row for each in neighbors[:_NEAREST_ON_MAP]]
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

    def explain(self, form: WhyForm) -> schema.Why:
        """Find the places in an image and in its hit from which their cosine comes."""
        start, pixels = perf_counter(), []
        files = [*form.image, *(self.read(key) for key in (*form.key, form.hit))]
        for file, region in zip(files, (form.region, None), strict=True):
            decoded = self.engine.embedder.decode(file, region)
            if isinstance(decoded, Exception):
                raise decoded
            pixels.append(decoded.pixels)
        with _EXPLAINING:
            if self._explainer is None:
                message = "The backbone has no feature map whose means are features: where a match is, is not known."
                raise Refusal(422, "no_feature_map", message)
            query, hit = self._explainer(np.stack(pixels)).astype(float).round(3).tolist()
        return schema.Why(query=query, hit=hit, milliseconds=1000 * (perf_counter() - start))

    @cached_property
    def _explainer(self) -> Explainer | None:
        self.engine.lock.check(EMBEDDER)
        return load_explainer(self.engine.root / EMBEDDER)

    def image_page(self, query: ImagesQuery) -> schema.ImagePage:
        """List images by key; with a part of a name, those that begin with it first."""
        allowed = self.gallery.allow(query.label or None, query.split, query.finding, query.not_label or None)
        given = np.array([row for row in query.row if 0 <= row < len(self.engine)], np.int64)
        rows = given if query.row else np.arange(len(self.engine))
        rows = rows if allowed is None else rows[allowed[rows]]
        if query.name is not None:
            part, names = _folded(query.name), self._names
            found = (row for row in rows.tolist() if part in names[row])
            rows = np.array(sorted(found, key=lambda row: not names[row].startswith(part)), np.int64)
        images = [schema.ImageEntry(**self.describe(self.engine.keys[row])) for row in rows[query.entries].tolist()]
        return schema.ImagePage(images=images, **query.describe_page(len(rows)))

    @cached_property
    def _names(self) -> list[str]:
        return [_folded(key.rpartition("/")[2]) for key in self.gallery.manifest.keys]

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


def _folded(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return normalize("NFC", name).casefold()


class Served:
    """The catalog that each request takes at its start and that a reload replaces; one to compare with stays."""

    def __init__(self, open_catalog: Callable[[], Catalog], beside: Catalog | None = None, revision: str = "") -> None:
        """Open the catalog, and keep a second one, of the commit or experiment `revision`."""
        self.current, self.beside, self.revision = open_catalog(), beside, revision
        self._open, self._reloading = open_catalog, asyncio.Lock()

    @property
    def is_out_of_date(self) -> bool:
        """Whether the pipeline has run since."""
        return read_version() != self.current.version

    def of(self, run: str | None) -> Catalog:
        """Return the catalog of a run, or raise Refusal (404) if there is no second one."""
        if run is None:
            return self.current
        if self.beside is None:
            message = "there is no second run: start the service with --compare, and a commit or experiment"
            raise Refusal(404, "no_second_run", message)
        return self.beside

    async def reload(self) -> None:
        """Open the catalog again and serve it, or raise Refusal (409), which says why it cannot be opened."""
        async with self._reloading:
            try:
                self.current = await to_thread.run_sync(self._open)
            except Exception as error:  # readers of damaged files may raise anything
                reason = " ".join(str(error).split()) or type(error).__name__
                message = f"Not reloaded, the former version goes on being served: {reason}"
                print(message, file=sys.stderr, flush=True)
                raise Refusal(409, "not_reloaded", message) from error
            print(f"Reloaded: {len(self.current.engine)} images", file=sys.stderr, flush=True)


def read_version(root: Path = Path()) -> bytes:
    """Read what differs after a run of the pipeline."""
    lock = root / "dvc.lock"
    return lock.read_bytes() if lock.exists() else b""


async def _served(request: Request) -> Served:
    return request.app.state.served


async def _current(request: Request) -> Catalog:
    return request.app.state.served.current


ServedRuns = Annotated[Served, Depends(_served)]
Current = Annotated[Catalog, Depends(_current)]
