"""Makes a model of all images, with those that were added since the last one: `python src/retrain.py`.

What `add.py` changed becomes a part of the data set, as if the source had it, and `dvc repro` runs.
"""

from pipeline.dvc_files import check_dvc_files
from pipeline.paths import ADDED, LEARNED, LEARNED_IMAGES, PENDING
from pipeline.recording import record
from pipeline.stage import JOURNAL, only_run_of, run_command

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from add import check_files
from similarity.dataset.change_list import Changes, combine_changes, read_changes, write_changes
from similarity.errors import UserError
from similarity.files import Outputs
from similarity.sources.additions import added_files, remove_files


def main() -> None:
    argparse.ArgumentParser(prog="retrain.py", description="Makes a model of all images, added ones too.").parse_args()
    check_dvc_files()
    with only_run_of("changes"):
        learned, pending = read_changes(LEARNED), read_changes(PENDING)
        if not any(pending):
            print("retrain: nothing was added or removed since the model was made")
            return
        check_files(pending)
        combined, files = combine_changes(learned, pending), {key: ADDED / key for key in pending.added}
        with added_files(files, pending.added, LEARNED_IMAGES), lists_changed(combined, learned, pending):
            if subprocess.run([sys.executable, "-m", "dvc", "repro"], check=False).returncode:
                raise UserError("retraining failed, as is said above: nothing is changed once you have run `dvc repro`")
        remove_files(files.values())
        remove_files(LEARNED_IMAGES / key for key in learned.added if key not in combined.added)
        record(())
    print("To take it over: git add data dvc.lock metrics && git commit; a running service reloads it by SIGHUP")


@contextmanager
def lists_changed(combined: Changes, learned: Changes, pending: Changes) -> Iterator[None]:
    """Counts all changes as learned; if the block ends with an error, the lists are as before."""
    write_lists(combined, Changes({}, {}))
    try:
        yield
    except BaseException:
        write_lists(learned, pending)
        raise


def write_lists(learned: Changes, pending: Changes) -> None:
    with Outputs(JOURNAL) as outputs:
        write_changes(outputs.file(LEARNED), learned)
        write_changes(outputs.file(PENDING), pending)


if __name__ == "__main__":
    run_command(main)
