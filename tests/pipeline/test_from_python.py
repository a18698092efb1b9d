"""Asking from Python: `from similarity import open_index`."""

import io
import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import similarity
from projects import ROOT, Project
from similarity import ImageIndex, Match, UserError, open_index
from similarity.data.evaluation.novelty import KINDS, draw_foreign
from similarity.data.images.decoding import read_image
from similarity.engine.image_index import ImageLike

KEY, FOREIGN = "jug/jug_0003.jpg", next(iter(KINDS))


@pytest.fixture(scope="module")
def index(reproduced: Project) -> ImageIndex:
    return open_index(reproduced.folder)


@pytest.fixture(scope="module")
def pixels(reproduced: Project) -> np.ndarray:
    return read_image(reproduced.folder / "data/images" / KEY)


def test_a_key_finds_what_is_stored_for_it(index: ImageIndex, reproduced: Project) -> None:
    stored = reproduced.read_json("models/inverted-index.json")[KEY]
    found = index.search(KEY, 3)
    assert [(match.key, match.cosine) for match in found] == [tuple(each) for each in stored[:3]]
    assert found[0] == Match(KEY, 1, stored[0][0], "jug", stored[0][1], found[0].likeness, found[0].words)
    assert 40 <= found[0].likeness < 100


def test_pixels_a_file_and_an_image_of_pillow_find_the_same(
    index: ImageIndex, pixels: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "<b>&.png"
    Image.fromarray(pixels).save(file)
    assert "&lt;b&gt;&amp;.png" in index.search(file, 1)._repr_html_()
    orientation = Image.Exif()
    orientation[0x0112] = 6
    Image.fromarray(pixels[:, :30]).save(tmp_path / "turned.png", exif=orientation)
    turned = index.search([tmp_path / "turned.png", Image.open(tmp_path / "turned.png")], 5, any=True).results
    assert [match[1:] for match in turned[0].neighbors] == [match[1:] for match in turned[1].neighbors]
    content = file.read_bytes()
    asked: list[ImageLike] = [pixels, str(file), file, Image.fromarray(pixels), Image.open(file), content]
    with file.open("rb") as opened:
        found = index.search([*asked, io.BytesIO(content), opened], 4)
    names = [match.query for match in found[::4]]
    assert names == ["image 1", str(file), str(file), *(f"image {number}" for number in range(4, 9))]
    rows = [[match[1:] for match in found[start : start + 4]] for start in range(0, len(found), 4)]
    assert rows == [rows[0]] * 8
    assert rows[0][0][1:] == (KEY, "jug", 1, 100, "same picture")


def test_several_pictures_keys_and_embeddings_are_several_queries(index: ImageIndex, pixels: np.ndarray) -> None:
    assert [match.key for match in index.search(np.stack([pixels, pixels]), 1)] == [KEY, KEY]
    assert [match.key for match in index.search(index.embed(pixels)[0], 1)] == [KEY]
    assert [match.query for match in index.search((key for key in index.keys[:2]), 1)] == index.keys[:2]
    assert [match.key for match in index.search(index.embeddings[:3], 1)] == index.keys[:3]
    assert not index.search([])


def test_one_bad_image_does_not_lose_the_others(index: ImageIndex) -> None:
    with pytest.warns(UserWarning, match=r"1 of 3 images failed: no image 'x\.jpg' is indexed"):
        found = index.search([KEY, "x.jpg", KEY], 2)
    assert len(found) == 4
    assert [failure.name for failure in found.failures] == ["x.jpg"]
    assert "error: no image 'x.jpg' is indexed" in repr(found)
    with pytest.raises(UserError, match=r"x\.jpg"):
        index.search(["x.jpg", "y.jpg"])


def test_copies_for_other_processes_and_other_folders_find_the_same(
    reproduced: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(reproduced.folder)
    index, content = open_index("."), (reproduced.folder / "data/images" / KEY).read_bytes()
    monkeypatch.chdir(tmp_path)
    for each in (index, pickle.loads(pickle.dumps(index))):
        assert each.search(content, 1)[0].cosine == 1
    assert dir(similarity) == sorted(["ImageIndex", "Match", "Matches", "Result", "UserError", "open_index"])


def test_queries_are_refined_by_likes_regions_classes_and_findings(index: ImageIndex) -> None:
    near, far = (match.key for match in index.search(KEY, 2, label=["vase", "bowl"]))
    assert {near.split("/")[0], far.split("/")[0]} <= {"vase", "bowl"}
    assert "jug" not in {match.label for match in index.search(KEY, 30, not_label=["jug"])}
    kept = {match.key: match.cosine for match in index.search(KEY, 143, any=True)}
    moved = {match.key: match.cosine for match in index.search(KEY, 143, like=[near], unlike=[far])}
    assert not {KEY, near, far} & moved.keys()
    assert moved != kept
    whole, part = index.search(KEY, 1, region=(0, 0, 1, 1)), index.search(KEY, 1, region=(0, 0, 0.5, 0.5))
    assert whole[0].key == index.search(KEY, 1)[0].key
    assert part[0].cosine != whole[0].cosine
    with pytest.raises(UserError, match="no region of the image"):
        index.search(KEY, region=(0, 0, 2, 1))
    assert len(index.search(KEY, 5, finding="none")) == 5


def test_embeddings_are_those_that_are_stored(index: ImageIndex, pixels: np.ndarray) -> None:
    row = index.keys.index(KEY)
    (embedding,) = index.embed(pixels)
    assert embedding @ index.embeddings[row] / np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    assert len(index.keys) == len(index.labels) == len(index.embeddings) == len(index) == 6 * 24
    assert index.positions is not None
    assert index.positions.shape == (len(index), 2)
    assert index.labels[row] == "jug"


def test_a_sheet_and_a_notebook_show_pictures(index: ImageIndex, pixels: np.ndarray) -> None:
    found = index.search([pixels, KEY, index.embeddings[0]], 3)
    sheet = found.draw()
    assert sheet.width > 4 * 112
    assert np.ptp(np.asarray(sheet)[:112]) > 100
    assert found._repr_html_().count('<img src="data:image/jpeg;base64,/9j/') == 9
    refused = index.search(draw_foreign(FOREIGN, 0, 48, 0))
    assert not refused
    for shown in (repr(refused), refused._repr_html_()):
        assert "image 1: nothing similar is indexed" in shown


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("jug/jug_003.jpg", "no image 'jug/jug_003.jpg' is indexed; near it are: jug/jug_0003.jpg"),
        (np.zeros((5, 5), np.uint8), r"image 1: pixels must be uint8 \(height, width, 3\), RGB, and these are uint8"),
        (np.zeros((0, 5, 3), np.uint8), r"these are uint8 \(0, 5, 3\)"),
        (ROOT / "params.yaml", r"params.yaml: not an image in a known format"),
        (None, r"image 1: a key, a path, .* or an embedding is needed, and this is a NoneType"),
        (np.zeros(5), r"image 1: an embedding is \d+ finite numbers"),
        (ROOT / "src", r"src: Is a directory"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(index: ImageIndex, image: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        index.search(image)  # type: ignore[arg-type]  # that is what is refused
    assert "\n" not in str(refusal.value)


def test_a_number_that_is_not_allowed_is_refused(index: ImageIndex) -> None:
    for options in ({"k": 0}, {"k": 2.5}, {"look": 1.5}, {"look": -0.1}):
        with pytest.raises(UserError, match=r"k must be at least 1, and look from 0 to 1"):
            index.search(KEY, **options)


def test_pixels_are_those_of_the_image_that_is_indexed(project: Project, pixels: np.ndarray) -> None:
    index, file = open_index(project.folder), project.folder / "data/images" / KEY
    np.testing.assert_array_equal(index.pixels(KEY), pixels)
    file.unlink()  # a link to DVC's cache, perhaps
    Image.fromarray(pixels[::-1]).save(file)
    with pytest.raises(UserError, match=r"jug_0003\.jpg has changed since it was scanned"):
        index.pixels(KEY)
    with pytest.raises(UserError, match=r"no image 'jug/jug_003\.jpg' is indexed"):
        index.pixels("jug/jug_003.jpg")


def test_an_open_index_does_not_mix_two_runs(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dvc\.lock is missing: give `open_index` the folder of a project"):
        open_index(tmp_path)
    index, changed = open_index(project.folder), project.folder / "models/embedder/backbone.json"
    with changed.open("ab") as file:
        file.write(b" ")
    assert index.search(KEY)
    with pytest.raises(UserError, match=r"embedder is not what stage embed made"):
        open_index(project.folder)
    project.record("models/embedder")
    with pytest.raises(UserError, match=r"embedder is not what stage embed made"):
        index.search(draw_foreign(FOREIGN, 0, 48, 0))
    assert open_index(project.folder).search(draw_foreign(FOREIGN, 0, 48, 0), any=True)


def test_threads_share_an_index(index: ImageIndex, pixels: np.ndarray) -> None:
    pictures = [np.roll(pixels, shift, axis=1) for shift in range(8)]
    alone = [index.search(picture, 5, any=True) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: index.search(pictures[number % 8], 5, any=True), range(96)))
    for number, each in enumerate(found):
        assert [match.key for match in each] == [match.key for match in alone[number % 8]]


def test_importing_the_package_imports_nothing_but_what_is_used(environment: dict[str, str]) -> None:
    code = "import sys, similarity; print(sorted(m for m in sys.modules if m.startswith(('similarity', 'numpy'))))"
    assert Project(ROOT / "src", environment).run("python", "-c", code) == "['similarity']\n"


def test_the_notebook_of_the_docs_runs(reproduced: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((ROOT / "docs/tutorials/python.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))  # it was run to its end
    assert not [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    code = ["".join(cell["source"]) for cell in cells]
    reproduced.enter(monkeypatch)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict[str, object] = {}
    for cell in code:
        exec(cell, names)  # noqa: S102  # our own
    assert len(code) > 10
    assert isinstance(names["index"], ImageIndex)
