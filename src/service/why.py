"""Why two images are similar: where in both pictures the match comes from."""

from functools import lru_cache
from pathlib import Path
from threading import Lock
from time import perf_counter

import numpy as np

from service import schema
from service.catalog import Catalog
from service.failures import Refusal
from service.forms import WhyForm
from service.image_files import read_image_bytes
from similarity.engine.dvc_lock import DvcLock
from similarity.engine.embedding import Explainer, load_explainer
from similarity.layout import EMBEDDER

_DECIMALS = 3
_ONE_AT_A_TIME = Lock()


def explain_match(catalog: Catalog, form: WhyForm) -> schema.Why:
    """Find the places in an image and in its hit from which their cosine comes.

    Raises:
        Exception: an image cannot be decoded or is not indexed, or the backbone does not allow it; see `failure_of`.
    """
    start = perf_counter()
    records = [catalog.record(key) for key in (*form.key, form.hit)]
    files = [*form.image, *(read_image_bytes(catalog.engine.images, record) for record in records)]
    pixels = []
    for file, region in zip(files, (form.region, None), strict=True):
        decoded = catalog.engine.embedder.decode(file, region)
        if isinstance(decoded, Exception):
            raise decoded
        pixels.append(decoded.pixels)
    with _ONE_AT_A_TIME:
        explainer = _load(catalog.engine.root, catalog.engine.lock)
        if explainer is None:
            message = "The backbone has no feature map whose means are features, so it is not known where a match is."
            raise Refusal(422, "no_feature_map", message)
        query, hit = explainer(np.stack(pixels)).astype(float).round(_DECIMALS).tolist()
    return schema.Why(query=query, hit=hit, milliseconds=1000 * (perf_counter() - start))


@lru_cache(maxsize=1)
def _load(root: Path, lock: DvcLock) -> Explainer | None:
    """Load what explains, when it is first asked for; UserError if the model is no longer the one that is served."""
    lock.check(EMBEDDER)
    return load_explainer(root / EMBEDDER)
