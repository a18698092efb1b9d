"""Show the report with what is true of this run only: `python src/show_report.py`, or with a revision to compare with.

The name, commit, date and duration of a run differ between runs with equal results, so they are not in the report that
the stage writes, which has the same bytes for the same results. They are added here, to a copy.
"""

from pipeline.dvc_files import read_files
from pipeline.stage import SECONDS, run_command

import argparse
import subprocess
import sys
import webbrowser
from collections import ChainMap
from datetime import datetime
from pathlib import Path

import orjson
import yaml

from report import open_album, read_queries
from similarity.data.dataset.manifest import read_manifest
from similarity.data.files import replaced_file
from similarity.engine.dvc_lock import DvcLock
from similarity.errors import UserError
from similarity.layout import MANIFEST, METRICS, QUERY_NEIGHBORS, REPORT
from similarity.reporting import run
from similarity.reporting.markup import flat

LOCK, PARAMS = Path("dvc.lock"), Path("params.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(prog="show_report.py", description="Show the report of the run in the workspace.")
    parser.add_argument("revision", nargs="?", help="what to compare with; by default the last commit that differs")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: %(default)s)")
    arguments = parser.parse_args()
    DvcLock(Path()).check(REPORT)
    is_committed = not git("status", "--porcelain", "--", str(LOCK))
    commits = git("log", "--format=%h", "-2", "--", str(LOCK)).split()[is_committed:]
    content = run.facts_section(facts(is_committed))
    if before := arguments.revision or next(iter(commits), None):
        content += changes(before)
    text = REPORT.read_text(encoding="utf-8").replace(run.PLACE, content)
    with replaced_file(arguments.out) as path:
        path.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: the report of this run{f', and what changed since {before}' if before else ''}")
    if sys.stdout.isatty():
        webbrowser.open(arguments.out.absolute().as_uri())


def facts(is_committed: bool) -> dict[str, str]:
    """Find out what identifies the run in the workspace."""
    digest = git("hash-object", str(LOCK))
    refs = [ref for ref in git("for-each-ref", "refs/exps", "--format=%(refname)").split() if "/exec/" not in ref]
    experiments = [ref for ref in refs if git("rev-parse", f"{ref}:{LOCK}", check=False) == digest]
    date = datetime.fromtimestamp(LOCK.stat().st_mtime).astimezone().isoformat(" ", "minutes")
    seconds = orjson.loads(SECONDS.read_bytes()) if SECONDS.exists() else {}
    return {
        "name": experiments[0].rpartition("/")[2] if experiments else git("rev-parse", "--abbrev-ref", "HEAD"),
        "commit": git("log", "-1", "--format=%h %s") + ("" if is_committed else ", with changes not committed"),
        "date": git("log", "-1", "--format=%ci", "--", str(LOCK)) if is_committed else date,
        "duration": f"{sum(seconds.values()):.0f} s, all stages together when they last ran in this folder",
    }


def changes(revision: str) -> str:
    """Describe what changed since a revision: parameters, metrics, and the results of queries."""
    figures = sorted(METRICS.glob("*.json"))
    paths = [PARAMS, *figures, QUERY_NEIGHBORS]

    def describe(texts: dict[Path, str]) -> run.Run:
        parameters, *metrics = (dict(flat(yaml.safe_load(texts.get(path, "{}")))) for path in (PARAMS, *figures))
        return run.Run(parameters, dict(ChainMap(*metrics)), read_queries(texts.get(QUERY_NEIGHBORS, "")))

    before, now = read_files(paths, revision), {path: path.read_text(encoding="utf-8") for path in paths}
    return run.changes_section(revision, describe(before), describe(now), open_album(read_manifest(MANIFEST)))


def git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode and check:
        raise UserError(f"git {arguments[0]} fails: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


if __name__ == "__main__":
    run_command(main)
