"""Where images can be: in files, or in whatever else gives their bytes."""

from typing import BinaryIO, Literal, Protocol


class ImageFile(Protocol):
    """The bytes of one image: a `Path`, or a part of a shard; as text, what a message calls it."""

    def read_bytes(self) -> bytes:
        """All of them."""

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Opens them to be read."""


class ImageFolder(Protocol):
    """Images by their keys, as ``folder / key``: a `Path`, or shards."""

    def __truediv__(self, key: str, /) -> ImageFile:
        """The image with that key."""
