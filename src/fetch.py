"""Stage `fetch`: bring the data set of `data.source` to `data/images/<class>/<name>`, and list what it leaves out."""

from pipeline.stage import counted, run_stage, track

import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from similarity.data.dataset.manifest import SPLIT_COLUMNS, SPLIT_NAMES, UNLABELED
from similarity.data.files import Outputs, write_table
from similarity.data.sources.folders import check_source, fold, list_files, unpack_archive
from similarity.data.sources.label_tables import list_shards, read_corrections
from similarity.data.sources.layouts import Layout, plan_layout
from similarity.errors import UserError
from similarity.layout import CORRECTIONS, GIVEN_SPLITS, IMAGES, LEFT_OUT
from similarity.params import DataParams, Params

DOWNLOADS = user_cache_path("image-similarity") / "downloads"
UNPACKED = ".unpacked"  # in the new folder of images; no class can be called so


def main(params: Params, outputs: Outputs) -> None:
    source, folder = Path(params.data.source), outputs.folder(IMAGES)
    origin = unpacked = folder / UNPACKED
    unpacked.mkdir()
    files, shards = check_source(source), dict[PurePosixPath, Path]()
    if source.suffix in {".yaml", ".yml"} and source.is_file():
        shards = _follow_recipe(source, unpacked)
    elif source.is_file():
        shards = _unpack([source], unpacked)
    elif archives := list_shards(source, files):
        shards = _unpack(archives, unpacked)
    else:
        origin = source
    layout = plan_layout(origin, list_files(origin), params.data, shards, read_corrections(CORRECTIONS))
    bring = shutil.move if origin == unpacked else shutil.copyfile
    for path, key in track(layout.images.items(), "fetch: copy", len(layout.images)):
        (folder / key).parent.mkdir(exist_ok=True)
        bring(origin / path, folder / key)
    shutil.rmtree(unpacked)
    write_table(outputs.file(LEFT_OUT), ("path", "reason"), layout.left_out)
    given = sorted((layout.images[path], split) for path, split in layout.splits.items())
    write_table(outputs.file(GIVEN_SPLITS), SPLIT_COLUMNS, given)
    _report(params.data, layout)


def _follow_recipe(path: Path, target: Path) -> dict[PurePosixPath, Path]:
    """Draw or download the data set of a recipe; return the shard that each file was in, if any."""
    import pooch  # type: ignore[import-untyped]  # it comes without types

    from similarity.data.sources.ceramics import CLASSES
    from similarity.data.sources.downloads import download, generate_images, read_recipe

    recipe = read_recipe(path)
    if recipe.generate:
        count = len(CLASSES) * recipe.generate.images_per_class
        for _ in track(generate_images(recipe.generate, target), "fetch: draw", count):
            pass
        return {}
    archive = download(str(recipe.url), recipe.sha256, DOWNLOADS)
    try:
        shards = _unpack([archive], target)
    except UserError as error:
        archive.unlink(missing_ok=True)  # else it would be found there for ever
        raise UserError(f"{error}; the download was removed: run again, or correct the recipe's url") from error
    if recipe.sha256 is None:
        print(f"fetch: the recipe has no sha256, so this was not checked; received sha256 {pooch.file_hash(archive)}")
    print(f"fetch: {recipe.title}; licence: {recipe.licence}; cite: {recipe.citation}")
    return shards


def _unpack(archives: list[Path], target: Path) -> dict[PurePosixPath, Path]:
    """Unpack archives; return the shard that each file was in, if these are shards."""
    files = ((path, archive) for archive in archives for path in unpack_archive(archive, target))
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
    for name, count in Counter(map(fold, folders)).items():
        if count > 1:
            print(f"fetch: {count} classes are called {name!r}, but for case, spaces or accents' form: are they one?")
    if layout.unlisted:
        unlisted = f"{counted(len(layout.unlisted), 'image')}, such as {str(layout.unlisted[0])!r}"
        print(f"fetch: the table does not list {unlisted}: without a row, there is no class")
    if counts := Counter(layout.splits.values()):
        shown = ", ".join(f"{counts[split]} {split}" for split in SPLIT_NAMES if split in counts)
        print(f"fetch: the source gives splits ({shown}); `split.keep_given: false` draws others")
    if layout.corrected or layout.gone:
        print(f"fetch: {CORRECTIONS} changed {counted(layout.corrected, 'image')}; {layout.gone} not there")
    for reason, count in Counter(reason for _, reason in layout.left_out).most_common():
        print(f"fetch: left out {counted(count, 'file')}, {reason}; all are listed in {LEFT_OUT}")


if __name__ == "__main__":
    run_stage(main)
