"""Stages on a disk that becomes full: one clear line, the way back, and all as it was.

A few are run, or, with TORTURE=1, all of them, each with several numbers of bytes left.
"""

from pipeline.stage import WAY_BACK

import json
import random
import subprocess
import sys
from typing import Any

import pytest
import yaml

from amounts import IS_LONG, SEED
from projects import ROOT, Project, outputs_of
from recorded_faults import RecordFaults

NAMESPACE = ("unshare", "--map-root-user", "--mount")  # in which the disk is mounted, for nobody else
ALL = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
STAGES = ALL if IS_LONG else ("split", "embed", "ann", "train")
KILOBYTES = (0, 8, 100)
OTHER_SETTINGS: dict[str, dict[str, dict[str, object]]] = {  # that have other libraries write
    "ann": {"ann": {"backend": "faiss"}},
    "backbone": {"backbone": {"engine": "keras"}},
}


@pytest.fixture(scope="module")
def filling(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is copied to disks of several sizes."""
    if subprocess.run(
        [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
    ).returncode:
        pytest.skip("no disk can be mounted here, not even in a namespace of its own")
    return reproduced.copy_to(tmp_path_factory.mktemp("disks") / "project")


def run_with_room(project: Project, free: int, *command: str) -> dict[str, Any]:
    """Runs a command on a disk with a number of bytes left; gives what `full_disk.py` tells of it."""
    driver = (*NAMESPACE, sys.executable, str(ROOT / "tests/full_disk.py"), str(project.folder), str(free))
    return json.loads(project.run(*driver, *command))


def check_refusal(result: dict[str, Any], stage: str) -> None:
    told = [line for line in result["printed"].splitlines() if not line.startswith(f"{stage}: ")]
    assert result["status"] == 1, result["printed"]
    assert len(told) == 2, result["printed"]
    assert told[0].startswith("error: ")
    assert "No space left on device" in told[0] or "is the disk full?" in told[0]
    assert told[1].endswith(WAY_BACK)
    assert result["after"] == result["before"]


def rooms(project: Project, stage: str) -> list[int]:
    """Numbers of bytes that are too few for all outputs of a stage, if only just, and some that might do."""
    size = sum(map(len, outputs_of(project, stage).values()))
    rng = random.Random(f"{SEED} {stage}")  # noqa: S311  # not for secrets
    return [1024 * each for each in KILOBYTES] + [rng.randrange(size) for _ in range(4)] + [size]


@pytest.mark.parametrize(
    ("stage", "settings"),
    [*((stage, {}) for stage in STAGES), *(OTHER_SETTINGS.items() if IS_LONG else ())],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_stage_that_finds_no_room_leaves_all_as_it_was_and_says_so_in_one_line(
    filling: Project, reproduced: Project, stage: str, settings: dict[str, Any], record_faults: RecordFaults
) -> None:
    parameters = filling.folder / "params.yaml"
    parameters.write_bytes((reproduced.folder / "params.yaml").read_bytes())
    filling.set_params(**settings)
    results = [run_with_room(filling, free, "python", f"src/{stage}.py") for free in chosen_rooms(filling, stage)]
    failed = [result for result in results if result["status"]]
    record_faults("a stage finds the disk full", len(failed))
    for result in failed:
        check_refusal(result, stage)
    assert failed
    for result in results:
        assert settings or result["after"] == result["before"]  # what a run makes anew is the same


def chosen_rooms(project: Project, stage: str) -> list[int]:
    return rooms(project, stage) if IS_LONG else rooms(project, stage)[1:2]


@pytest.mark.parametrize(
    "arguments", [("export.py", "--format", "all"), ("query.py", "marble/marble_0003.jpg", "--save", "x.png")]
)
@pytest.mark.skipif(not IS_LONG, reason="only in the long form: make torture")
def test_a_command_that_finds_no_room_leaves_nothing_and_says_so_in_one_line(
    filling: Project, reproduced: Project, arguments: tuple[str, ...], record_faults: RecordFaults
) -> None:
    (filling.folder / "params.yaml").write_bytes((reproduced.folder / "params.yaml").read_bytes())
    record_faults("a command finds the disk full", len(KILOBYTES))
    for kilobytes in (0, 8, 20):
        result = run_with_room(filling, 1024 * kilobytes, "python", f"src/{arguments[0]}", *arguments[1:])
        assert result["status"] == 1
        assert len(result["printed"].splitlines()) == 1, result["printed"]
        assert "No space left on device" in result["printed"]
        assert result["after"] == result["before"]
