"""The files of all indexed images, of which those that were added are in a folder of their own."""

from pipeline.paths import ADDED, IMAGES

from similarity.dataset.image_folders import AddedBefore
from similarity.images.shards import open_images


def indexed_images() -> AddedBefore:
    """The images that the model was made from, and those that were added since."""
    return AddedBefore(ADDED, open_images(IMAGES))
