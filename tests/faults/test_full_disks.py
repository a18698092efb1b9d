"""Stages on a disk that becomes full: one clear line, the way back, and everything as it was."""

from pipeline.stage import ADVICE

import subprocess

import pytest

from projects import Project

# A small disk in memory is mounted in a namespace of its own, for nobody else, and filled.
ON_A_FULL_DISK = """
mount -t tmpfs -o size=64m tmpfs /mnt && cp -r "$1" /mnt/project && cd /mnt/project || exit 9
mkdir /mnt/home /mnt/tmp
export XDG_CACHE_HOME=/mnt/home TMPDIR=/mnt/tmp
list() { find data models metrics -type f -exec sha256sum {} + | sort; }
list > /tmp/before.$$
fallocate -l $(df --output=avail -B1 /mnt | tail -1) /mnt/filler
for stage in "${@:2}"; do
    python "src/$stage.py" 2>&1
    [ $? = 1 ] || exit 8
    list | diff /tmp/before.$$ - >&2 || exit 7
done
"""
STAGES = ("split", "embed", "ann")  # which write with Python, OpenVINO, and Annoy
NAMESPACE = ("unshare", "--map-root-user", "--mount")


def test_stages_that_find_no_room_leave_everything_as_it_was_and_say_so(reproduced: Project) -> None:
    mount = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here, not even in a namespace of its own")
    command = ("bash", "-c", ON_A_FULL_DISK, "bash", str(reproduced.folder), *STAGES)
    lines = reproduced.run(*NAMESPACE, *command).splitlines()
    printed = [line for line in lines if not line.startswith(tuple(f"{stage}: " for stage in STAGES))]
    assert len(printed) == 2 * len(STAGES)
    for message, advice in zip(printed[::2], printed[1::2], strict=True):
        assert message.startswith("error: ")
        assert "No space left on device" in message or "is the disk full?" in message
        assert advice == ADVICE
