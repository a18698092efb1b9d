"""The command `similarity`: a folder in, a search out.

It runs the scripts of the project that it is called in, not those of the project that it was installed from.
"""

from pipeline.stage import run_command

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

SCRIPTS = {name: name for name in ("query", "serve", "export", "compare", "publish")} | {"report": "show_report"}
_USAGE = """usage: similarity COMMAND …, in the folder of the project

  index [SOURCE] [--all]  index a folder of images, an archive, or what params.yaml names; with --all, also measure
                          the model, audit the images and write metrics/report.html
  query IMAGE …           show the images most similar to an image file or an indexed image
  serve                   serve the search page and the REST API
  export                  export the model for other programs
  compare                 compare two runs, image by image
  publish                 write all embeddings to a vector database
  report                  write the report with what is true of this run only: commit, duration, change

Each but index is a script in src/; `similarity COMMAND --help` lists its options."""
_NEXT = """
Done. What to do next:
  similarity query photo.jpg    find the images most similar to a file
  similarity serve              search, browse and review findings on a page, http://127.0.0.1:8000
  similarity index --all        measure the model, audit the images, and write metrics/report.html
  git add --all && git commit   keep this result, so that experiments start from it
  dvc exp run -S train.lr=0.02 && dvc metrics diff    try another setting"""


def main() -> NoReturn:
    """Run the command that the arguments name, and exit."""
    run_command(dispatch)


def dispatch() -> None:
    """Run a script of the project in this folder, or `index`."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in {"-h", "--help"}:
        print(_USAGE)
        return
    if command not in {"index", *SCRIPTS}:
        sys.exit(f"error: there is no command {command!r}\n\n{_USAGE}")
    if not Path("src/query.py").exists() or not Path("dvc.yaml").exists():
        sys.exit(f"error: this is no project: run it where dvc.yaml is, such as in {Path(__file__).parents[2]}")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # for stages
    if command != "index":
        os.execv(sys.executable, [sys.executable, f"src/{SCRIPTS[command]}.py", *arguments])  # noqa: S606  # no shell is meant
    sys.exit(index(arguments))


def index(arguments: list[str]) -> int:
    """Set the source, check it, and run the stages that searching needs, or all; return the exit status."""
    parser = argparse.ArgumentParser(prog="similarity index")
    parser.add_argument("source", nargs="?", type=Path, help="a folder, an archive or a recipe (default: data.source)")
    parser.add_argument("--all", action="store_true", help="also measure the model, audit the images, write the report")
    options, params = parser.parse_args(arguments), Path("params.yaml")
    former = params.read_text(encoding="utf-8")
    if options.source:
        from dvc.utils.serialize import modify_yaml  # comments stay

        source, here = options.source.expanduser().resolve(), Path.cwd()
        if not source.exists():
            sys.exit(f"error: {source} is not there: give a folder of images, an archive, or a recipe")
        with modify_yaml(str(params)) as content:
            content["data"]["source"] = (source.relative_to(here) if source.is_relative_to(here) else source).as_posix()
    if status := run("src/check.py"):
        params.write_text(former, encoding="utf-8")
        return status
    if status := run("-m", "dvc", "repro", "--quiet", *([] if options.all else ["ann", "novelty"])):
        print("error: the run has not finished; `dvc repro` says more and goes on where it stopped", file=sys.stderr)
        return status
    print(_NEXT)
    return 0


def run(*arguments: str) -> int:
    """Run Python, wait for it, whatever happens, and return its exit status."""
    with subprocess.Popen([sys.executable, *arguments]) as process:
        while True:
            with suppress(KeyboardInterrupt):  # Python gets it as well, and has to end first
                return process.wait()


if __name__ == "__main__":
    main()
