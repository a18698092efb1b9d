"""Which files the Python processes of a project open, and which hosts they look for."""

from pathlib import Path
from typing import NamedTuple

from projects import Project

LOGGING = """
import os, sys
log = open(os.environ["LOG_OF_ACCESSES"], "a", buffering=1, encoding="utf-8")
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        what = os.path.abspath(arguments[0])
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.connect"}:
        what = arguments[1] if event == "socket.connect" else arguments[0]
    else:
        return
    log.write(f"{os.path.basename(sys.argv[0])}\\t{event}\\t{what}\\n")
sys.addaudithook(note)
"""


class Access(NamedTuple):
    """What a script did, as Python's audit events call it, and to which file or host."""

    script: str
    event: str
    what: str

    @property
    def is_foreign(self) -> bool:
        """Whether it was to the network, but for this machine's own; sockets in the file system begin with a slash."""
        return self.event != "open" and not self.what.removeprefix("('").startswith(("127.0.0.1", "localhost", "/"))


def watch(project: Project, folder: Path) -> Project:
    """Let all processes of a project write down their accesses, into a folder."""
    (folder / "sitecustomize.py").write_text(LOGGING, encoding="utf-8")
    log = folder / "accesses.tsv"
    return project._replace(environment={**project.environment, "PYTHONPATH": str(folder), "LOG_OF_ACCESSES": str(log)})


def accesses_of(watched: Project) -> list[Access]:
    """The accesses since the last call."""
    log = Path(watched.environment["LOG_OF_ACCESSES"])
    lines = log.read_text(encoding="utf-8").splitlines()
    log.write_text("", encoding="utf-8")
    return [Access(*line.split("\t")) for line in lines]
