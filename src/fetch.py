"""Stage `fetch`: brings the data set of `data.source` to `data/images/<class>/<name>`, and lists what it leaves out."""

from pipeline.paths import CACHE, IMAGES, LEFT_OUT, LEFT_OUT_COLUMNS
from pipeline.stage import run_stage, track

from collections import Counter
from pathlib import Path

from tqdm import tqdm

from similarity.dataset.manifest import UNLABELED
from similarity.digests import digest_file
from similarity.errors import UserError
from similarity.files import Outputs, write_table
from similarity.params import Params
from similarity.sources.archives import DamagedArchiveError, is_archive, open_archive
from similarity.sources.class_folders import Layout, copy_images, list_archive, list_folder, unpack_images
from similarity.sources.downloads import download
from similarity.sources.recipes import GeneratedSet, Recipe, generate_images, read_recipe

DOWNLOADS = CACHE / "downloads"


def main(params: Params, outputs: Outputs) -> None:
    source, max_bytes = Path(params.data.source), int(params.data.max_unpacked_gb * 1e9)
    if source.suffix in {".yaml", ".yml"} and source.is_file():
        recipe = read_recipe(source)
        if recipe.generate is not None:
            return _generate(recipe.generate, recipe.title, outputs)
        if recipe.url is not None:
            return _fetch(recipe.url, recipe, max_bytes, outputs)
    if source.is_dir():
        _copy(source, outputs)
    elif source.is_file() and is_archive(source):
        _unpack(source, max_bytes, outputs)
    elif source.exists():
        raise UserError(f"data.source: {source} is not a folder, a complete .zip or .tar archive, or a recipe (.yaml)")
    else:
        raise UserError(
            f"data.source: {source} does not exist; `~` is not expanded, and an experiment that is queued or runs with "
            "--temp has another working folder, so a path outside of the repository must be absolute"
        )
    return None


def _generate(settings: GeneratedSet, title: str, outputs: Outputs) -> None:
    paths = list(track(generate_images(settings, outputs.folder(IMAGES)), "generate"))
    write_table(outputs.file(LEFT_OUT), LEFT_OUT_COLUMNS, [])
    print(f"fetch: generated {len(paths)} images: {title}")


def _fetch(url: str, recipe: Recipe, max_bytes: int, outputs: Outputs) -> None:
    path = _download(url, recipe.sha256)
    try:
        _unpack(path, max_bytes, outputs)
    except DamagedArchiveError as error:
        path.unlink(missing_ok=True)  # else it would be found there for ever
        raise UserError(f"{error}; the download was removed: run again, or correct the recipe's url {url}") from error
    if recipe.sha256 is None:
        print(f"fetch: the recipe has no sha256, so this was not checked; received sha256 {digest_file(path)}")
    print(f"fetch: {recipe.title}; licence: {recipe.licence}; cite: {recipe.citation}")


def _download(url: str, sha256: str | None) -> Path:
    with tqdm(desc="download", unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def show(received: int, total: int | None) -> None:
            bar.total = total
            bar.update(received - bar.n)

        return download(url, sha256, DOWNLOADS, show)


def _copy(source: Path, outputs: Outputs) -> None:
    layout = list_folder(source)
    for _ in track(copy_images(source, layout, outputs.folder(IMAGES)), "copy", len(layout.images)):
        pass
    _report(source, layout, outputs)


def _unpack(source: Path, max_bytes: int, outputs: Outputs) -> None:
    with open_archive(source) as archive:
        layout = list_archive(archive, source, max_bytes)
        for _ in track(unpack_images(archive, layout, outputs.folder(IMAGES)), "unpack", len(layout.images)):
            pass
    _report(source, layout, outputs)


def _report(source: Path, layout: Layout, outputs: Outputs) -> None:
    write_table(outputs.file(LEFT_OUT), LEFT_OUT_COLUMNS, layout.left_out)
    folders = [key.parts[0] for key in layout.images.values()]
    unlabeled = f", {count} of them without a class" if (count := folders.count(UNLABELED)) else ""
    classes = len(set(folders) - {UNLABELED})
    print(f"fetch: {len(layout.images)} images in {classes} classes from {source}{unlabeled}")
    for reason, count in Counter(each.reason for each in layout.left_out).most_common():
        print(f"fetch: left out {count} files, {reason}; all are listed in {LEFT_OUT}")


if __name__ == "__main__":
    run_stage(main)
