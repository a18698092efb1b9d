"""Stages that are killed at each step by which their outputs get to their places: these are all old, or all new.

Each is killed at some steps only, and few stages are, unless TORTURE=1 is set, as by `make torture`.
"""

import random
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from amounts import IS_LONG, SEED
from projects import ROOT, Project, output_names
from recorded_faults import RecordFaults

ALL = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
STAGES = ALL if IS_LONG else ("scan", "split")  # a folder and many files; two files
SAMPLE = 4  # steps of a stage


@pytest.fixture(scope="module")
def stepped(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of a reproduced project, whose stages are killed in turn."""
    return reproduced.copy_to(tmp_path_factory.mktemp("steps") / "project")


def put_old_outputs(project: Project, stage: str) -> dict[str, bytes]:
    """Puts something else in the place of all outputs; gives what is there by then."""
    for path in (project.folder / name for name in output_names(project, stage)):
        is_folder = path.is_dir()
        project.run("rm", "-rf", str(path))
        if is_folder:
            path.mkdir()
        (path / "old" if is_folder else path).write_bytes(b"old")
    return outputs_of(project, stage)


def outputs_of(project: Project, stage: str) -> dict[str, bytes]:
    return project.contents(*(pattern for name in output_names(project, stage) for pattern in (name, f"{name}/**/*")))


def run_until(project: Project, stage: str, step: int, steps_to: Path) -> int:
    """Runs a stage that is killed before it takes a step; gives its exit status."""
    environment = {
        **project.environment,
        "PYTHONPATH": str(ROOT / "tests" / "kill_at_step"),
        "STEP": str(step),
        "STEPS_TO": str(steps_to),
    }
    done = subprocess.run(
        ["python", f"src/{stage}.py"], cwd=project.folder, env=environment, check=False, capture_output=True
    )
    return done.returncode


def count_steps(project: Project, stage: str, steps_to: Path) -> int:
    assert run_until(project, stage, 0, steps_to) == 0
    return int(steps_to.read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_of_a_stage_that_is_killed_at_any_step_are_all_old_or_all_new(
    stepped: Project, reproduced: Project, stage: str, tmp_path: Path, record_faults: RecordFaults
) -> None:
    whole, found = outputs_of(reproduced, stage), []
    old = put_old_outputs(stepped, stage)
    steps = range(1, count_steps(stepped, stage, tmp_path / "steps") + 1)
    chosen = steps if IS_LONG else sorted(random.Random(SEED).sample(steps, SAMPLE))  # noqa: S311  # not for secrets
    record_faults("a stage is killed at a rename, removal or flush", len(chosen))
    for step in chosen:
        put_old_outputs(stepped, stage)
        assert run_until(stepped, stage, step, tmp_path / "steps") == -signal.SIGKILL
        stepped.run("python", "src/check.py")
        found.append(outputs_of(stepped, stage))
        assert found[-1] in (old, whole), f"mixed when killed at step {step}"
        assert nothing_is_left_behind(stepped)
    assert found == sorted(found, key=lambda each: each == whole)  # it is the old, up to one step, and then the new
    stepped.run("dvc", "repro")
    assert outputs_of(stepped, stage) == whole
    assert (stepped.folder / "dvc.lock").read_bytes() == (reproduced.folder / "dvc.lock").read_bytes()


def nothing_is_left_behind(project: Project) -> bool:
    return not any(list(project.folder.glob(f"*/**/{name}")) for name in (".new.*", ".old.*", "outputs.journal"))
