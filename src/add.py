"""Adds images to the index with the model as it is, or removes some: `python src/add.py ~/new-photos`.

Neither trains anything nor looks at what is indexed already. `python src/retrain.py` makes a model of all.
"""

from pipeline.dvc_files import check_dvc_files
from pipeline.paths import ADDED, INDEX_MANIFEST, MANIFEST, PENDING, SEALED
from pipeline.problems import listing_problems
from pipeline.recording import record
from pipeline.seal_writing import write_seal
from pipeline.sealing import check_run
from pipeline.stage import JOURNAL, counted, only_run_of, run_command, track

import argparse
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from index import write_index
from similarity.dataset.change_list import (
    Changes,
    apply_changes,
    combine_changes,
    needed_changes,
    read_changes,
    write_changes,
)
from similarity.dataset.manifest import Manifest, read_manifest
from similarity.errors import DataError, UserError, list_first
from similarity.files import Outputs
from similarity.index.searcher import unknown_name
from similarity.params import load_params
from similarity.sources.additions import Found, added_files, find_images, remove_files
from similarity.sources.class_folders import Choices

STAGES = ("index", "seal")


@listing_problems()
def main() -> None:
    arguments = parse_arguments()
    check_dvc_files()
    with only_run_of("changes"), only_run_of("index"):
        check_run(*SEALED)
        change_index(*plan(arguments.folders, arguments.remove))
        record(STAGES)
    print("To take it over: git add data dvc.lock metrics && git commit; a running service reloads it by SIGHUP")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="add.py", description="Adds images to the index, or removes some, without training anew."
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="of class folders, as data.source")
    parser.add_argument(
        "--remove",
        nargs="+",
        default=[],
        metavar="KEY",
        help="indexed images: <class>/<name>, or a pattern: 'marble/*'",
    )
    arguments = parser.parse_args()
    if not arguments.folders and not arguments.remove:
        parser.error("name a folder of images to add, or --remove with keys")
    return arguments


def plan(folders: Sequence[Path], names: Iterable[str]) -> tuple[Changes, Found, Changes]:
    """What is to be changed, the images that are to be added, and what was changed before.

    Raises:
        UserError: something cannot be added or removed.
    """
    indexed, pending = read_manifest(INDEX_MANIFEST), read_changes(PENDING)
    check_files(pending)
    removed = find_keys(names, indexed)
    found = look_at(folders)
    changes = Changes(found.records, removed)
    apply_changes(indexed, changes)  # refuses what is there by the same name
    return needed_changes(indexed, changes), found, pending


def check_files(pending: Changes) -> None:
    """Makes sure that what was added before is there: DVC is to record it together with what comes."""
    if missing := [key for key in pending.added if not (ADDED / key).exists()]:
        raise UserError(f"{ADDED / missing[0]} is missing: run `dvc checkout`, or `dvc pull` to get what others added")


def find_keys(names: Iterable[str], indexed: Manifest) -> dict[str, str]:
    """The digests of images, by their keys, from keys and patterns.

    Raises:
        UnknownNameError: nothing is indexed by a name.
    """
    digests, found = {record.path: record.sha256 for record in indexed.records}, dict[str, str]()
    for name in names:
        keys = [name] if name in digests else [key for key in digests if fnmatchcase(key, name)]
        if not keys:
            raise unknown_name("image", name, indexed.keys)
        found |= {key: digests[key] for key in keys}
    return found


def look_at(folders: Sequence[Path]) -> Found:
    """Looks at the images in folders.

    Raises:
        UserError: too many of them cannot be read.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder")
    params = load_params()
    choices = Choices(heic=params.data.heic == "read")
    found = find_images(folders, choices, lambda images, count: track(images, "look", count))
    count, allowed = len(found.records) + len(found.rejected), params.scan.max_rejected
    reasons = [": ".join(rejection) for rejection in found.rejected]
    if len(reasons) > allowed * count:
        advice = (
            "correct or remove them; nothing was added (scan.max_rejected in params.yaml allows a share of "
            f"{allowed:g}, these are {len(reasons)} of {count})"
        )
        raise DataError(reasons, advice)
    if reasons:
        print(f"add: left out {len(reasons)} that cannot be read: {list_first(reasons)}")
    if found.left_out:
        left_out = [": ".join(each) for each in found.left_out]
        print(f"add: left out {len(left_out)} files that are no images by their names: {list_first(left_out)}")
    return found


def change_index(changes: Changes, found: Found, pending: Changes) -> None:
    """Puts the changed index in the place of the present one, in one step, with the images and the list of changes."""
    known = len(found.records) - len(changes.added)
    already = f", {known} are indexed already" if known else ""
    print(f"add: {counted(len(changes.added), 'image')} to add, {len(changes.removed)} to remove{already}")
    if not any(changes):
        return
    if exchanged := [key for key in changes.added if key in pending.added]:
        raise UserError(f"{exchanged[0]} was added before: remove it in a command of its own, then add the other one")
    base = read_manifest(MANIFEST)
    combined = needed_changes(base, combine_changes(pending, changes))
    files = {key: found.files[key] for key in changes.added if key in combined.added}
    with added_files(files, found.records, ADDED), Outputs(JOURNAL) as outputs:
        reasons = write_index(combined, load_params(), outputs)
        write_changes(outputs.file(PENDING), combined)
        write_seal(outputs)
    remove_files(ADDED / key for key in pending.added if key not in combined.added)
    tell_copies(changes, base)
    advice = (
        "training anew would pay, for the reasons above: python src/retrain.py" if reasons else "no need to retrain"
    )
    print(f"add: {advice}")


def tell_copies(changes: Changes, base: Manifest) -> None:
    key_of = {record.sha256: record.path for record in base.records}
    copies = [f"{key} of {key_of[new.sha256]}" for key, new in changes.added.items() if new.sha256 in key_of]
    if copies:
        print(f"add: {len(copies)} are copies of other images: {list_first(copies)}")


if __name__ == "__main__":
    run_command(main)
