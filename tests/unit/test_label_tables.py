"""Tables of `path,label[,split]` next to the images, as people export them."""

import io
import sys
from pathlib import Path, PurePosixPath

import pyarrow as pa  # type: ignore[import-untyped]  # it comes without types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # likewise
import pytest

from similarity.data.images.formats import HEIC_PACKAGE
from similarity.data.sources.label_tables import PYARROW, Row, find_rows, read_label_table
from similarity.data.sources.layouts import Choices, Layout, list_folder, plan_layout
from similarity.errors import DataError, UserError

FILES = [PurePosixPath(path) for path in ("a.jpg", "b/c.jpg", "b/d.jpg")]
ROWS = {FILES[0]: Row("cat", "train"), FILES[1]: Row("unlabeled", None)}
CSV = "path,label,split\na.jpg,cat,training\nb/c.jpg,,\n"


def read(content: bytes | str, column: str | None = None, name: str = "labels.csv") -> dict[PurePosixPath, Row]:
    """Return the rows of a table next to `FILES`."""
    table = read_label_table(name, content.encode() if isinstance(content, str) else content, column)
    return find_rows(table, PurePosixPath(), FILES)


def as_parquet(**columns: list) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace(",", ";").encode(),
        CSV.replace(",", "\t").encode(),
        b"sep=;\r\n" + CSV.replace(",", ";").replace("\n", "\r\n").encode(),
        CSV.replace("b/", ".\\b\\").encode(),
        CSV.replace("path", " File_Name ").replace("split", "Split").encode(),
        CSV.replace("a.jpg", '"a.jpg"').encode() + b",,\n\n",
        b"split,note,path,label\ntrain,x,a.jpg,cat\n,y,b/c.jpg,\n",
    ],
)
def test_a_table_is_read_however_a_spreadsheet_wrote_it(content: bytes) -> None:
    assert read(content) == ROWS


def test_a_parquet_file_gives_the_same_also_with_numbers_as_labels_and_empty_cells() -> None:
    content = as_parquet(path=["a.jpg", "b/c.jpg"], label=["cat", None], split=["train", None])
    assert read(content, name="labels.parquet") == ROWS
    paths = [str(path) for path in FILES]
    numbers = read(as_parquet(path=paths, label=[3.0, None, 4.5]), name="labels.parquet")
    assert [row.label for row in numbers.values()] == ["3", "unlabeled", "4.5"]


