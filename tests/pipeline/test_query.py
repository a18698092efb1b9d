"""Asking from the shell: by key, by file, and what cannot be answered."""

import json
import re
import shutil
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import query
from projects import ROOT, Project
from similarity import open_index
from similarity.data.evaluation.novelty import draw_foreign
from similarity.data.sources.ceramics import draw_picture
from similarity.errors import UserError

KEY = "jug/jug_0003.jpg"
Ask = Callable[..., str]


@pytest.fixture
def ask(reproduced: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Calls `query.py` in the reproduced project with some arguments; returns what it printed."""
    reproduced.enter(monkeypatch)

    def ask(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["query.py", *arguments])
        query.main()
        return capsys.readouterr().out

    return ask


def answers(printed: str) -> list[dict]:
    return json.loads(printed)["queries"]


def imported_by_query(project: Project, image: str) -> set[str]:
    """The packages that asking for an image imports."""
    listing = project.run("python", "-X", "importtime", "src/query.py", image)
    modules = (line.rsplit("|", 1)[1].strip() for line in listing.splitlines() if line.startswith("import time:"))
    return {module.split(".")[0] for module in modules}


def test_a_key_is_answered_from_the_inverted_index_without_heavy_imports(reproduced: Project, ask: Ask) -> None:
    (result,) = answers(ask(KEY, "--json"))
    stored = reproduced.read_json("models/inverted-index.json")[KEY]
    assert [[each["key"], each["cosine"]] for each in result["neighbors"]] == stored
    assert (result["key"], result["index"], result["source"]) == (KEY, "exact", "models/inverted-index.json")
    assert {each["source"] for each in answers(ask("data/images/jug", "--json"))} == {"models/inverted-index.json"}
    imported = imported_by_query(reproduced, KEY)
    assert "orjson" in imported
    assert imported.isdisjoint({"numpy", "pydantic", "tqdm", "tensorflow", "openvino", "scipy", "matplotlib", "PIL"})


def test_a_file_is_embedded_without_tensorflow_and_finds_itself_and_its_neighbors(
    reproduced: Project, ask: Ask, tmp_path: Path
) -> None:
    photo = str(shutil.copyfile(reproduced.folder / "data/images" / KEY, tmp_path / "my photo.jpg"))
    imported = imported_by_query(reproduced, photo)
    assert "openvino" in imported
    assert imported.isdisjoint({"tensorflow", "keras"})
    unseen, indexed = answers(ask(photo, KEY, "-k", "8", "--json"))
    assert (unseen["key"], unseen["indexed_as"]) == (None, KEY)
    assert f"my photo.jpg (indexed as {KEY}; " in ask(photo)
    assert (unseen["neighbors"][0]["key"], unseen["neighbors"][0]["cosine"]) == (KEY, 1)
    for by_file, by_key in zip(unseen["neighbors"][1:], indexed["neighbors"], strict=False):
        assert by_file["key"] == by_key["key"]
        assert by_file["cosine"] == pytest.approx(by_key["cosine"], abs=2e-6)


def test_several_images_are_drawn_as_a_sheet_with_a_row_each(ask: Ask, tmp_path: Path) -> None:
    Image.fromarray(draw_picture("vase", 9, 9, 300)).resize((500, 90)).save(tmp_path / "wide.png")
    sheet = tmp_path / "out.png"
    printed = ask(str(tmp_path / "wide.png"), KEY, "-k", "12", "--any", "--save", str(sheet))
    assert f"The pictures are in {sheet}" in printed
    assert printed.count("\n   1  ") == 2
    with Image.open(sheet) as picture:
        width, height = picture.size
    assert width > 13 * 112
    assert height > 2 * 112


def test_terminals_that_show_pictures_get_them(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KITTY_WINDOW_ID", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM_PROGRAM", "Apple_Terminal")
    assert "\033" not in ask(KEY)
    monkeypatch.setenv("TERM_PROGRAM", "WezTerm")
    [(size, content)] = re.findall(r"\033\]1337;File=inline=1;size=(\d+):(.+)\a\n", ask(KEY))
    picture = b64decode(content)
    assert (len(picture), picture[:4]) == (int(size), b"\x89PNG")
    monkeypatch.setenv("KITTY_WINDOW_ID", "1")
    heads, parts = zip(*re.findall(r"\033_G([^;]+);([^\033]{1,4096})\033\\", ask(KEY)), strict=True)
    assert heads == ("a=T,f=100,m=1", *["m=1"] * (len(heads) - 2), "m=0")
    assert b64decode("".join(parts)) == picture


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([KEY, "--label", "jugg"], "no class 'jugg' is indexed; near it are: jug"),
        (["x" * 300], "is indexed; and there is no such file"),
        ([KEY, "--save", "out.xyz"], r"--save out\.xyz: unknown file extension: \.xyz"),
        ([KEY, "--save", "nowhere/out.png"], r"--save nowhere/out\.png: there is no folder nowhere"),
        ([KEY, "--look", "0.5", "--index", "annoy"], "search with the exact one"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(ask: Ask, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        ask(*arguments)
    assert "\n" not in str(refusal.value)


def test_what_cannot_be_answered_has_an_error_in_its_place_and_the_others_are_answered(
    reproduced: Project, ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, photo = tmp_path / "photos", reproduced.folder / "data/images" / KEY
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("b.JPG", "deep/a.jpg", ".hidden/c.jpg"):
        shutil.copyfile(photo, folder / name)
    (folder / "deep/cut.jpg").write_bytes(photo.read_bytes()[:700])
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    with pytest.raises(UserError, match=r"^4 of 7 images cannot be answered$"):
        ask("jug/jug_003.jpg", str(tmp_path / "empty"), str(folder), KEY, "params.yaml", "--json", "-k", "3")
    errors = {
        "jug_003.jpg": "near it are: jug/jug_0003.jpg",
        "empty": "empty: there are no images in this folder, nor below it",
        "b.JPG": None,
        "a.jpg": None,
        "cut.jpg": "cut.jpg: image file is truncated",
        "jug_0003.jpg": None,
        "params.yaml": "params.yaml: not an image in a known format",
    }
    for (name, error), result in zip(errors.items(), answers(capsys.readouterr().out), strict=True):
        assert Path(result["query"]).name == name
        if error:
            assert set(result) == {"query", "error"}
            assert error in result["error"]
        else:
            assert len(result["neighbors"]) == 3


def test_in_another_folder_it_says_where_to_run(tmp_path: Path, environment: dict[str, str]) -> None:
    printed = Project(tmp_path, environment).run("python", str(ROOT / "src/query.py"), KEY, status=1)
    assert printed == "error: dvc.lock is missing: run this in the root of the repository\n"


def test_a_model_that_gives_other_embeddings_on_this_machine_is_neither_asked_nor_exported(project: Project) -> None:
    """Every file is of one run, but what computes the features is not what made them."""
    photo = str(shutil.copyfile(project.folder / "data/images" / KEY, project.folder / "x.jpg"))
    embeddings = project.folder / "models/embeddings.npy"
    rows = np.load(embeddings)
    embeddings.unlink()  # it may be a link to what other tests use
    np.save(embeddings, rows[::-1])
    project.record("models/embeddings.npy")
    former = project.folder / "export/README.md"
    former.parent.mkdir()
    former.write_text("# Exported embedding model\n", encoding="utf-8")
    printed = project.run("python", "src/export.py", status=1)
    assert "does not give the stored embeddings" in printed
    assert project.contents("export/*", ".*.export") == {"export/README.md": former.read_bytes()}
    with pytest.raises(UserError, match=r"does not give the stored embeddings of indexed images .* `dvc checkout`"):
        open_index(project.folder).search(photo)


def test_paths_are_printed_for_other_programs_and_an_image_comes_from_one(reproduced: Project) -> None:
    printed = reproduced.run("bash", "-c", f"cat data/images/{KEY} | python src/query.py - -f -k 3")
    assert printed.splitlines()[0] == f"data/images/{KEY}"
    assert all((reproduced.folder / line).is_file() for line in printed.splitlines())
    printed = reproduced.run("bash", "-c", "python src/query.py data/images/*/*_00*.jpg -k 140 | head -n 1")
    assert printed.startswith("data/images/bottle/bottle_0000.jpg (indexed; ")
    assert len(printed.splitlines()) == 1  # a reader that has seen enough is no error


def test_of_what_is_like_nothing_indexed_the_nearest_are_shown_on_demand_only(ask: Ask, tmp_path: Path) -> None:
    files = [str(tmp_path / f"{number}.png") for number in range(20)]
    for number, file in enumerate(files):
        Image.fromarray(draw_foreign("checkerboard", number, 48, 0)).save(file)
    results, anyway = answers(ask(*files, "--json")), answers(ask(*files, "--json", "--any"))
    for result, nearest in zip(results, anyway, strict=True):
        assert len(nearest["neighbors"]) == 10
        assert result["similar"] == nearest["similar"] == (nearest["distance"] <= nearest["max_distance"])
        assert result["neighbors"] == (nearest["neighbors"] if result["similar"] else [])
        assert result["similar"] or {each["words"] for each in nearest["neighbors"]} == {"not similar"}
    foreign = next(file for file, result in zip(files, results, strict=True) if not result["similar"])
    assert "nothing similar is indexed (--any shows the nearest)" in ask(foreign)
    assert "these are only the nearest" in ask(foreign, "--any")
