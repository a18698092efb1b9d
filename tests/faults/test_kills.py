"""Runs that are killed at any moment: nothing is half written, and the next run makes it as if nothing had happened.

TORTURE=1 makes many more of them, as `make torture` does, and KILLS any number.
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

from amounts import KILLS, SEED
from projects import ROOT, Project, outputs_of

STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
WAYS = ("SIGKILL to all", "SIGINT to all", "SIGKILL to dvc alone")
LONGEST = 1.5  # seconds from the start of a stage to a kill: in most stages, and sometimes after their end
SECONDS_TO_END = 10
CUT_IN_A_LINE = "schema: '2.0'\nstages:\n  fetch:\n    cmd: a\n    outs:\n    - path: b\n      hash: md5\n      size:"


class Kill(NamedTuple):
    """What is done to a run.

    Attributes:
        stage: that runs.
        way: the signal, and who gets it.
        seconds: after which, from the start of the stage.
    """

    stage: str
    way: str
    seconds: float


def draw_kills(count: int) -> list[Kill]:
    """Kills at random moments, of all stages and in all ways about equally often."""
    rng = random.Random(SEED)  # noqa: S311  # not for secrets
    kinds = list(product(STAGES, WAYS))
    rng.shuffle(kinds)
    return [Kill(*kind, rng.uniform(0, LONGEST)) for kind in islice(cycle(kinds), count)]


@pytest.fixture(scope="module")
def undisturbed(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of a reproduced project, which all kills are done to in turn."""
    return reproduced.copy_to(tmp_path_factory.mktemp("kills") / "project")


def running_stages(project: Project) -> list[int]:
    """The processes that DVC started in a project's folder."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if is_stage_of(project, process)]


def is_stage_of(project: Project, process: Path) -> bool:
    try:
        in_project = (process / "cwd").resolve() == project.folder.resolve()
        return in_project and b"DVC_STAGE=" in (process / "environ").read_bytes()
    except OSError:  # it is gone
        return False


def disturb(project: Project, kill: Kill) -> str:
    """Starts a stage again, kills it, waits for all that belongs to it, and gives what was printed."""
    command = ["dvc", "repro", "--force", "--single-item", kill.stage]
    with (project.folder.parent / "printed.txt").open("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(
            command, cwd=project.folder, env=project.environment, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=heed_sigint,  # no thread runs here
        )  # fmt: skip
        while process.poll() is None and not running_stages(project):
            time.sleep(0.02)
        time.sleep(kill.seconds)
        number = signal.SIGINT if kill.way.startswith("SIGINT") else signal.SIGKILL
        if process.poll() is None:
            os.kill(process.pid, number) if kill.way.endswith("alone") else os.killpg(process.pid, number)
        process.wait(60)
        deadline = time.monotonic() + SECONDS_TO_END
        while running_stages(project):
            assert time.monotonic() < deadline, f"{kill}: the stage goes on without DVC"
            time.sleep(0.02)
        printed.seek(0)
        return printed.read()


def heed_sigint() -> None:
    """In the new process: a shell's background jobs ignore the signal, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.injects("dvc repro is killed at a random moment")
@pytest.mark.parametrize("kill", draw_kills(KILLS), ids=lambda kill: f"{kill.stage}-{kill.way}-{kill.seconds:.3f}s")
def test_a_killed_stage_leaves_nothing_half_written_and_the_next_run_makes_it_whole(
    undisturbed: Project, reproduced: Project, kill: Kill
) -> None:
    whole = outputs_of(reproduced, kill.stage)
    printed = disturb(undisturbed, kill)
    assert f'File "{undisturbed.folder}/src' not in printed  # in a traceback; one of DVC's own start is not ours
    left = outputs_of(undisturbed, kill.stage)
    assert left.items() <= whole.items()
    mend_what_dvc_leaves(undisturbed)
    undisturbed.run("dvc", "repro")
    assert outputs_of(undisturbed, kill.stage) == whole
    assert (undisturbed.folder / "dvc.lock").read_bytes() == (reproduced.folder / "dvc.lock").read_bytes()
    undisturbed.run("python", "src/check.py")
    assert not list(undisturbed.folder.glob("*/**/.new.*"))


def mend_what_dvc_leaves(project: Project) -> None:
    """Does what `make repro` tells, if DVC was killed while it wrote a file of its own."""
    done = subprocess.run(
        ("python", "src/check.py"), cwd=project.folder, env=project.environment, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        subprocess.run(done.stderr.split("`")[1], shell=True, cwd=project.folder, check=True)  # noqa: S602  # our own


@pytest.mark.injects("a file of DVC's own is cut off")
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("dvc.lock", "schema: '2.0'\nstages:\n  fetch: {cmd: [", "git checkout HEAD -- dvc.lock"),
        ("dvc.lock", CUT_IN_A_LINE, "git checkout HEAD -- dvc.lock"),
        ("dvc.lock", "", "git checkout HEAD -- dvc.lock"),
        (".dvc/tmp/rwlock", '{"read": {', "rm .dvc/tmp/rwlock"),
    ],
)
def test_what_dvc_leaves_cut_off_is_told_with_the_line_that_mends_it(
    project: Project, name: str, content: str, told: str
) -> None:
    (project.folder / name).write_text(content, encoding="utf-8")
    printed = project.run("python", "src/check.py", status=1)
    assert f"run `{told}`" in printed
    assert len(printed.splitlines()) == 1
    project.run("bash", "-c", told)
    assert "didn't change" in project.run("dvc", "repro")


def test_a_stage_waits_for_another_run_of_itself(project: Project) -> None:
    holder = subprocess.Popen(["flock", ".dvc/tmp/split.lock", "sleep", "2"], cwd=project.folder)
    time.sleep(0.3)
    printed = project.run("python", "src/split.py")
    assert "split: waiting for another run of this stage to end" in printed
    assert holder.wait() == 0
