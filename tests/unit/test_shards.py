"""Images in shards are the images that were put in, whoever reads them."""

import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Literal

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from similarity.dataset.scanning import list_keys
from similarity.errors import UserError
from similarity.images.shards import INDEX, ShardedFolder, open_images, shard_of, write_shards

NAMES = st.text(st.characters(exclude_characters="/\\", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
CONTENTS = st.dictionaries(st.tuples(NAMES, NAMES).map("/".join), st.binary(max_size=2000), max_size=8)


class Content(bytes):
    """An image's bytes, read as those of a file."""

    def read_bytes(self) -> bytes:
        return self

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        assert mode == "rb"
        return BytesIO(self)


class Contents(dict[str, bytes]):
    """Images by their keys, read as those in a folder."""

    def __truediv__(self, key: str) -> Content:
        return Content(self[key])


def in_shards(rocks: Path, target: Path, count: int = 4) -> ShardedFolder:
    target.mkdir()
    list(write_shards(rocks, list_keys(rocks), target, count))
    images = open_images(target)
    assert isinstance(images, ShardedFolder)
    return images


@given(contents=CONTENTS, count=st.integers(1, 5))
def test_every_image_is_read_back_by_its_key(contents: dict[str, bytes], count: int) -> None:
    with TemporaryDirectory() as folder:
        assert sorted(write_shards(Contents(contents), contents, Path(folder), count)) == sorted(contents)
        images = ShardedFolder(Path(folder))
        assert list(images.places) == sorted(contents)
        assert {key: (images / key).read_bytes() for key in contents} == contents
        assert {key: (images / key).open("rb").read() for key in contents} == contents


@given(contents=CONTENTS.filter(bool), count=st.integers(1, 5))
def test_one_image_more_changes_its_own_shard_only(contents: dict[str, bytes], count: int) -> None:
    added = min(contents)
    before = {key: content for key, content in contents.items() if key != added}
    shards = [in_memory(each, count) for each in (before, contents)]
    changed = [name for name in shards[0] if shards[0][name] != shards[1][name]]
    assert changed == [INDEX, f"shard-{shard_of(added, count):05d}.tar"]


def in_memory(contents: dict[str, bytes], count: int) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        list(write_shards(Contents(contents), contents, Path(folder), count))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_tar_and_webdataset_read_the_shards(rocks: Path, tmp_path: Path) -> None:
    images = in_shards(rocks, tmp_path / "shards")
    shards = sorted(images.path.glob("*.tar"))
    expected = {key: (rocks / key).read_bytes() for key in list_keys(rocks)}
    extracted = dict[str, bytes]()
    for shard in shards:
        with tarfile.open(shard) as archive:
            extracted |= {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]  # all are files
    assert extracted == expected
    samples = webdataset.WebDataset([str(shard) for shard in shards], shardshuffle=False)
    assert {f"{sample['__key__']}.png": sample["png"] for sample in samples} == expected


def test_a_shard_that_is_cut_off_is_named(rocks: Path, tmp_path: Path) -> None:
    images = in_shards(rocks, tmp_path / "shards", 1)
    shard, last = tmp_path / "shards" / "shard-00000.tar", list_keys(rocks)[-1]
    shard.write_bytes(shard.read_bytes()[: images.places[last].offset + 10])
    with pytest.raises(
        UserError, match=r"shard-00000.tar is cut off, schist/.* is not whole in it: run `dvc checkout`"
    ):
        (images / last).read_bytes()


def test_an_image_that_is_not_in_the_index_is_missing_like_a_file(rocks: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        in_shards(rocks, tmp_path / "shards") / "marble/none.png"


def test_a_folder_without_an_index_is_one_of_files(rocks: Path) -> None:
    assert open_images(rocks) == rocks
