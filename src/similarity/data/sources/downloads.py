"""Recipes: a data set in words, to be downloaded once, whole and checked, or to be drawn."""

import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import pooch  # type: ignore[import-untyped]  # it comes without types
import requests
import yaml
from filelock import FileLock
from PIL import Image, ImageEnhance
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from similarity.data.sources.ceramics import CLASSES, draw_picture
from similarity.errors import UserError

_CHUNK = 1 << 20  # bytes
_TIMEOUT_S = 60
_MISLABELED, _COPIED = 77, 88  # the last two digits of a faulty picture's number
_AS_IT_IS = {"Accept-Encoding": "identity"}  # a .tar.gz is not to be unpacked on the way


class GeneratedSet(BaseModel):
    """The settings of the generated demo set."""

    model_config = ConfigDict(extra="forbid")

    images_per_class: Annotated[int, Field(ge=1, le=100_000)]
    size: Annotated[int, Field(ge=16, le=1024)]  # pixels
    seed: Annotated[int, Field(ge=0)]


class Recipe(BaseModel):
    """A data set in words: an archive to download, or the demo set's settings."""

    model_config = ConfigDict(extra="forbid")

    title: str
    licence: str
    citation: str
    url: HttpUrl | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    generate: GeneratedSet | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Recipe":
        if (self.url is None) == (self.generate is None):
            raise ValueError("exactly one of `url` and `generate` is needed")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UserError: it is no YAML, or a field is missing, unknown or not allowed.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        faults = [(".".join(map(str, each["loc"])) or "the recipe", each["msg"]) for each in error.errors()]
        listed = "; ".join(f"{field}: {message.removeprefix('Value error, ')}" for field, message in faults)
        raise UserError(f"{path}: {listed}") from error


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
    fault = {_MISLABELED: "mislabeled", _COPIED: "copied"}.get(number % 100)
    shown = CLASSES[CLASSES.index(label) - 1] if fault == "mislabeled" else label
    drawn = number - 50 if fault == "copied" else number
    image = Image.fromarray(draw_picture(shown, settings.seed, drawn, settings.size))
    if fault == "copied":
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
    place = folder / hashlib.sha256(url.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    name = Path(urlsplit(url).path).name or "download"
    with FileLock(folder / f"{place.name}.lock"):  # experiments in several workers want the same file
        for leftover in {*place.iterdir()} - {place / name}:  # from a killed run
            leftover.unlink()
        pooch.get_logger().setLevel(logging.ERROR)
        try:
            return Path(pooch.retrieve(url, sha256, name, place, downloader=_receive))
        except (requests.RequestException, HTTPError, ValueError) as error:
            known = isinstance(error, requests.HTTPError | ValueError)
            broke_off = f"no connection, or it broke off ({type(error).__name__}): run again"
            raise UserError(f"cannot download {url}: {' '.join(str(error).split()) if known else broke_off}") from error


def _receive(url: str, output: Path, asked_by: object) -> None:
    with tqdm(desc="download", total=1, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        receive = pooch.HTTPDownloader(bar, _CHUNK, headers=_AS_IT_IS, timeout=_TIMEOUT_S)
        receive(url, output, asked_by)
