"""Runs that are killed at any moment: nothing is half written, and the next run ends as if nothing had happened.

The environment variable KILLS sets how many.
"""

import os
import random
import signal
import subprocess
import time
from itertools import cycle, islice, product
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from projects import ROOT, Project, obey_interrupts, outputs_of

KILLS = int(os.environ.get("KILLS", "5"))
STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
WAYS = ("SIGKILL to all", "SIGINT to all", "SIGKILL to dvc alone")
LONGEST = 1.5  # seconds from the start of a stage to a kill: in most stages, and sometimes after their end


class Kill(NamedTuple):
    """The stage that runs, the signal and who gets it, and how many seconds after the start of the stage."""

    stage: str
    way: str
    seconds: float


def draw_kills(count: int) -> list[Kill]:
    """Draw kills at random moments, of all stages and in all ways about equally often."""
    rng = random.Random(0)  # noqa: S311  # not for secrets
    kinds = list(product(STAGES, WAYS))
    rng.shuffle(kinds)
    return [Kill(*kind, rng.uniform(0, LONGEST)) for kind in islice(cycle(kinds), count)]


@pytest.fixture(scope="module")
def disturbed(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the reproduced project, in which all kills happen in turn."""
    return reproduced.copy_to(tmp_path_factory.mktemp("kills") / "project")


def is_running(project: Project) -> bool:
    """Whether DVC runs a stage in a project's folder."""
    return any(is_stage_of(project, process) for process in Path("/proc").glob("[0-9]*"))


def is_stage_of(project: Project, process: Path) -> bool:
    try:
        in_project = (process / "cwd").resolve() == project.folder.resolve()
        return in_project and b"DVC_STAGE=" in (process / "environ").read_bytes()
    except OSError:  # it has ended
        return False


def disturb(project: Project, kill: Kill) -> str:
    """Run a stage again, kill it, and return what was printed."""
    command = ["dvc", "repro", "--force", "--single-item", kill.stage]
    with (project.folder.parent / "printed.txt").open("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(
            command, cwd=project.folder, env=project.environment, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=obey_interrupts,
        )  # fmt: skip
        while process.poll() is None and not is_running(project):
            time.sleep(0.02)
        time.sleep(kill.seconds)
        number = signal.SIGINT if kill.way.startswith("SIGINT") else signal.SIGKILL
        if process.poll() is None:
            os.kill(process.pid, number) if kill.way.endswith("alone") else os.killpg(process.pid, number)
        process.wait(60)
        printed.seek(0)
        return printed.read()


@pytest.mark.parametrize("kill", draw_kills(KILLS), ids=lambda kill: f"{kill.stage}-{kill.way}-{kill.seconds:.3f}s")
def test_a_killed_stage_leaves_nothing_half_written_and_the_next_run_completes_it(
    disturbed: Project, reproduced: Project, kill: Kill
) -> None:
    whole = outputs_of(reproduced, kill.stage)
    printed = disturb(disturbed, kill)
    assert f'File "{disturbed.folder}/src' not in printed  # in a traceback
    assert outputs_of(disturbed, kill.stage).items() <= whole.items()
    repair_what_dvc_leaves(disturbed)
    disturbed.run("dvc", "repro")  # waits for a stage that goes on without DVC
    assert outputs_of(disturbed, kill.stage) == whole
    assert (disturbed.folder / "dvc.lock").read_bytes() == (reproduced.folder / "dvc.lock").read_bytes()
    disturbed.run("python", "src/check.py")
    assert not list(disturbed.folder.glob("*/**/.new.*"))


def repair_what_dvc_leaves(project: Project) -> None:
    """Run the command that `make repro` prints if DVC was killed while it wrote a file of its own."""
    done = subprocess.run(
        ("python", "src/check.py"), cwd=project.folder, env=project.environment, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        subprocess.run(done.stderr.split("`")[1], shell=True, cwd=project.folder, check=True)  # noqa: S602  # our own


def test_a_file_of_dvc_that_is_cut_off_is_named_with_the_command_that_repairs_it(project: Project) -> None:
    for name, content, repair in (
        ("dvc.lock", "schema: '2.0'\nstages:\n  fetch: {cmd: [", "git checkout HEAD -- dvc.lock"),
        ("dvc.lock", "", "git checkout HEAD -- dvc.lock"),
        (".dvc/tmp/rwlock", '{"read": {', "rm .dvc/tmp/rwlock"),
    ):
        (project.folder / name).write_text(content, encoding="utf-8")
        printed = project.run("python", "src/check.py", status=1)
        assert f"run `{repair}`" in printed
        assert len(printed.splitlines()) == 1
        project.run("bash", "-c", repair)
    assert "didn't change" in project.run("dvc", "repro")


def test_a_stage_waits_for_another_one_of_the_same_project(project: Project) -> None:
    holder = subprocess.Popen(["flock", ".dvc/tmp/stage.lock", "sleep", "2"], cwd=project.folder)
    time.sleep(0.3)
    assert "waiting for another stage of this project to end" in project.run("python", "src/split.py")
    assert holder.wait() == 0
