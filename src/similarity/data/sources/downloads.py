"""Recipes: a data set in words, to be downloaded once, whole and checked, or to be drawn."""

import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import pooch  # type: ignore[import-untyped]  # it comes without types
import requests
import yaml
from PIL import Image, ImageEnhance
from pydantic import BaseModel, Field, HttpUrl, ValidationError
from urllib3.exceptions import HTTPError

from similarity.data.sources.ceramics import CLASSES, draw_picture
from similarity.errors import UserError, one_line

_MISLABELED, _COPIED = 77, 88  # the last two digits of a faulty picture's number


class GeneratedSet(BaseModel, extra="forbid"):
    """The settings of the generated demo set."""

    images_per_class: Annotated[int, Field(ge=1, le=100_000)]
    size: Annotated[int, Field(ge=16, le=1024)]  # pixels
    seed: Annotated[int, Field(ge=0)]


class Recipe(BaseModel, extra="forbid"):
    """A data set in words: an archive to download, or the demo set's settings."""

    title: str
    licence: str
    citation: str
    url: HttpUrl | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    generate: GeneratedSet | None = None


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UserError: it is no YAML, or a field is missing, unknown or not allowed.
    """
    try:
        recipe = Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or 'the recipe'}: {each['msg']}" for each in error.errors()]
        raise UserError(f"{path}: {'; '.join(faults)}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from error
    if (recipe.url is None) == (recipe.generate is None):
        raise UserError(f"{path}: exactly one of `url` and `generate` is needed")
    return recipe


def generate_images(settings: GeneratedSet, target: Path) -> Iterator[Path]:
    """Draw the demo set below `target` with all cores, yielding each picture's path.

    One in a hundred pictures of a class has a wrong label, and one is nearly a copy of another, for `audit` to find.
    """
    for label in CLASSES:
        (target / label).mkdir()
    numbers = range(settings.images_per_class)
    paths = [target / label / f"{label}_{number:04d}.jpg" for label in CLASSES for number in numbers]
    with ProcessPoolExecutor() as processes:
        yield from processes.map(partial(_draw_image, settings), paths, chunksize=16)


def _draw_image(settings: GeneratedSet, path: Path) -> Path:
    label, number = path.parent.name, int(path.stem[-4:])
    is_copy = number % 100 == _COPIED
    if number % 100 == _MISLABELED:
        label = CLASSES[CLASSES.index(label) - 1]
    image = Image.fromarray(draw_picture(label, settings.seed, number - 50 * is_copy, settings.size))
    if is_copy:
        edge = settings.size // 80
        cut = image.crop((edge, edge, settings.size - edge, settings.size - edge))
        image = ImageEnhance.Brightness(cut.resize(image.size)).enhance(1.1)
    image.save(path, quality=92)
    return path


def download(url: str, sha256: str | None, folder: Path) -> Path:
    """Download a file, or find it in a folder of downloads, and return the path of the complete file.

    Any content is accepted if `sha256`, in hexadecimal, is None.

    Raises:
        UserError: no network, an error from the server, or an unexpected digest; nothing is kept.
    """
    pooch.get_logger().setLevel(logging.ERROR)
    # Unless asked not to, servers may send a .tar.gz in a way that unpacks it.
    receive = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), headers={"Accept-Encoding": "identity"})
    try:
        return Path(pooch.retrieve(url, sha256, path=folder, downloader=receive))
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise UserError(f"cannot download {url}: {one_line(error)}") from error
