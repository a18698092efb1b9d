"""Show the report with what is true of this run only: `python src/show_report.py`, or with a revision to compare with.

The name, commit, date and duration of a run differ between runs with equal results, so they are not in the report that
the stage writes, which has the same bytes for the same results. They are added here, to a copy.
"""

from pipeline.stage import SECONDS, run_command

import argparse
import json
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from similarity.layout import MANIFEST, QUERY_NEIGHBORS, REPORT

if TYPE_CHECKING:
    from similarity.reporting.page import Query

LOCK = "dvc.lock"


def main() -> None:
    parser = argparse.ArgumentParser(prog="show_report.py", description="Show the report of the run in the workspace.")
    parser.add_argument("revision", nargs="?", help="what to compare with; by default the last commit that differs")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: %(default)s)")
    arguments = parser.parse_args()
    from similarity.data.files import replaced_file
    from similarity.engine.dvc_lock import DvcLock
    from similarity.reporting.page import PLACE_OF_RUN, render

    DvcLock(Path()).check(REPORT)
    is_committed = not git("status", "--porcelain", "--", LOCK)
    commits = git("log", "--format=%h", "-2", "--", LOCK).split()[is_committed:]
    revision = arguments.revision or next(iter(commits), "")
    content = {"facts": facts(is_committed), "revision": revision, **(changes(revision) if revision else {})}
    report = REPORT.read_text(encoding="utf-8").replace(PLACE_OF_RUN, render("run.html", **content))
    with replaced_file(arguments.out) as path:
        path.write_text(report, encoding="utf-8")
    print(f"{arguments.out}: the report of this run{f', and what changed since {revision}' if revision else ''}")


def facts(is_committed: bool) -> dict[str, str]:
    """Find out what identifies the run in the workspace."""
    digest = git("hash-object", LOCK)
    refs = [ref for ref in git("for-each-ref", "refs/exps", "--format=%(refname)").split() if "/exec/" not in ref]
    experiments = [ref for ref in refs if git("rev-parse", f"{ref}:{LOCK}") == digest]
    date = datetime.fromtimestamp(Path(LOCK).stat().st_mtime).astimezone().isoformat(" ", "minutes")
    seconds = json.loads(SECONDS.read_bytes()) if SECONDS.exists() else {}
    return {
        "name": experiments[0].rpartition("/")[2] if experiments else git("rev-parse", "--abbrev-ref", "HEAD"),
        "commit": git("log", "-1", "--format=%h %s") + ("" if is_committed else ", with changes not committed"),
        "date": git("log", "-1", "--format=%ci", "--", LOCK) if is_committed else date,
        "duration": f"{sum(seconds.values()):.0f} s, all stages together when they last ran in this folder",
    }


def changes(revision: str) -> dict[str, object]:
    """Find out which parameters, metrics and results differ from those of a revision, and open their pictures."""
    from pipeline.inputs import read_file

    from dvc import api

    from report import open_pictures, read_rows
    from similarity.data.dataset.manifest import read_manifest
    from similarity.reporting.page import collect_queries, flat

    revisions = (revision, None)  # the workspace
    tables = [read_rows(read_file(QUERY_NEIGHBORS, each or "workspace")) for each in revisions]
    before, now = (dict(flat(api.params_show(rev=each) | api.metrics_show(rev=each))) for each in revisions)
    return {
        "changes": [(name, before.get(name, ""), now[name]) for name in sorted(now) if before.get(name) != now[name]],
        "moved": moved(*(collect_queries(table, {}) for table in tables)),
        **open_pictures(read_manifest(MANIFEST)),
    }


def moved(before: "Sequence[Query]", now: "Sequence[Query]") -> "list[tuple[int, Query, Query]]":
    """List the test images with other results, the most changed first: how many are the same, before, now."""
    earlier, found = {query.key: query for query in before}, []
    for query in (each for each in now if each.key in earlier):
        kept = len(dict(earlier[query.key].neighbors).keys() & dict(query.neighbors))
        if kept < len(query.neighbors):
            found.append((kept, earlier[query.key], query))
    return sorted(found, key=lambda each: (each[0], each[2].key))


def git(*arguments: str) -> str:
    """Return what a command of Git prints, nothing if it fails."""
    return subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False).stdout.strip()


if __name__ == "__main__":
    run_command(main)
