"""More than two thousand odd files, of each of which every way in says that it is indexed, or why it cannot be."""

from pipeline import feature_blocks
from pipeline.paths import FEATURES, MANIFEST, REJECTED, REJECTED_COLUMNS

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from PIL import Image
from recorded_faults import RecordFaults

import featurize
import query
import scan
from odd_files import OddFile, write_corpus
from projects import Project
from service_process import ServiceProcesses
from similarity import ImageIndex, open_index
from similarity.dataset.manifest import read_manifest
from similarity.engine.results import Failure, Options
from similarity.features.extractor import Extractor
from similarity.files import Outputs, read_table
from similarity.params import load_params

SEED, DAMAGED = 20, 400
UPLOADED = 300

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),  # as the program does, which pytest undoes
]


class Scanned(NamedTuple):
    """The corpus by keys, and what the scan made of it."""

    folder: Path
    corpus: dict[str, OddFile]
    indexed: list[str]
    reasons: dict[str, str]


@pytest.fixture(scope="module")
def scanned(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    """A project whose images are the corpus, with a backbone, after the scan; it is the current folder."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("odd") / "project")
    images = project.folder / "data" / "odd"
    corpus = write_corpus(images, SEED, DAMAGED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        patch.setattr(scan, "IMAGES", images)
        patch.setattr(featurize, "IMAGES", images)
        patch.setattr(feature_blocks, "FEATURE_CACHE", tmp_path_factory.mktemp("cache") / "features.sqlite")
        project.set_params(scan={"max_rejected": 1})
        with Outputs() as outputs:
            scan.main(load_params(), outputs)
        reasons = dict(read_table(REJECTED, REJECTED_COLUMNS))
        yield Scanned(images, corpus, read_manifest(MANIFEST).keys, reasons)


def test_every_file_is_indexed_or_listed_with_a_reason(scanned: Scanned, record_faults: RecordFaults) -> None:
    record_faults("an odd file is scanned", len(scanned.corpus))
    assert len(scanned.corpus) > 2000
    assert sorted([*scanned.indexed, *scanned.reasons]) == sorted(scanned.corpus)
    assert all(reason.strip() and "\n" not in reason for reason in scanned.reasons.values())
    assert len(scanned.indexed) > 500
    assert len(scanned.reasons) > 500


def test_what_is_sound_is_indexed_whatever_its_suffix_and_what_is_no_picture_is_not(scanned: Scanned) -> None:
    indexed = set(scanned.indexed)
    wrong = [
        (key, file.kind, scanned.reasons.get(key))
        for key, file in scanned.corpus.items()
        if file.is_readable not in {None, key in indexed}
    ]
    assert wrong == []


def test_what_was_scanned_gets_finite_features(scanned: Scanned) -> None:
    with Outputs() as outputs:
        featurize.main(load_params(), outputs)
    features = np.load(FEATURES)
    assert features.shape[0] == len(scanned.indexed)
    assert np.isfinite(features).all()


@pytest.fixture
def index(reproduced: Project) -> ImageIndex:
    return open_index(reproduced.folder)


def test_a_query_answers_what_a_scan_reads_and_tells_the_rest(
    scanned: Scanned, index: ImageIndex, record_faults: RecordFaults
) -> None:
    record_faults("an odd file is asked for", len(scanned.corpus))
    results = index.answer(query.resolve(str(scanned.folder), index), Options(5, any=True))
    entries = {
        Path(entry["query"]).relative_to(scanned.folder).as_posix(): entry
        for entry in json.loads(query.as_json(results))["queries"]
    }
    assert sorted(entries) == sorted(scanned.corpus)
    failed = {key: entry["error"] for key, entry in entries.items() if "error" in entry}
    assert sorted(failed) == sorted(scanned.reasons)
    assert all(scanned.reasons[key] in reason for key, reason in failed.items())
    for key in scanned.indexed:
        assert len(entries[key]["neighbors"]) == 5
        assert np.isfinite([entries[key]["distance"], *(each["cosine"] for each in entries[key]["neighbors"])]).all()


def test_a_query_whose_features_are_not_finite_is_told_so(
    index: ImageIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def extract(extractor: Extractor, pixels: np.ndarray) -> np.ndarray:
        return np.where(pixels.mean(axis=(1, 2, 3))[:, None] > 250, np.inf, original(extractor, pixels))

    original = Extractor.__call__
    monkeypatch.setattr(Extractor, "__call__", extract)
    for name, color in (("black", 0), ("white", 255), ("gray", 99)):
        Image.new("L", (30, 30), color).save(tmp_path / f"{name}.png")
    results = index.answer(query.resolve(str(tmp_path), index), Options(5))
    reasons = [result.reason if isinstance(result, Failure) else None for result in results]
    told = f"{tmp_path / 'white.png'}: the backbone gives numbers for it that are not finite"
    assert reasons == [None, None, told]


def test_the_service_answers_what_a_scan_reads_and_tells_the_rest(
    scanned: Scanned, reproduced: Project, record_faults: RecordFaults
) -> None:
    record_faults("an odd file is uploaded", UPLOADED)
    services = ServiceProcesses(reproduced)
    chosen = random.Random(SEED).sample(sorted(scanned.corpus), UPLOADED)  # noqa: S311  # a sample, not a secret
    try:
        with httpx.Client(base_url=services.start(), timeout=30) as api:
            for key in chosen:
                response = api.post(
                    "/api/search", files={"image": (key, scanned.corpus[key].content)}, data={"any": "1"}
                )
                expected = 415 if key in scanned.reasons else 200
                assert response.status_code == expected, (key, scanned.corpus[key].kind, response.text)
                detail, neighbors = response.json().get("detail", ""), response.json().get("answer", {"neighbors": []})
                assert bool(detail) != bool(neighbors["neighbors"])
            assert api.get("/healthz").json() == {"status": "ok"}
    finally:
        services.stop()


def test_the_corpus_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path) -> None:
    made = [
        {key: file.content for key, file in write_corpus(tmp_path / str(number), seed, 2).items()}
        for number, seed in enumerate((1, 1, 2))
    ]
    assert (made[0] == made[1], made[0] == made[2]) == (True, False)
