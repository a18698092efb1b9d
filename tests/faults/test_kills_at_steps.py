"""Stages that are killed at each step by which their outputs get to their places: these are all old, or all new.

Each is killed at some steps only, and few stages are, unless TORTURE=1 is set, as by `make torture`.
"""

import random
import signal
import subprocess
from functools import partial
from operator import itemgetter
from pathlib import Path

import pytest
import yaml

from amounts import IS_LONG, SEED
from projects import ROOT, Project, output_names, outputs_of
from recorded_faults import RecordFaults

ALL = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
STAGES = ALL if IS_LONG else ("scan", "split")  # a folder and many files; two files
SAMPLE = 3  # steps of a stage


@pytest.fixture(scope="module")
def stepped(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of a reproduced project, whose stages are killed in turn."""
    return reproduced.copy_to(tmp_path_factory.mktemp("steps") / "project")


def put_old_outputs(project: Project, stage: str, folders: set[str]) -> None:
    """Puts something else in the place of all outputs, some of which are folders."""
    for name in remove_outputs(project, stage):
        path = project.folder / name
        if name in folders:
            path.mkdir()
        (path / "old" if name in folders else path).write_bytes(b"old")


def remove_outputs(project: Project, stage: str) -> list[str]:
    """Removes all outputs, as DVC does before it runs a stage; gives their names."""
    project.run("rm", "-rf", *(names := output_names(project, stage)))
    return names


def run_until(project: Project, stage: str, step: int | str, steps_to: Path) -> int:
    """Runs a stage that is killed before it takes a step, as `kill_at_step` names it; gives its exit status."""
    environment = {
        **project.environment,
        "PYTHONPATH": str(ROOT / "tests" / "kill_at_step"),
        "STEP": str(step),
        "STEPS_TO": str(steps_to),
    }
    done = subprocess.run(
        ["python", f"src/{stage}.py"], cwd=project.folder, env=environment, check=False, capture_output=True
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_of_a_stage_that_is_killed_at_any_step_are_all_old_or_all_new(
    stepped: Project, reproduced: Project, stage: str, tmp_path: Path, record_faults: RecordFaults
) -> None:
    whole, steps_to, is_new = outputs_of(reproduced, stage), tmp_path / "steps", []
    folders = {name for name in output_names(reproduced, stage) if (reproduced.folder / name).is_dir()}
    preparations = (partial(put_old_outputs, folders=folders), remove_outputs)
    kills = []
    for prepare in preparations:
        prepare(stepped, stage)
        assert run_until(stepped, stage, 0, steps_to) == 0
        kills += [(step, prepare) for step in range(1, int(steps_to.read_text(encoding="utf-8")) + 1)]
    if not IS_LONG:
        kills = random.Random(SEED).sample(kills, SAMPLE)  # noqa: S311  # not for secrets
    record_faults("a stage is killed at a rename, removal or flush", len(kills))
    for step, prepare in sorted(kills, key=itemgetter(0)):
        prepare(stepped, stage)
        old = outputs_of(stepped, stage)
        assert run_until(stepped, stage, step, steps_to) == -signal.SIGKILL
        stepped.run("python", "src/check.py")
        found = outputs_of(stepped, stage)
        assert found in (old, whole), f"mixed when killed at step {step}"
        assert nothing_is_left_behind(stepped)
        is_new.append(found == whole)
    assert is_new == sorted(is_new)  # up to one step all is old, and from then on new
    stepped.run("dvc", "repro")
    assert outputs_of(stepped, stage) == whole
    assert (stepped.folder / "dvc.lock").read_bytes() == (reproduced.folder / "dvc.lock").read_bytes()


@pytest.mark.injects("a stage is killed at a rename, removal or flush")
@pytest.mark.parametrize(
    "command", [("query.py", "marble/marble_0003.jpg"), ("seal.py",)], ids=lambda command: command[0]
)
def test_whatever_command_comes_next_carries_out_what_is_written_down(
    stepped: Project, reproduced: Project, tmp_path: Path, command: tuple[str, ...]
) -> None:
    journal = stepped.folder / ".dvc/tmp/outputs.journal"
    remove_outputs(stepped, "split")
    assert run_until(stepped, "split", "written", tmp_path / "steps") == -signal.SIGKILL
    assert (outputs_of(stepped, "split"), journal.exists()) == ({}, True)
    stepped.run("python", f"src/{command[0]}", *command[1:])
    assert (outputs_of(stepped, "split"), journal.exists()) == (outputs_of(reproduced, "split"), False)


def nothing_is_left_behind(project: Project) -> bool:
    return not any(list(project.folder.glob(f"*/**/{name}")) for name in (".new.*", ".old.*", "outputs.journal"))
