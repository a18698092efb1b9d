"""Runs a stage on a disk that has only some bytes left: `python tests/full_disk.py PROJECT FREE COMMAND …`.

It has to run in a mount namespace of its own, such as `unshare --map-root-user --mount` gives: a small disk in memory
is mounted in the place of /mnt, where the project is copied to. What the command prints and leaves there is printed as
JSON.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

DISK = Path("/mnt")
SIZE = 64 << 20
FOLDERS = ("data", "models", "metrics", "export")


def main(project: Path, free: int, command: list[str]) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(DISK)], check=True)
    copy = DISK / "project"
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns("cache", ".git"))
    for folder in ("home", "tmp"):
        (DISK / folder).mkdir()
    fill(DISK / "filler", free)
    environment = {**os.environ, "XDG_CACHE_HOME": str(DISK / "home"), "TMPDIR": str(DISK / "tmp")}
    before = contents(copy)
    done = subprocess.run(
        command, cwd=copy, env=environment, check=False, encoding="utf-8", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    result = {"status": done.returncode, "printed": done.stdout, "before": before, "after": contents(copy)}
    print(json.dumps(result))


def fill(filler: Path, free: int) -> None:
    """Leaves a number of bytes free on a disk."""
    status = os.statvfs(filler.parent)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - free)


def contents(project: Path) -> dict[str, str]:
    """The digests of all that stages and commands make, and of what they might leave behind."""
    files = [path for name in FOLDERS for path in (project / name).rglob("*") if path.is_file()]
    return {path.relative_to(project).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
