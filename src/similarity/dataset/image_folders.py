"""Where the file of an indexed image is, if some were added later than the others."""

from dataclasses import dataclass
from pathlib import Path

from similarity.images.protocols import ImageFile, ImageFolder
from similarity.images.shards import open_images
from similarity.layout import ADDED, IMAGES


@dataclass(frozen=True)
class AddedBefore:
    """Images of which some are in a folder of their own: an image that is in both is the one that was added.

    Attributes:
        added: the folder ``<class>/<name>`` of what was added; it need not exist.
        images: has the others.
    """

    added: Path
    images: ImageFolder

    def __truediv__(self, key: str) -> ImageFile:
        """The image with a key."""
        added = self.added / key
        return added if added.is_file() else self.images / key


def open_indexed_images(root: Path = Path()) -> AddedBefore:
    """The files of all indexed images of a project: those that the model was made from, and those added since."""
    return AddedBefore(root / ADDED, open_images(root / IMAGES))
