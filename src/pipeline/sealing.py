"""Telling whether files are of one run, in the folder that is worked in; it imports little."""

from pathlib import Path

from similarity.opening.run_files import RunFiles


def check_run(*paths: Path) -> None:
    """Makes sure that files are as the last whole run left them; see `RunFiles.check`."""
    RunFiles().check(*paths)
