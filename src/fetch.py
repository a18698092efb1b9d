"""Stage `fetch`: bring the data set of `data.source` to `data/images/<class>/<name>`, and list what it leaves out."""

from pipeline.stage import counted, run_stage, track

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

import pooch  # type: ignore[import-untyped]  # it comes without types
from platformdirs import user_cache_path

from similarity.data.dataset.corrections import read_corrections
from similarity.data.dataset.manifest import SPLIT_COLUMNS, SPLIT_NAMES, UNLABELED
from similarity.data.files import Outputs, write_table
from similarity.data.sources.archives import UnpackingError, is_archive, unpack_archive
from similarity.data.sources.ceramics import CLASSES
from similarity.data.sources.downloads import Recipe, download, generate_images, read_recipe
from similarity.data.sources.folders import check_source, fold, list_files
from similarity.data.sources.label_tables import list_shards
from similarity.data.sources.layouts import Layout, correct_layout, plan_layout
from similarity.errors import UserError, list_first
from similarity.layout import CORRECTIONS, GIVEN_SPLITS, IMAGES, LEFT_OUT
from similarity.params import DataParams, Params

DOWNLOADS = user_cache_path("image-similarity") / "downloads"
UNPACKED = ".unpacked"  # in the new folder of images; no class can be called so


def main(params: Params, outputs: Outputs) -> None:
    source, folder = Path(params.data.source), outputs.folder(IMAGES)
    unpacked = folder / UNPACKED
    unpacked.mkdir()
    origin, shards = _open_source(source, unpacked)
    found = plan_layout(origin, list_files(origin), params.data, shards)
    corrections = read_corrections(CORRECTIONS)
    layout = correct_layout(found, corrections)
    bring = shutil.move if origin == unpacked else shutil.copyfile
    for path, key in track(layout.images.items(), "fetch: copy", len(layout.images)):
        (folder / key).parent.mkdir(exist_ok=True)
        bring(origin / path, folder / key)
    shutil.rmtree(unpacked)
    write_table(outputs.file(LEFT_OUT), ("path", "reason"), layout.left_out)
    given = sorted((layout.images[path], split) for path, split in layout.splits.items())
    write_table(outputs.file(GIVEN_SPLITS), SPLIT_COLUMNS, given)
    _report(params.data, layout)
    if corrections:
        relabeled = sum(key != found.images[path] for path, key in layout.images.items())
        gone = len(corrections.keys() - {*found.images.values(), *layout.images.values()})
        left_out = len(found.images) - len(layout.images)
        print(f"fetch: {CORRECTIONS}: {counted(relabeled, 'image')} relabeled, {left_out} left out, {gone} not there")


def _open_source(source: Path, unpacked: Path) -> tuple[Path, Mapping[PurePosixPath, Path]]:
    """Return the folder of a source's files, `unpacked` unless it is one, and the shards that files were in, if any."""
    if source.suffix in {".yaml", ".yml"} and source.is_file():
        return unpacked, _follow(read_recipe(source), unpacked)
    files = check_source(source)
    if source.is_dir():
        shards = list_shards(source, files)
        return (unpacked, _unpack(shards, unpacked)) if shards else (source, {})
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
    except UnpackingError as error:
        archive.unlink(missing_ok=True)  # else it would be found there for ever
        raise UserError(f"{error}; the download was removed: run again, or correct the recipe's url") from error
    if recipe.sha256 is None:
        print(f"fetch: the recipe has no sha256, so this was not checked; received sha256 {pooch.file_hash(archive)}")
    print(f"fetch: {recipe.title}; licence: {recipe.licence}; cite: {recipe.citation}")
    return shards


def _unpack(archives: Sequence[Path], unpacked: Path) -> Mapping[PurePosixPath, Path]:
    files = ((path, archive) for archive in archives for path in unpack_archive(archive, unpacked))
    owners = dict(track(files, "fetch: unpack", unit=" files"))
    return owners if ".tar" in archives[0].suffixes else {}


def _report(data: DataParams, layout: Layout) -> None:
    folders = Counter(key.split("/")[0] for key in layout.images.values())
    unlabeled = f", {count} of them without a class" if (count := folders.pop(UNLABELED, 0)) else ""
    images = f"{counted(len(layout.images), 'image')} in {counted(len(folders), 'class')}"
    print(f"fetch: {images} from {data.source}{unlabeled}")
    tables = [path for path, _ in layout.left_out if path.lower().endswith((".csv", ".tsv"))]
    if tables and not folders and data.labels == "folders":
        print(f"fetch: no image has a class; if {tables[0]} has them, set data.table to it")
    for _, twins in groupby(sorted(folders, key=fold), key=fold):
        if len(alike := list(twins)) > 1:
            print(f"fetch: are {' and '.join(map(repr, alike))} one class? Only case, spaces or accents' form differ")
    if layout.unlisted:
        names = list_first([str(path) for path in layout.unlisted])
        print(f"fetch: the table does not list {len(layout.unlisted)} images, so they have no class: {names}")
    if counts := Counter(layout.splits.values()):
        shown = ", ".join(f"{counts[split]} {split}" for split in SPLIT_NAMES if split in counts)
        print(f"fetch: the source gives splits ({shown}); `split.keep_given: false` draws others")
    for reason, count in Counter(reason for _, reason in layout.left_out).most_common():
        print(f"fetch: left out {counted(count, 'file')}, {reason}; all are listed in {LEFT_OUT}")


if __name__ == "__main__":
    run_stage(main)
