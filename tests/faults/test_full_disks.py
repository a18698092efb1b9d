"""Stages on a disk that becomes full: one clear line, the way back, and everything as it was."""

from pipeline.stage import ADVICE

import subprocess
from pathlib import Path

import pytest

from projects import Project

# A small disk in memory is mounted in a namespace of its own, for nobody else; all but some bytes of it are filled.
ON_A_FULL_DISK = """
mount -t tmpfs -o size=64m tmpfs /mnt && cp -r "$1" /mnt/project && cd /mnt/project || exit 9
mkdir /mnt/home /mnt/tmp
export XDG_CACHE_HOME=/mnt/home TMPDIR=/mnt/tmp
list() { find data models metrics -type f -exec sha256sum {} + | sort; }
list > /tmp/before.$$
free=$(df --output=avail -B1 /mnt | tail -1)
fallocate -l $((free - $2)) /mnt/filler
python "src/$3.py" 2>&1; status=$?
list | diff /tmp/before.$$ - >&2 || status=8
exit $status
"""
ROOM = 0  # bytes
NAMESPACE = ("unshare", "--map-root-user", "--mount")


@pytest.fixture
def on_small_disk(project: Project) -> Project:
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here, not even in a namespace of its own")
    for heavy in (project.folder / ".dvc" / "cache", project.folder / ".git"):
        heavy.rename(Path(f"{project.folder}.{heavy.name}"))
    return project


@pytest.mark.parametrize("stage", ["split", "embed", "ann"])
def test_a_stage_that_finds_no_room_leaves_everything_as_it_was_and_says_so(on_small_disk: Project, stage: str) -> None:
    command = ("bash", "-c", ON_A_FULL_DISK, "bash", str(on_small_disk.folder), str(ROOM), stage)
    printed = on_small_disk.run(*NAMESPACE, *command, status=1).splitlines()
    message, advice = [line for line in printed if not line.startswith(f"{stage}: ")]
    assert message.startswith("error: ")
    assert "No space left on device" in message or "is the disk full?" in message
    assert advice == ADVICE
