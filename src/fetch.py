"""Stage `fetch`: brings the data set of `data.source` to `data/images/<class>/<name>`, and lists what it leaves out."""

from pipeline.dvc_files import cache_types
from pipeline.stage import counted, run_stage, track

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

from similarity.data.content_cache import digest_file
from similarity.data.dataset.manifest import SPLIT_NAMES, UNLABELED, write_splits
from similarity.data.files import Outputs, write_table
from similarity.data.sources.archives import DamagedArchiveError, is_archive, list_archives, unpack_archives
from similarity.data.sources.ceramics import CLASSES
from similarity.data.sources.downloads import GeneratedSet, Recipe, download, generate_images, read_recipe
from similarity.data.sources.folders import How, bring_images
from similarity.data.sources.layouts import Choices, Layout, LeftOut, list_folder
from similarity.data.sources.webdataset import list_shards
from similarity.errors import UserError, list_first
from similarity.layout import GIVEN_SPLITS, IMAGES, LEFT_OUT
from similarity.params import DataParams, Params

DOWNLOADS = user_cache_path("image-similarity") / "downloads"
UNPACKED = ".unpacked"  # in the new folder of images; no class can be called so


def main(params: Params, outputs: Outputs) -> None:
    settings, source = params.data, Path(params.data.source)
    if source.suffix in {".yaml", ".yml"} and source.is_file():
        recipe = read_recipe(source)
        if recipe.generate is not None:
            return _generate(recipe.generate, recipe.title, outputs)
        if recipe.url is not None:
            return _fetch(recipe.url, recipe, settings, outputs)
    if source.is_dir():
        if shards := list_shards(source):
            return _unpack(source, shards, settings, outputs)
        return _copy(source, settings, outputs)
    if source.is_file() and is_archive(source):
        return _unpack(source, [source], settings, outputs)
    if source.exists():
        raise UserError(f"data.source: {source} is not a folder, a complete .zip or .tar archive, or a recipe (.yaml)")
    raise UserError(
        f"data.source: {source} does not exist; `~` is not expanded, and an experiment that is queued or runs with "
        "--temp has another working folder, so a path outside of the repository must be absolute"
    )


def _generate(generated: GeneratedSet, title: str, outputs: Outputs) -> None:
    folder = outputs.folder(IMAGES)
    paths = list(track(generate_images(generated, folder), "fetch: draw", len(CLASSES) * generated.images_per_class))
    write_table(outputs.file(LEFT_OUT), LeftOut._fields, [])
    write_splits(outputs.file(GIVEN_SPLITS), [], [])
    print(f"fetch: drew {counted(len(paths), 'image')}: {title}")


def _fetch(url: str, recipe: Recipe, settings: DataParams, outputs: Outputs) -> None:
    path = download(url, recipe.sha256, DOWNLOADS)
    try:
        _unpack(path, [path], settings, outputs)
    except DamagedArchiveError as error:
        path.unlink(missing_ok=True)  # else it would be found there for ever
        raise UserError(f"{error}; the download was removed: run again, or correct the recipe's url {url}") from error
    if recipe.sha256 is None:
        print(f"fetch: the recipe has no sha256, so this was not checked; received sha256 {digest_file(path)}")
    print(f"fetch: {recipe.title}; licence: {recipe.licence}; cite: {recipe.citation}")


def _copy(source: Path, settings: DataParams, outputs: Outputs) -> None:
    layout = list_folder(source, Choices(settings.table, settings.label, settings.heic == "read"))
    how: How = "link" if settings.mode == "link" and _may_link() else "copy"
    folder = outputs.folder(IMAGES)
    for _ in track(bring_images(source, layout.images, folder, how), "fetch: copy", len(layout.images)):
        pass
    _report(source, layout, outputs)


def _may_link() -> bool:
    """Return whether links to the originals are safe from DVC, and print a note if they save nothing."""
    types = cache_types()
    if types[:1] == ["hardlink"]:  # DVC would make the originals themselves its cache, and take away their write access
        return False
    if not {"hardlink", "symlink"} & set(types):
        print(
            "fetch: data.mode is link, but without reflinks in the file system, DVC will replace the links by copies: "
            "`dvc config --local cache.type reflink,hardlink,copy` lets it link as well"
        )
    return True


def _unpack(source: Path, archives: Sequence[Path], settings: DataParams, outputs: Outputs) -> None:
    folder = outputs.folder(IMAGES)
    unpacked = folder / UNPACKED
    unpacked.mkdir()
    owners = list_archives(archives, unpacked)
    for _ in track(unpack_archives(archives, unpacked), "fetch: unpack", len(owners), " files"):
        pass
    choices = Choices(settings.table, settings.label, settings.heic == "read")
    layout = list_folder(unpacked, choices, owners if ".tar" in archives[0].suffixes else None)
    for _ in bring_images(unpacked, layout.images, folder, "move"):
        pass
    shutil.rmtree(unpacked)
    _report(source, layout, outputs)


def _report(source: Path, layout: Layout, outputs: Outputs) -> None:
    write_table(outputs.file(LEFT_OUT), LeftOut._fields, layout.left_out)
    given = sorted((key.as_posix(), split) for key, split in layout.splits.items())
    write_splits(outputs.file(GIVEN_SPLITS), *([entry[i] for entry in given] for i in (0, 1)))
    folders = [key.parts[0] for key in layout.images.values()]
    unlabeled = f", {count} of them without a class" if (count := folders.count(UNLABELED)) else ""
    classes = len(set(folders) - {UNLABELED})
    print(f"fetch: {counted(len(folders), 'image')} in {counted(classes, 'class')} from {source}{unlabeled}")
    if layout.unlisted:
        names = list_first([str(path) for path in layout.unlisted])
        print(f"fetch: the table does not list {len(layout.unlisted)} images, so they have no class: {names}")
    if counts := Counter(layout.splits.values()):
        shown = ", ".join(f"{counts[split]} {split}" for split in SPLIT_NAMES if split in counts)
        print(f"fetch: the source gives splits ({shown}); `split.keep_given: false` draws others")
    for reason, count in Counter(each.reason for each in layout.left_out).most_common():
        print(f"fetch: left out {counted(count, 'file')}, {reason}; all are listed in {LEFT_OUT}")


if __name__ == "__main__":
    run_stage(main)
