"""Runs that are killed at any moment: nothing is half written, and the next run ends as if nothing had happened.

The environment variable KILLS sets how many.
"""

from pipeline.inputs import check_dvc_files

import os
import random
import signal
import subprocess
import time
from itertools import cycle
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from projects import ROOT, Project, obey_interrupts, outputs_of
from similarity.errors import UserError

KILLS = int(os.environ.get("KILLS", "3"))
STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
WAYS = ("SIGKILL to all", "SIGINT to all", "SIGKILL to dvc alone")
LONGEST = 1.5  # seconds from the start of a stage to a kill: in most stages, and sometimes after their end

# What `make repro` does first, and the command that it prints if DVC was killed while it wrote a file.
PREPARING = """python src/check.py 2> ../problem || { eval "$(cut -d '`' -f 2 ../problem)"; python src/check.py; }"""


def draw_kills(count: int) -> list[tuple[str, str, float]]:
    """Draw the stage, the way, and the seconds after its start: each way in turn, all stages about equally often."""
    rng = random.Random(0)  # noqa: S311  # not for secrets
    stages = cycle(rng.sample(STAGES, len(STAGES)))
    return [(next(stages), WAYS[number % len(WAYS)], round(rng.uniform(0, LONGEST), 3)) for number in range(count)]


@pytest.fixture(scope="module")
def disturbed(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the reproduced project, in which all kills happen in turn."""
    return reproduced.copy_to(tmp_path_factory.mktemp("kills") / "project")


def disturb(project: Project, stage: str, way: str, seconds: float) -> str:
    """Run a stage again, kill it, and return what was printed."""
    command, path = ["dvc", "repro", "--force", "--single-item", stage], project.folder.parent / "printed.txt"
    environment = {**project.environment, "PYTHONUNBUFFERED": "1"}
    with path.open("w", encoding="utf-8") as printed:
        process = subprocess.Popen(
            command, cwd=project.folder, env=environment, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=obey_interrupts,
        )  # fmt: skip
        while process.poll() is None and "> python src/" not in path.read_text(encoding="utf-8"):
            time.sleep(0.02)
        time.sleep(seconds)
        number = signal.SIGINT if way.startswith("SIGINT") else signal.SIGKILL
        if process.poll() is None:
            os.kill(process.pid, number) if way.endswith("alone") else os.killpg(process.pid, number)
        process.wait(60)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("stage", "way", "seconds"), draw_kills(KILLS))
def test_a_killed_stage_leaves_nothing_half_written_and_the_next_run_completes_it(
    disturbed: Project, reproduced: Project, stage: str, way: str, seconds: float
) -> None:
    whole = outputs_of(reproduced, stage)
    printed = disturb(disturbed, stage, way, seconds)
    assert f'File "{disturbed.folder}/src' not in printed  # in a traceback
    assert outputs_of(disturbed, stage).items() <= whole.items()
    disturbed.run("bash", "-c", PREPARING)
    disturbed.run("dvc", "repro")  # waits for a stage that goes on without DVC
    assert outputs_of(disturbed, stage) == whole
    assert (disturbed.folder / "dvc.lock").read_bytes() == (reproduced.folder / "dvc.lock").read_bytes()
    assert not list(disturbed.folder.glob("*/**/.new.*"))


def test_a_file_of_dvc_that_is_cut_off_is_named_with_the_command_that_repairs_it(
    disturbed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(disturbed.folder)
    for name, content, repair in (
        ("dvc.lock", "schema: '2.0'\nstages:\n  fetch: {cmd: [", "git checkout HEAD -- dvc.lock"),
        ("dvc.lock", "", "git checkout HEAD -- dvc.lock"),
        (".dvc/tmp/rwlock", '{"read": {', "rm .dvc/tmp/rwlock"),
    ):
        Path(name).write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=f"run `{repair}`"):
            check_dvc_files()
        disturbed.run("bash", "-c", repair)
    check_dvc_files()


def test_a_stage_waits_for_another_one_of_the_same_project(disturbed: Project) -> None:
    with FileLock(disturbed.folder / ".dvc/tmp/stage.lock"):
        stage = subprocess.Popen(
            ["python", "src/split.py"], cwd=disturbed.folder, env=disturbed.environment, stderr=subprocess.PIPE,
            encoding="utf-8",
        )  # fmt: skip
        assert stage.stderr is not None
        assert stage.stderr.readline() == "waiting for another stage of this project to end\n"
    assert stage.wait(60) == 0
