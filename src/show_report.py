"""Show the report with what is true of this run only: `python src/show_report.py`, or with a revision to compare with.

The name, commit, date and duration of a run differ between runs with equal results, so they are not in the report that
the stage writes, which has the same bytes for the same results. They are added here, to a copy.
"""

from pipeline.stage import SECONDS, run_command

import argparse
import json
import subprocess
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from similarity.layout import MANIFEST, QUERY_NEIGHBORS, REPORT

if TYPE_CHECKING:
    from similarity.reporting.page import Query

LOCK = Path("dvc.lock")


def main() -> None:
    parser = argparse.ArgumentParser(prog="show_report.py", description="Show the report of the run in the workspace.")
    parser.add_argument("revision", nargs="?", help="what to compare with; by default the last commit that differs")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: %(default)s)")
    arguments = parser.parse_args()
    from pipeline.dvc_files import read_file

    from report import open_pictures
    from similarity.data.dataset.manifest import read_manifest
    from similarity.data.files import replaced_file
    from similarity.engine.dvc_lock import DvcLock
    from similarity.reporting.page import PLACE_OF_RUN, render

    DvcLock(Path()).check(REPORT)
    is_committed = not git("status", "--porcelain", "--", str(LOCK))
    commits = git("log", "--format=%h", "-2", "--", str(LOCK)).split()[is_committed:]
    revision = arguments.revision or next(iter(commits), "")
    content: dict[str, object] = {"facts": facts(is_committed), "revision": revision}
    if revision:
        content["moved"] = moved(read_file(QUERY_NEIGHBORS, revision), read_file(QUERY_NEIGHBORS, "workspace"))
        before, now = figures(revision), figures(None)
        content["changes"] = [(name, before.get(name, ""), now[name]) for name in now if before.get(name) != now[name]]
        content |= open_pictures(read_manifest(MANIFEST))
    report = REPORT.read_text(encoding="utf-8").replace(PLACE_OF_RUN, render("run.html", **content))
    with replaced_file(arguments.out) as path:
        path.write_text(report, encoding="utf-8")
    print(f"{arguments.out}: the report of this run{f', and what changed since {revision}' if revision else ''}")


def facts(is_committed: bool) -> dict[str, str]:
    """Find out what identifies the run in the workspace."""
    digest = git("hash-object", str(LOCK))
    refs = [ref for ref in git("for-each-ref", "refs/exps", "--format=%(refname)").split() if "/exec/" not in ref]
    experiments = [ref for ref in refs if git("rev-parse", f"{ref}:{LOCK}") == digest]
    date = datetime.fromtimestamp(LOCK.stat().st_mtime).astimezone().isoformat(" ", "minutes")
    seconds = json.loads(SECONDS.read_bytes()) if SECONDS.exists() else {}
    return {
        "name": experiments[0].rpartition("/")[2] if experiments else git("rev-parse", "--abbrev-ref", "HEAD"),
        "commit": git("log", "-1", "--format=%h %s") + ("" if is_committed else ", with changes not committed"),
        "date": git("log", "-1", "--format=%ci", "--", str(LOCK)) if is_committed else date,
        "duration": f"{sum(seconds.values()):.0f} s, all stages together when they last ran in this folder",
    }


def figures(revision: str | None) -> dict[str, object]:
    """Read the parameters and metrics of a revision, or of the workspace, by their names with dots."""
    from dvc import api

    from similarity.reporting.page import flat

    return dict(sorted(flat(api.params_show(rev=revision) | api.metrics_show(rev=revision))))


def moved(before: str, now: str) -> "list[tuple[int, Query, Query]]":
    """List the test images with other results, the most changed first: how many are the same, before, now."""
    from similarity.reporting.page import read_queries

    earlier, found = {query.key: query for query in read_queries(before)}, []
    for query in (each for each in read_queries(now) if each.key in earlier):
        kept = len(dict(earlier[query.key].neighbors).keys() & dict(query.neighbors))
        if kept < len(query.neighbors):
            found.append((kept, earlier[query.key], query))
    return sorted(found, key=lambda each: (each[0], each[2].key))


def git(*arguments: str) -> str:
    """Return what a command of Git prints, nothing if it fails."""
    return subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False).stdout.strip()


if __name__ == "__main__":
    run_command(main)
