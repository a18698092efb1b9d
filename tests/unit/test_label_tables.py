"""Tables of `path,label[,split]` next to the images, as people export them, and the shards of webdataset."""

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
import webdataset

from samples import keys, plan, unpack
from similarity.data.sources.folders import list_files
from similarity.data.sources.label_tables import (
    Correction,
    find_rows,
    list_shards,
    read_corrections,
    read_label_table,
    write_corrections,
)  # fmt: skip
from similarity.data.sources.layouts import Layout
from similarity.errors import DataError, UserError

FILES = [PurePosixPath(path) for path in ("a.jpg", "b/c.jpg", "b/d.jpg")]
ROWS = {"a.jpg": ("cat", "training"), "b/c.jpg": ("", "")}
SPECIES = b"path,genus,species\na.jpg,Quercus,robur\n"
CSV = "path,label,split\na.jpg,cat,training\nb/c.jpg,,\n"


def read(content: bytes | str, column: str | None = None) -> dict[str, tuple[str, str | None]]:
    """Return the label and split of each row of a table next to `FILES`."""
    rows = read_label_table("labels.csv", content.encode() if isinstance(content, str) else content, column)
    return {str(path): (row.label, row.split) for path, row in find_rows(rows, PurePosixPath(), FILES).items()}


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        CSV.replace(",", ";").encode(),
        b"sep=;\r\n" + CSV.replace(",", ";").replace("\n", "\r\n").encode(),
        CSV.replace("b/", ".\\b\\").encode(),
        CSV.replace("path", " File_Name ").replace("split", "Split").encode(),
        b"split,note,path,label\ntraining,x,a.jpg,cat\n,y,b/c.jpg,\n",
    ],
)
def test_a_table_is_read_however_a_spreadsheet_wrote_it(content: bytes) -> None:
    assert read(content) == ROWS


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (SPECIES, None, r"has the columns 'path', 'genus', 'species', .*: set data\.label"),
        (SPECIES, "kind", r"has the columns .* but none called 'kind': set data\.label to one of them"),
        (b"name,label\na.jpg,cat\n", None, "has the columns 'name', 'label', but none called 'path'"),
        (b"path,label\na.jpg,k\xe4se\n", None, r"labels.csv is not CSV in UTF-8 \(.*byte 0xe4"),
        (b"path,label\na.jpg," + 200_000 * b"x", None, r"is not CSV in UTF-8 \(field larger than field limit"),
        (b"path,label\na.jpg\nb/c.jpg,x,y\n", None, "line 2 has 1 columns, where the first .* 3 has 3 columns"),
        (b"path,label\n\n", None, r"labels\.csv has no rows below its header"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(content: bytes, column: str | None, message: str) -> None:
    assert read(SPECIES, "species") == {"a.jpg": ("robur", None)}
    with pytest.raises(UserError, match=message):
        read(content, column)


def test_all_wrong_rows_are_listed() -> None:
    with pytest.raises(DataError) as refusal:
        read(
            "path,label,split\na.jpg,cat,train\na.jpg,dog,train\na.jpg,cat,holdout\n,cat,train\n../e.jpg,cat,train\n"
            "b/c.jpg,.x,train\nb/d.jpg,a/b,train\nb/a.jpg,cat,\nx/c.jpg,cat,\ncc,cat,\na.jpg,cat,train\n"
        )
    assert [problem.removeprefix("labels.csv, line ") for problem in refusal.value.problems] == [
        "3: 'a.jpg' is 'cat' in labels.csv, line 2",
        "4: the split 'holdout' is none of train, training, val, valid, validation, dev, test, testing",
        "5: there is no path",
        "6: there is no file '../e.jpg'",
        "7: the label '.x' cannot be the name of a folder",
        "8: the label 'a/b' cannot be the name of a folder",
        "9: there is no file 'b/a.jpg'",
        "10: there is no file 'x/c.jpg'",
        "11: there is no file 'cc'",
    ]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("A.JPG", "a.jpg"),
        ("a.png", "a.jpg"),  # converted since
        ("c", "b/c.jpg"),
        ("B/c", "b/c.jpg"),
        ("/kaggle/input/set/d.jpg", "b/d.jpg"),
        ("..\\train\\c.jpg", "b/c.jpg"),
    ],
)
def test_ids_and_paths_of_other_machines_are_found_where_one_image_fits(path: str, found: str) -> None:
    assert read(f"img_name;Class;age;\n{path};oak;;\n") == {found: ("oak", None)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images that a table has the classes of, in two folders."""
    folder = tmp_path / "photos"
    for name in ("one/a.jpg", "one/b.jpg", "two/a.jpg", "two/c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def write_labels(folder: Path, *lines: str, name: str = "labels.csv") -> None:
    (folder / name).write_text("\n".join(("path,label", *lines, "")), encoding="utf-8")


def splits(layout: Layout) -> dict[str, str]:
    return {str(path): split for path, split in layout.splits.items()}


@pytest.mark.usefixtures("unicode_names")
def test_a_table_gives_the_classes_of_a_folder(photos: Path) -> None:
    (photos / "two" / "a.jpg").rename(photos / "two" / "u\u0308.jpg")  # as macOS writes it
    write_labels(photos, "one/a.jpg,x", "one/b.jpg,y", "Two/\u00fc.jpg,two")
    layout = plan(photos)
    assert keys(layout) == {
        "one/a.jpg": "x/one__a.jpg",
        "one/b.jpg": "y/one__b.jpg",
        "two/u\u0308.jpg": "two/u\u0308.jpg",
        "two/c.jpg": "unlabeled/two__c.jpg",
    }
    assert [str(path) for path in layout.unlisted] == ["two/c.jpg"]
    assert layout.left_out == []
    (photos / "two" / "a.jpg").touch()
    write_labels(photos, "a,x")
    with pytest.raises(DataError, match=r"labels\.csv, line 2: 'a' may be 'one/a\.jpg' or 'two/a\.jpg'"):
        plan(photos)


@pytest.mark.parametrize(("folder", "table"), [("", ""), ("images/", ""), ("set/images/", "set/")])
def test_a_single_folder_around_all_images_is_no_part_of_the_keys(folder: str, table: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name in "ab":
        (tmp_path / folder / f"{name}.jpg").touch()
    below = folder.removeprefix(table)
    write_labels(tmp_path / table, f"{below}a.jpg,x", f"{below}b.jpg,y")
    assert list(keys(plan(tmp_path)).values()) == ["x/a.jpg", "y/b.jpg"]


def test_folders_of_splits_hold_with_a_table_without_splits_and_not_with_one_that_has_them(photos: Path) -> None:
    (photos / "one").rename(photos / "train")
    (photos / "two").rename(photos / "test")
    write_labels(photos, "train/a.jpg,x", "train/b.jpg,y", "test/a.jpg,x", "test/c.jpg,y")
    assert all(path.startswith(f"{split}/") for path, split in splits(plan(photos)).items())
    assert len(splits(plan(photos))) == 4
    (photos / "labels.csv").write_text("path,label,split\ntrain/a.jpg,x,testing\ntest/a.jpg,x,\n", encoding="utf-8")
    assert splits(plan(photos)) == {"train/a.jpg": "test"}


def test_a_table_of_another_name_is_asked_for_and_two_are_one_too_many(photos: Path) -> None:
    write_labels(photos, "one/a.jpg,x", name="Labels.CSV")
    assert keys(plan(photos))["one/a.jpg"] == "x/one__a.jpg"
    (photos / "Labels.CSV").unlink()
    write_labels(photos, "one/a.jpg,x", name="train.csv")
    assert "unlabeled/one__a.jpg" not in keys(plan(photos)).values()
    assert keys(plan(photos, table="train.csv"))["one/a.jpg"] == "x/one__a.jpg"
    with pytest.raises(UserError, match=r"data\.table: there is no file 'no\.csv' in data\.source"):
        plan(photos, table="no.csv")
    with pytest.raises(UserError, match=r"data\.label is 'genus', but .* has no labels\.csv or labels\.tsv"):
        plan(photos, label="genus")
    write_labels(photos, "one/a.jpg,x")
    write_labels(photos, "one/a.jpg\tx", name="labels.tsv")
    with pytest.raises(UserError, match=r"has labels\.csv and labels\.tsv: set data\.table to one"):
        plan(photos)


PICTURE = b"not decoded here"


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def plan_shards(folder: Path, label: str | None = None) -> Layout:
    """Plan what the tar files in a folder become, if they are shards."""
    target = folder.with_name(f"{folder.name}-unpacked")
    shutil.rmtree(target, ignore_errors=True)
    owners = unpack(list_shards(folder, list_files(folder)), target)
    return plan(target, owners, label=label)


def test_shards_written_by_webdataset_itself_are_read(tmp_path: Path) -> None:
    with webdataset.ShardWriter(str(tmp_path / "photos-%06d.tar"), maxcount=3, verbose=0) as writer:
        for number in range(6):
            writer.write({"__key__": f"{number:06d}", "jpg": PICTURE, "cls": number % 2})
    layout = plan_shards(tmp_path)
    assert sorted(layout.images.values()) == [f"{i}/{number:06d}.jpg" for i in (0, 1) for number in range(i, 6, 2)]
    assert layout.splits == {}
    assert layout.left_out == []


def test_splits_are_in_the_names_of_shards_and_an_image_without_a_class_is_unlabeled(tmp_path: Path) -> None:
    for name in ("set-train-000000", "set-train-000001", "set-val-000000"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}.jpg": PICTURE, f"{name}.cls": b"cat\n"})
    write_tar(tmp_path / "set-test-0.tar", {"2.jpg": PICTURE, "2.txt": b"a dog"})
    layout = plan_shards(tmp_path)
    assert splits(layout) == {
        "set-train-000000.jpg": "train", "set-train-000001.jpg": "train", "set-val-000000.jpg": "valid",
    }  # fmt: skip
    assert sorted({key.split("/")[0] for key in layout.images.values()}) == ["cat", "unlabeled"]
    assert layout.unlisted == [PurePosixPath("2.jpg")]
    assert layout.left_out == [("2.txt", "not named like an image")]


def test_a_class_is_one_of_the_facts_in_json_and_must_be_one(tmp_path: Path) -> None:
    facts = json.dumps({"label": "cat", "species": "felis", "age": 7}).encode()
    write_tar(tmp_path / "a.tar", {"1.left.jpg": PICTURE, "1.right.jpg": PICTURE, "1.json": facts})
    for column, label in ((None, "cat"), ("species", "felis"), ("age", "7")):
        assert list(plan_shards(tmp_path, column).images.values()) == [f"{label}/1.left.jpg", f"{label}/1.right.jpg"]
    with pytest.raises(UserError, match=r"data\.label is 'color', but .* no shards with such an entry"):
        plan_shards(tmp_path, "color")
    members = {"1.jpg": PICTURE, "1.cls": b"a/b", "2.jpg": PICTURE, "2.cls": b"cat", "2.json": b'{"label": "dog"}'}
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(DataError) as raised:
        plan_shards(tmp_path)
    assert list(raised.value.problems) == [
        "a.tar, 1.cls: the label 'a/b' cannot be the name of a folder",
        "a.tar, 2.json: '2.jpg' is 'cat' in a.tar, 2.cls",
    ]


def test_shards_of_class_folders_need_no_classes_next_to_the_images_and_no_name_twice(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"cat/1.jpg": PICTURE, "dog/2.jpg": PICTURE})
    assert sorted(plan_shards(tmp_path).images.values()) == ["cat/1.jpg", "dog/2.jpg"]
    write_tar(tmp_path / "b.tar", {"cat/1.jpg": PICTURE})
    with pytest.raises(UserError, match=r"b.tar cannot be unpacked .*'cat/1.jpg' is listed twice, or in another"):
        plan_shards(tmp_path)
    (tmp_path / "1.jpg").touch()  # next to them: this is a folder of images
    assert list_shards(tmp_path, list_files(tmp_path)) == []


def test_decisions_are_kept_sorted_in_a_file_that_need_not_exist_and_wrong_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    assert read_corrections(path) == {}
    corrections = {"b/1.jpg": Correction("relabel", "a, too"), "a/ü.jpg": Correction("right")}
    write_corrections(path, corrections)
    assert read_corrections(path) == corrections
    assert path.read_text(encoding="utf-8") == 'key,decision,label\na/ü.jpg,right,\nb/1.jpg,relabel,"a, too"\n'
    wrong = ["a/1,leave_out,", "a/2,maybe,", "a/3,relabel,", "a/4,right,b", "a/5,relabel,.b", "6,right,", "a"]
    path.write_text("\n".join(("<<<<<<< HEAD", "a/1,right,", *wrong)), encoding="utf-8")
    with pytest.raises(DataError) as refusal:
        read_corrections(path)
    problems = [f", line {number}: {line!r} is no decision, or a second one" for number, line in enumerate(wrong, 3)]
    named = [problem.removeprefix(str(path)) for problem in refusal.value.problems]
    assert named == [" does not begin with the line key,decision,label", *problems]