def test_one_of_several_columns_of_labels_is_chosen() -> None:
    text = "path,genus,species\na.jpg,Quercus,robur\n"
    assert read(text, "species") == {FILES[0]: Row("robur", None)}
    with pytest.raises(UserError, match=r"has the columns 'path', 'genus', 'species', .*: set data\.label"):
        read(text)
    with pytest.raises(UserError, match=r"data\.label: labels\.csv has no column 'kind' of labels; it has 'genus'"):
        read(text, "kind")
    assert read("path,kind\na.jpg,oak\n") == {FILES[0]: Row("oak", None)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "none called 'path'"),
        (b"name,label\na.jpg,cat\n", "has the columns 'name', 'label', but none called 'path'"),
        (b"path\na.jpg\n", "none called 'label'"),
        ("path,label\na.jpg,k\xe4se\n".encode("latin-1"), "labels.csv, line 2: this is not UTF-8"),
        (b"path,label\na.jpg," + 200_000 * b"x", "labels.csv, line 2: field larger than field limit"),
        (b"path,label\na.jpg\nb/c.jpg,x,y\n", "labels.csv, line 2 has 1 columns, where the first .* 3 has 3 columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(content)


def test_damaged_parquet_is_refused_and_all_without_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    content = as_parquet(path=["a.jpg"], label=["cat"])
    with pytest.raises(UserError, match=r"labels\.parquet is damaged, or no table"):
        read(content[:-9], name="labels.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"labels\.parquet: to read Parquet, run `pip install 'pyarrow>="):
        read(content, name="labels.parquet")


def test_the_lines_that_install_readers_are_those_of_the_extras() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'heic = ["{HEIC_PACKAGE}"]' in project
    assert f'parquet = ["{PYARROW}"]' in project


def test_all_wrong_rows_are_listed() -> None:
    with pytest.raises(DataError) as refusal:
        read(
            "path,label,split\na.jpg,cat,train\na.jpg,dog,train\na.jpg,cat,holdout\n,cat,train\n../e.jpg,cat,train\n"
            "b/c.jpg,.x,train\nb/d.jpg,a/b,train\nb/a.jpg,cat,\na.jpg,cat,train\n"
        )
    assert [problem.removeprefix("labels.csv, line ") for problem in refusal.value.problems] == [
        "3: 'a.jpg' is 'cat' in labels.csv, line 2",
        "4: the split 'holdout' is none of train, training, val, valid, validation, dev, test, testing",
        "5: there is no path",
        "6: there is no file '../e.jpg'",
        "7: the label '.x' cannot be the name of a folder",
        "8: the label 'a/b' cannot be the name of a folder",
        "9: there is no file 'b/a.jpg'",
    ]
    with pytest.raises(UserError, match=r"labels\.csv has no rows below its header"):
        read("path,label\n\n")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("A.JPG", "a.jpg"),
        ("a.png", "a.jpg"),  # converted since
        ("c", "b/c.jpg"),
        ("B/c", "b/c.jpg"),
        ("/kaggle/input/set/d.jpg", "b/d.jpg"),
        ("..\\train\\c.jpg", "b/c.jpg"),
        ("C:\\photos\\c.jpg", "b/c.jpg"),
        ("x/c.jpg", None),  # the folder of another image
        ("cc", None),
    ],
)
@pytest.mark.parametrize("header", ["id,breed", "Image_ID,Class,age,sex", "img_name;label;;"])
def test_ids_and_paths_of_other_machines_are_found_where_one_image_fits(
    path: str, found: str | None, header: str
) -> None:
    delimiter = ";" if ";" in header else ","
    table = f"{header}\n{path}{delimiter}oak{delimiter * (header.count(delimiter) - 1)}\n"
    if found is None:
        with pytest.raises(DataError, match="there is no file"):
            read(table)
    else:
        assert read(table) == {PurePosixPath(found): Row("oak", None)}


def test_an_id_that_two_images_fit_is_named_with_both(photos: Path) -> None:
    write_labels(photos, "a,x")
    with pytest.raises(DataError, match=r"labels\.csv, line 2: 'a' may be 'one/a\.jpg' or 'two/a\.jpg'"):
        list_folder(photos)


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


def keys(layout: Layout) -> dict[str, str]:
    return {str(path): str(key) for path, key in layout.images.items()}


def test_a_table_gives_the_classes_of_a_folder(photos: Path) -> None:
    write_labels(photos, "one/a.jpg,x", "one/b.jpg,y", "two/a.jpg,two")
    layout = list_folder(photos)
    assert keys(layout) == {
        "one/a.jpg": "x/one__a.jpg",
        "one/b.jpg": "y/one__b.jpg",
        "two/a.jpg": "two/a.jpg",
        "two/c.jpg": "unlabeled/two__c.jpg",
    }
    assert [str(path) for path in layout.unlisted] == ["two/c.jpg"]
    assert layout.left_out == []


@pytest.mark.parametrize(("folder", "table"), [("", ""), ("set/", "set/"), ("images/", ""), ("set/images/", "set/")])
def test_a_single_folder_around_all_images_is_no_part_of_the_keys(folder: str, table: str) -> None:
    files = [PurePosixPath(f"{folder}a.jpg"), PurePosixPath(f"{folder}b.jpg"), PurePosixPath(f"{table}labels.csv")]
    below = folder.removeprefix(table)
    layout = plan_layout(files, Choices(), lambda *_: f"path,label\n{below}a.jpg,x\n{below}b.jpg,y\n".encode())
    assert [str(key) for key in layout.images.values()] == ["x/a.jpg", "y/b.jpg"]


def test_folders_of_splits_hold_with_a_table_without_splits_and_not_with_one_that_has_them(photos: Path) -> None:
    (photos / "one").rename(photos / "train")
    (photos / "two").rename(photos / "test")
    write_labels(photos, "train/a.jpg,x", "train/b.jpg,y", "test/a.jpg,x", "test/c.jpg,y")
    expected = {"x/train__a.jpg": "train", "y/train__b.jpg": "train", "x/test__a.jpg": "test", "y/test__c.jpg": "test"}
    assert {str(key): split for key, split in list_folder(photos).splits.items()} == expected
    text = "path,label,split\ntrain/a.jpg,x,test\ntest/a.jpg,x,\n"
    (photos / "labels.csv").write_text(text, encoding="utf-8")
    assert {str(key): split for key, split in list_folder(photos).splits.items()} == {"x/train__a.jpg": "test"}


@pytest.mark.usefixtures("unicode_names")
def test_accents_may_have_either_form_of_unicode(photos: Path) -> None:
    (photos / "one" / "a.jpg").rename(photos / "one" / "u\u0308.jpg")  # as macOS writes it
    write_labels(photos, "One/\u00fc.jpg,x")
    assert keys(list_folder(photos))["one/u\u0308.jpg"] == "x/one__u\u0308.jpg"


def test_a_table_of_another_name_is_asked_for_and_two_are_one_too_many(photos: Path) -> None:
    write_labels(photos, "one/a.jpg,x", name="Labels.CSV")
    assert keys(list_folder(photos))["one/a.jpg"] == "x/one__a.jpg"
    (photos / "Labels.CSV").unlink()
    write_labels(photos, "one/a.jpg,x", name="train.csv")
    assert "unlabeled/one__a.jpg" not in keys(list_folder(photos)).values()
    assert keys(list_folder(photos, Choices(table="train.csv")))["one/a.jpg"] == "x/one__a.jpg"
    with pytest.raises(UserError, match=r"data\.table: there is no file 'no\.csv' in data\.source"):
        list_folder(photos, Choices(table="no.csv"))
    with pytest.raises(UserError, match=r"data\.label: 'genus' is to be the column of labels, but data\.source has no"):
        list_folder(photos, Choices(label="genus"))
    write_labels(photos, "one/a.jpg,x")
    (photos / "labels.parquet").write_bytes(as_parquet(path=["one/a.jpg"], label=["x"]))
    with pytest.raises(UserError, match=r"has 'labels\.csv' and 'labels\.parquet': set data\.table"):
        list_folder(photos)
