"""More than a thousand odd files, of each of which every way in says that it is indexed, or why it cannot be."""

import random
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import query
from odd_files import OddFile, write_corpus
from projects import Project
from service_process import client_of
from similarity.data.dataset.manifest import read_manifest
from similarity.data.dataset.scanning import Rejection
from similarity.data.files import read_table
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Failure, Options
from similarity.layout import FEATURES, MANIFEST, REJECTED

SEED, DAMAGED, UPLOADED = 20, 220, 100

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as the program does, which pytest undoes


class Scanned(NamedTuple):
    """The corpus by keys, and what the scan made of it in a project."""

    project: Project
    corpus: dict[str, OddFile]
    indexed: list[str]
    reasons: dict[str, str]


@pytest.fixture(scope="module")
def scanned(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    project = reproduced.copy_to(tmp_path_factory.mktemp("odd") / "project")
    shutil.rmtree(project.folder / "data/images")
    corpus = write_corpus(project.folder / "data/images", SEED, DAMAGED)
    project.set_params(scan={"max_rejected": 1})
    project.run("python", "src/scan.py")
    reasons = dict(read_table(project.folder / REJECTED, Rejection._fields))
    return Scanned(project, corpus, read_manifest(project.folder / MANIFEST).keys, reasons)


def test_every_file_is_indexed_or_listed_with_a_reason(scanned: Scanned) -> None:
    assert len(scanned.corpus) > 1000
    assert sorted([*scanned.indexed, *scanned.reasons]) == sorted(scanned.corpus)
    assert all(reason.strip() and "\n" not in reason for reason in scanned.reasons.values())
    assert min(len(scanned.indexed), len(scanned.reasons)) > 250
    for key, file in scanned.corpus.items():  # whatever its suffix
        assert file.is_readable in {None, key not in scanned.reasons}, (file.kind, scanned.reasons.get(key))
    scanned.project.run("python", "src/featurize.py")
    features = np.load(scanned.project.folder / FEATURES)
    assert len(features) == len(scanned.indexed)
    assert np.isfinite(features).all()


def test_a_query_answers_what_a_scan_reads_and_explains_the_rest(scanned: Scanned, reproduced: Project) -> None:
    engine, folder = ImageIndex(reproduced.folder), scanned.project.folder / "data/images"
    queries = query.resolve(str(folder), engine)
    names = [Path(each.name).relative_to(folder).as_posix() for each in queries]
    assert sorted(names) == sorted(scanned.corpus)
    for key, result in zip(names, engine.answer(queries, Options(5, any=True)), strict=True):
        if isinstance(result, Failure):
            assert scanned.reasons[key].partition(" (")[0] in result.reason  # without numbers
            continue
        assert key not in scanned.reasons
        assert result.distance is not None
        assert np.isfinite([result.distance, *(each.cosine for each in result.neighbors)]).all()
        assert len(result.neighbors) == 5


def test_the_service_answers_what_a_scan_reads_and_explains_the_rest(scanned: Scanned, reproduced: Project) -> None:
    chosen = random.Random(SEED).sample(sorted(scanned.corpus), UPLOADED)  # noqa: S311  # a sample, not a secret
    with client_of(reproduced) as api:
        for key in chosen:
            file, reason = scanned.corpus[key], scanned.reasons.get(key, "")
            response = api.post("/api/search", files={"image": (key, file.content)}, data={"any": "1"})
            expected = {415} if reason else {200}
            if "pixels are too many" in reason or file.is_readable is None:  # of an upload, fewer are allowed
                expected.add(413)
            assert response.status_code in expected, (key, file.kind, response.text)
            answer = response.json()
            assert answer["answer"]["neighbors"] if response.is_success else answer["detail"]
        assert api.get("/healthz").json() == {"status": "ok"}
