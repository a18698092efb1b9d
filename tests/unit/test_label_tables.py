"""Tables of `path,label[,split]` next to the images, as people export them."""

import io
import sys
from pathlib import Path, PurePosixPath

import pyarrow as pa  # type: ignore[import-untyped]  # it comes without types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # likewise
import pytest

from similarity.data.images.formats import HEIC_PACKAGE
from similarity.data.sources.label_tables import PYARROW, LabelTable, Row, read_label_table
from similarity.data.sources.layouts import Choices, Layout, list_folder, plan_layout
from similarity.errors import DataError, UserError

ROWS = {PurePosixPath("a.jpg"): Row("cat", "train"), PurePosixPath("b/c.jpg"): Row("unlabeled", None)}
CSV = "path,label,split\na.jpg,cat,training\nb/c.jpg,,\n"


def read(text: str, column: str | None = None) -> LabelTable:
    return read_label_table("labels.csv", text.encode(), column)


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
        CSV.replace("b/", ".\\b\\").encode(),
        CSV.replace("path", " File_Name ").replace("split", "Split").encode(),
        CSV.replace("a.jpg", '"a.jpg"').encode() + b",,\n\n",
        b"split,note,path,label\ntrain,x,a.jpg,cat\n,y,b/c.jpg,\n",
    ],
)
def test_a_table_is_read_however_a_spreadsheet_wrote_it(content: bytes) -> None:
    table = read_label_table("labels.csv", content, None)
    assert table.rows == ROWS
    assert table.has_splits


def test_a_parquet_file_gives_the_same_also_with_numbers_as_labels_and_empty_cells() -> None:
    content = as_parquet(path=["a.jpg", "b/c.jpg"], label=["cat", None], split=["train", None])
    assert read_label_table("labels.parquet", content, None).rows == ROWS
    content = as_parquet(path=["a", "b", "c"], label=[3.0, float("nan"), 4.5])
    numbers = read_label_table("labels.parquet", content, None).rows
    assert [row.label for row in numbers.values()] == ["3", "unlabeled", "4.5"]
    assert numbers == read("path,label\na,3\nb,\nc,4.5\n").rows


def test_one_of_several_columns_of_labels_is_chosen() -> None:
    text = "path,genus,species\na.jpg,Quercus,robur\n"
    assert read(text, "species").rows == {PurePosixPath("a.jpg"): Row("robur", None)}
    with pytest.raises(UserError, match=r"has the columns 'path', 'genus', 'species', .*: set data\.label"):
        read(text)
    with pytest.raises(UserError, match=r"data\.label: labels\.csv has no column 'kind' of labels; it has 'genus'"):
        read(text, "kind")
    assert read("path,kind\na.jpg,oak\n").rows == {PurePosixPath("a.jpg"): Row("oak", None)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "none called 'path'"),
        (b"name,label\na.jpg,cat\n", "has the columns 'name', 'label', but none called 'path'"),
        (b"path\na.jpg\n", "none called 'label'"),
        ("path,label\na.jpg,k\xe4se\n".encode("latin-1"), "labels.csv, line 2: this is not UTF-8"),
        (b"path,label\na.jpg," + 200_000 * b"x", "labels.csv, line 2: field larger than field limit"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_label_table("labels.csv", content, None)


def test_damaged_parquet_is_refused_and_all_without_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    content = as_parquet(path=["a.jpg"], label=["cat"])
    with pytest.raises(UserError, match=r"labels\.parquet is damaged, or no Parquet"):
        read_label_table("labels.parquet", content[:-9], None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"labels\.parquet: to read Parquet, run `pip install 'pyarrow>="):
        read_label_table("labels.parquet", content, None)


def test_the_lines_that_install_readers_are_those_of_the_extras() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'heic = ["{HEIC_PACKAGE}"]' in project
    assert f'parquet = ["{PYARROW}"]' in project


def test_all_wrong_rows_are_listed() -> None:
    with pytest.raises(DataError) as refusal:
        read(
            "path,label,split\na.jpg,cat,train\na.jpg,dog,train\nb.jpg,cat,holdout\n,cat,train\n../c.jpg,cat,train\n"
            "d.jpg,.x,train\ne.jpg,a/b,train\nf.jpg,cat\nC:\\g.jpg,cat,test\n"
        )
    assert [problem.removeprefix("labels.csv, line ") for problem in refusal.value.problems] == [
        "9 has 2 columns, where the first line has 3",
        "3: 'a.jpg' is in labels.csv, line 2 already",
        "4: the split 'holdout' is none of train, training, val, valid, validation, dev, test, testing",
        "5: there is no path",
        "6: '../c.jpg' is not below the folder of the table",
        "7: the label '.x' cannot be the name of a folder",
        "8: the label 'a/b' cannot be the name of a folder",
        "10: 'C:/g.jpg' is not below the folder of the table",
    ]


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
    layout = plan_layout(files, Choices(), lambda _: f"path,label\n{below}a.jpg,x\n{below}b.jpg,y\n".encode())
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
def test_rows_without_a_file_are_listed_and_accents_may_have_either_form_of_unicode(photos: Path) -> None:
    (photos / "one" / "a.jpg").rename(photos / "one" / "u\u0308.jpg")  # as macOS writes it
    write_labels(photos, "one/\u00fc.jpg,x", "One/b.jpg,x", "gone.jpg,x")
    with pytest.raises(DataError) as refusal:
        list_folder(photos)
    missing = ("One/b.jpg", "gone.jpg")
    assert refusal.value.problems == [f"labels.csv: there is no file '{name}'" for name in missing]


def test_a_table_of_another_name_is_asked_for_and_two_are_one_too_many(photos: Path) -> None:
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
