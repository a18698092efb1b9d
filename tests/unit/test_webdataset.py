"""Tar shards that somebody else made for webdataset become classes and splits."""

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
import webdataset

from samples import unpack
from similarity.data.sources.layouts import Choices, Layout, list_folder
from similarity.data.sources.webdataset import list_shards
from similarity.errors import DataError, UserError

PICTURE = b"not decoded here"


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def layout_of(folder: Path, choices: Choices | None = None) -> Layout:
    target = folder.with_name(f"{folder.name}-unpacked")
    shutil.rmtree(target, ignore_errors=True)
    owners = unpack(list_shards(folder), target)
    return list_folder(target, choices, owners)


def keys(layout: Layout) -> list[str]:
    return sorted(str(key) for key in layout.images.values())


def test_shards_written_by_webdataset_itself_are_read(tmp_path: Path) -> None:
    with webdataset.ShardWriter(str(tmp_path / "photos-%06d.tar"), maxcount=3, verbose=0) as writer:
        for number in range(6):
            writer.write({"__key__": f"{number:06d}", "jpg": PICTURE, "cls": number % 2})
    layout = layout_of(tmp_path)
    assert keys(layout) == [f"{label}/{number:06d}.jpg" for label in (0, 1) for number in range(label, 6, 2)]
    assert layout.splits == {}
    assert layout.left_out == []


def test_splits_are_in_the_names_of_shards(tmp_path: Path) -> None:
    for name in ("set-train-000000", "set-train-000001", "set-val-000000"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}.jpg": PICTURE, f"{name}.cls": b"cat"})
    assert {str(key): split for key, split in layout_of(tmp_path).splits.items()} == {
        "cat/set-train-000000.jpg": "train", "cat/set-train-000001.jpg": "train", "cat/set-val-000000.jpg": "valid",
    }  # fmt: skip


def test_a_class_is_one_of_the_facts_in_json(tmp_path: Path) -> None:
    facts = json.dumps({"label": "cat", "species": "felis", "age": 7}).encode()
    write_tar(tmp_path / "a.tar", {"1.left.jpg": PICTURE, "1.right.jpg": PICTURE, "1.json": facts})
    for column, label in ((None, "cat"), ("species", "felis"), ("age", "7")):
        assert keys(layout_of(tmp_path, Choices(label=column))) == [f"{label}/1.left.jpg", f"{label}/1.right.jpg"]
    with pytest.raises(UserError, match=r"^data.label: 'color' is to be the column"):
        layout_of(tmp_path, Choices(label="color"))


def test_an_image_without_a_class_is_unlabeled_and_counted(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"1.jpg": PICTURE, "1.cls": b"cat\n", "2.jpg": PICTURE, "2.txt": b"a dog"})
    layout = layout_of(tmp_path)
    assert keys(layout) == ["cat/1.jpg", "unlabeled/2.jpg"]
    assert layout.unlisted == [PurePosixPath("2.jpg")]
    assert [each.path for each in layout.left_out] == ["2.txt"]


def test_classes_that_cannot_be_or_contradict_each_other_are_named(tmp_path: Path) -> None:
    members = {"1.jpg": PICTURE, "1.cls": b"a/b", "2.jpg": PICTURE, "2.cls": b"cat", "2.json": b'{"label": "dog"}'}
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(DataError) as raised:
        layout_of(tmp_path)
    assert list(raised.value.problems) == [
        "a.tar, 1.cls: the label 'a/b' cannot be the name of a folder",
        "a.tar, 2.json: '2.jpg' is 'cat' in a.tar, 2.cls",
    ]


def test_shards_of_class_folders_need_no_classes_next_to_the_images_and_no_name_twice(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"cat/1.jpg": PICTURE, "dog/2.jpg": PICTURE})
    write_tar(tmp_path / "b.tar", {"cat/3.jpg": PICTURE})
    assert keys(layout_of(tmp_path)) == ["cat/1.jpg", "cat/3.jpg", "dog/2.jpg"]
    shard = write_tar(tmp_path / "b.tar", {"cat/1.jpg": PICTURE * 1000})
    with pytest.raises(UserError, match=r"b.tar: the member 'cat/1.jpg' is in .*a.tar as well"):
        layout_of(tmp_path)
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"b.tar is cut off"):
        layout_of(tmp_path)
    (tmp_path / "1.jpg").touch()  # next to them: this is a folder of images
    assert list_shards(tmp_path) == []
