"""Reading what another commit or experiment has made, from DVC's cache."""

from pipeline.stage import track

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from similarity.errors import UserError
from similarity.layout import METRICS, RUN, SEALED


@contextmanager
def reading(path: Path, revision: str) -> Iterator[None]:
    """Has it told in one line when a file of a revision cannot be read.

    Raises:
        UserError: there is no such revision, or the file is neither in the cache nor in a remote.
    """
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        yield
    except (DvcException, SCMError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot read {path} of {revision!r} ({reason}): see `dvc exp list --all`") from error


def copy_results(revision: str, folder: Path) -> None:
    """Copies all that is searched with, and the metrics, into a folder, where they are as in a repository.

    Args:
        revision: a commit, a tag, a branch, or an experiment.
        folder: where to.

    Raises:
        UserError: there is no such revision, or its results are neither in the cache nor in a remote.
    """
    from dvc.api import DVCFileSystem

    with reading(RUN, revision):
        repository = DVCFileSystem(".", rev=revision)
        for path in track([RUN, *SEALED, METRICS], f"copy {revision}", unit=" files"):
            with reading(path, revision):
                (folder / path.parent).mkdir(parents=True, exist_ok=True)
                repository.get(str(path), str(folder / path), recursive=repository.isdir(str(path)))
