"""What a run is published as, and where."""

from pipeline.sealing import check_run

import hashlib
import os
from pathlib import Path

import yaml

from similarity.dataset.manifest import read_manifest
from similarity.digests import digest_file
from similarity.embedding.embedder import load_embedding_model
from similarity.errors import UserError
from similarity.index.searcher import Searcher
from similarity.layout import EMBEDDER, MANIFEST, RUN
from similarity.opening.run_files import parts_of
from similarity.published.store import open_tag

VARIABLE = "SIMILARITY_URI"
_LOCK = Path("dvc.lock")
_DIGITS = 16  # of the digest in a tag


def tag_of_run() -> str:
    """The tag of the run that `dvc.lock` is of, which the files in `models/` are of as well.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: they are of another run, or `dvc.lock` is damaged.
    """
    try:
        stages = yaml.load(_LOCK.read_bytes(), yaml.CSafeLoader)["stages"].values()  # it is a safe loader
        digests = {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{_LOCK} is damaged: run `git checkout HEAD -- {_LOCK}`") from error
    if digests.get(str(RUN)) != hashlib.md5(RUN.read_bytes(), usedforsecurity=False).hexdigest():
        raise UserError(f"{RUN} is of another run than {_LOCK}: run `dvc repro`, or `dvc checkout`")
    return f"run-{digest_file(_LOCK)[:_DIGITS]}"


def open_published_searcher() -> Searcher:
    """Opens what this run has published, where SIMILARITY_URI says; no embedding is loaded.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: it is not known where, or nothing is there of this run, or files are damaged.
    """
    uri = os.environ.get(VARIABLE)
    if not uri:
        raise UserError(f"--index lancedb: set {VARIABLE} to what `python src/publish.py --to` was given")
    tag = tag_of_run()
    check_run(MANIFEST, EMBEDDER)
    manifest, parts = read_manifest(MANIFEST), parts_of(load_embedding_model(EMBEDDER))
    return Searcher(manifest, open_tag(uri, tag, manifest.keys, parts))
