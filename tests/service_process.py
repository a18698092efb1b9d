"""The real service, as processes of their own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from projects import Project

TOKEN = "correct-horse+battery/staple=="  # noqa: S105  # of the tests


class ServiceProcesses:
    """Services on a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *options: str, before: str = ":") -> str:
        """Starts one with options, after a shell command if there is one, and gives its address."""
        process = subprocess.Popen(
            ["bash", "-c", f'{before}; exec python src/serve.py --port 0 "$@"', "bash", *options],
            cwd=self.project.folder, env=self.project.environment, stdout=subprocess.PIPE, encoding="utf-8",
            start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert " images are served at http://" in line
        return line.split(" at ")[1].split()[0]

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        assert {process.wait(10) for process in self.processes} <= {143}


@contextmanager
def client_of(project: Project, *options: str, before: str = ":") -> Iterator[httpx.Client]:
    """Serve a project while the context lasts, and ask its service."""
    processes = ServiceProcesses(project)
    try:
        with httpx.Client(base_url=processes.start(*options, before=before), timeout=30) as client:
            yield client
    finally:
        processes.stop()
