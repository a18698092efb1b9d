"""Images in a few tar archives, as webdataset has them, instead of in as many files as there are images.

An image's key alone tells its shard, so one more image changes one shard; and a shard's bytes follow from its images
alone. An index beside the shards has the place of every image, so that single ones are read without a search.
"""

import os
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from similarity.errors import UserError
from similarity.files import read_table, write_table
from similarity.images.protocols import ImageFolder

INDEX = "index.csv"
_COLUMNS = ("path", "shard", "offset", "size")


class Place(NamedTuple):
    """Where an image is: the name of a shard in the same folder, and offset and size in bytes."""

    shard: str
    offset: int
    size: int


@dataclass(frozen=True)
class ShardedFolder:
    """A folder of shards that `write_shards` wrote."""

    path: Path

    @cached_property
    def places(self) -> dict[str, Place]:
        """Of all images, by their keys, in the order of these.

        Raises:
            UserError: the index is damaged.
        """
        rows = read_table(self.path / INDEX, _COLUMNS)
        return {key: Place(shard, int(offset), int(size)) for key, shard, offset, size in rows}

    def __reduce__(self) -> tuple[type["ShardedFolder"], tuple[Path]]:
        return ShardedFolder, (self.path,)  # other processes read the index themselves

    def __truediv__(self, key: str) -> "ShardedImage":
        if key not in self.places:
            raise FileNotFoundError(2, os.strerror(2), str(self.path / key))
        return ShardedImage(self.path, key, self.places[key])


@dataclass(frozen=True)
class ShardedImage:
    """An image in a shard; as text, it is its path among files would be."""

    folder: Path
    key: str
    place: Place

    def __str__(self) -> str:
        return str(self.folder / self.key)

    def read_bytes(self) -> bytes:
        """The image's bytes.

        Raises:
            FileNotFoundError: the shard is gone.
            UserError: the shard is cut off.
        """
        path = self.folder / self.place.shard
        with path.open("rb") as shard:
            content = os.pread(shard.fileno(), self.place.size, self.place.offset)
        if len(content) < self.place.size:
            raise UserError(f"{path} is cut off, {self.key} is not whole in it: run `dvc checkout`, or `dvc repro`")
        return content

    def open(self, mode: Literal["rb"]) -> BinaryIO:  # noqa: ARG002  # as that of a Path
        """The image's bytes as a file; see `read_bytes`."""
        return BytesIO(self.read_bytes())


def open_images(path: Path) -> "Path | ShardedFolder":
    """The images in a folder: in files ``<class>/<name>``, or in shards, which have an index."""
    return ShardedFolder(path) if (path / INDEX).is_file() else path


def write_shards(images: ImageFolder, keys: Iterable[str], target: Path, count: int) -> Iterator[str]:
    """Writes images into shards, and an index of them; yields the key of each that is written.

    Args:
        images: has the images.
        keys: of them.
        target: an empty folder.
        count: of the shards; those without images are written as well, so that ``shard-{00000..00099}.tar`` names all.
    """
    members = defaultdict[int, list[str]](list)
    for key in sorted(keys):
        members[shard_of(key, count)].append(key)
    places = dict[str, Place]()
    for number in range(count):
        name = f"shard-{number:05d}.tar"
        with tarfile.open(target / name, "w", format=tarfile.PAX_FORMAT) as shard:
            for key in members[number]:
                places[key] = _append(shard, name, key, (images / key).read_bytes())
                yield key
    write_table(target / INDEX, _COLUMNS, ((key, *places[key]) for key in sorted(places)))


def shard_of(key: str, count: int) -> int:
    """The number of an image's shard, 0…count − 1; nothing but the key and the number of shards decides."""
    return int.from_bytes(sha256(key.encode("utf-8", "surrogateescape")).digest()[:8], "big") % count


def _append(shard: tarfile.TarFile, name: str, key: str, content: bytes) -> Place:
    member = tarfile.TarInfo(key)  # times, owners and permissions are the same for all
    member.size = len(content)
    shard.addfile(member, BytesIO(content))
    return Place(name, shard.offset - -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(content))
