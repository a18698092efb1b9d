"""Stage `fetch`: bring the data set of `data.source` to `data/images/<class>/<name>`, and list what it leaves out."""

from pipeline.stage import counted, run_stage, track

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from similarity.data.content_cache import digest_file
from similarity.data.dataset.corrections import Correction, read_corrections
from similarity.data.dataset.manifest import SPLIT_NAMES, UNLABELED, write_splits
from similarity.data.files import Outputs, write_table
from similarity.data.sources.archives import DamagedArchiveError, is_archive, list_archives, unpack_archives
from similarity.data.sources.ceramics import CLASSES
from similarity.data.sources.downloads import Recipe, download, generate_images, read_recipe
from similarity.data.sources.folders import bring_images, check_source, fold
from similarity.data.sources.layouts import Choices, Layout, LeftOut, correct_layout, list_folder
from similarity.data.sources.webdataset import list_shards
from similarity.errors import UserError, list_first
from similarity.layout import CORRECTIONS, GIVEN_SPLITS, IMAGES, LEFT_OUT
from similarity.params import Params

DOWNLOADS = user_cache_path("image-similarity") / "downloads"
UNPACKED = ".unpacked"  # in the new folder of images; no class can be called so


def main(params: Params, outputs: Outputs) -> None:
    settings, source = params.data, Path(params.data.source)
    folder = outputs.folder(IMAGES)
    (folder / UNPACKED).mkdir()
    origin, shards = _open_source(source, folder / UNPACKED)
    choices = Choices(settings.table, settings.label, settings.heic == "read", settings.labels == "folders")
    found = list_folder(origin, choices, shards)
    corrections = read_corrections(CORRECTIONS)
    layout = correct_layout(found, corrections)
    images = bring_images(origin, layout.images, folder, move=origin != source)
    for _ in track(images, "fetch: copy", len(layout.images)):
        pass
    shutil.rmtree(folder / UNPACKED)
    write_table(outputs.file(LEFT_OUT), LeftOut._fields, layout.left_out)
    given = sorted((key.as_posix(), split) for key, split in layout.splits.items())
    write_splits(outputs.file(GIVEN_SPLITS), *([entry[i] for entry in given] for i in (0, 1)))
    _report(source, layout)
    if corrections:
        _report_corrections(corrections, found.images, layout.images)


def _open_source(source: Path, unpacked: Path) -> tuple[Path, Mapping[PurePosixPath, Path]]:
    """Return the folder of a source's files, `unpacked` unless it is one, and the shards that files were in, if any."""
    if source.suffix in {".yaml", ".yml"} and source.is_file():
        return unpacked, _follow(read_recipe(source), unpacked)
    if source.is_dir():
        shards = list_shards(source)
        return (unpacked, _unpack(shards, unpacked)) if shards else (source, {})
    check_source(source)
    if is_archive(source):
        return unpacked, _unpack([source], unpacked)
    raise UserError(f"data.source: {source} is not a folder, a complete .zip or .tar archive, or a recipe (.yaml)")


def _follow(recipe: Recipe, unpacked: Path) -> Mapping[PurePosixPath, Path]:
    """Draw or download the data set of a recipe; return the shards that files were in, if any."""
    if generated := recipe.generate:
        for _ in track(generate_images(generated, unpacked), "fetch: draw", len(CLASSES) * generated.images_per_class):
            pass
        return {}
    archive = download(str(recipe.url), recipe.sha256, DOWNLOADS)
    try:
        shards = _unpack([archive], unpacked)
    except DamagedArchiveError as error:
        archive.unlink(missing_ok=True)  # else it would be found there for ever
        raise UserError(f"{error}; the download was removed: run again, or correct the recipe's url") from error
    if recipe.sha256 is None:
        print(f"fetch: the recipe has no sha256, so this was not checked; received sha256 {digest_file(archive)}")
    print(f"fetch: {recipe.title}; licence: {recipe.licence}; cite: {recipe.citation}")
    return shards


def _unpack(archives: Sequence[Path], unpacked: Path) -> Mapping[PurePosixPath, Path]:
    owners = list_archives(archives, unpacked)
    for _ in track(unpack_archives(archives, unpacked), "fetch: unpack", len(owners), " files"):
        pass
    return owners if ".tar" in archives[0].suffixes else {}


def _report(source: Path, layout: Layout) -> None:
    folders = Counter(key.parts[0] for key in layout.images.values())
    unlabeled = f", {count} of them without a class" if (count := folders.pop(UNLABELED, 0)) else ""
    print(f"fetch: {counted(len(layout.images), 'image')} in {counted(len(folders), 'class')} from {source}{unlabeled}")
    for _, twins in groupby(sorted(folders, key=fold), key=fold):
        if len(alike := list(twins)) > 1:
            print(f"fetch: are {' and '.join(map(repr, alike))} one class? Only case, spaces or accents' form differ")
    if layout.unlisted:
        names = list_first([str(path) for path in layout.unlisted])
        print(f"fetch: the table does not list {len(layout.unlisted)} images, so they have no class: {names}")
    if counts := Counter(layout.splits.values()):
        shown = ", ".join(f"{counts[split]} {split}" for split in SPLIT_NAMES if split in counts)
        print(f"fetch: the source gives splits ({shown}); `split.keep_given: false` draws others")
    for reason, count in Counter(each.reason for each in layout.left_out).most_common():
        print(f"fetch: left out {counted(count, 'file')}, {reason}; all are listed in {LEFT_OUT}")


def _report_corrections(
    corrections: Mapping[str, Correction],
    before: Mapping[PurePosixPath, PurePosixPath],
    after: Mapping[PurePosixPath, PurePosixPath],
) -> None:
    relabeled = sum(key != before[path] for path, key in after.items())
    print(f"fetch: {CORRECTIONS}: {counted(relabeled, 'image')} relabeled, {len(before) - len(after)} left out")
    known = {str(key) for keys in (before, after) for key in keys.values()}
    if unknown := sorted(corrections.keys() - known):
        print(f"fetch: {CORRECTIONS} has {counted(len(unknown), 'key')} that no image has: {list_first(unknown)}")


if __name__ == "__main__":
    run_stage(main)
