"""Show the report with what is true of this run only: `python src/show_report.py`, or with a revision to compare with.

The name, commit, date and duration of a run differ between runs with equal results, so they are not in the report that
the stage writes, which has the same bytes for the same results. They are added here, to a copy.
"""

from pipeline.stage import SECONDS, run_command

import argparse
import json
import subprocess
import sys
import webbrowser
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from similarity.errors import UserError
from similarity.layout import MANIFEST, METRICS, QUERY_NEIGHBORS, REPORT

if TYPE_CHECKING:
    from similarity.reporting.album import Query

LOCK, PARAMS = Path("dvc.lock"), Path("params.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(prog="show_report.py", description="Show the report of the run in the workspace.")
    parser.add_argument("revision", nargs="?", help="what to compare with; by default the last commit that differs")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: %(default)s)")
    arguments = parser.parse_args()
    from pipeline.dvc_files import read_files

    from report import open_album
    from similarity.data.dataset.manifest import read_manifest
    from similarity.data.files import replaced_file
    from similarity.engine.dvc_lock import DvcLock
    from similarity.reporting.page import PLACE_OF_RUN, render

    DvcLock(Path()).check(REPORT)
    is_committed = not git("status", "--porcelain", "--", str(LOCK))
    commits = git("log", "--format=%h", "-2", "--", str(LOCK)).split()[is_committed:]
    revision = arguments.revision or next(iter(commits), "")
    content = {"facts": facts(is_committed), "revision": revision}
    if revision:
        paths = [PARAMS, *sorted(METRICS.glob("*.json")), QUERY_NEIGHBORS]
        before, now = read_files(paths, revision), {path: path.read_text(encoding="utf-8") for path in paths}
        content |= {"changes": changes(before, now), "album": open_album(read_manifest(MANIFEST))}
        content["moved"] = moved(before.get(QUERY_NEIGHBORS, ""), now[QUERY_NEIGHBORS])
    report = REPORT.read_text(encoding="utf-8").replace(PLACE_OF_RUN, render("run.html", **content))
    with replaced_file(arguments.out) as path:
        path.write_text(report, encoding="utf-8")
    print(f"{arguments.out}: the report of this run{f', and what changed since {revision}' if revision else ''}")
    if sys.stdout.isatty():
        webbrowser.open(arguments.out.absolute().as_uri())


def facts(is_committed: bool) -> dict[str, str]:
    """Find out what identifies the run in the workspace."""
    digest = git("hash-object", str(LOCK))
    refs = [ref for ref in git("for-each-ref", "refs/exps", "--format=%(refname)").split() if "/exec/" not in ref]
    experiments = [ref for ref in refs if git("rev-parse", f"{ref}:{LOCK}", check=False) == digest]
    date = datetime.fromtimestamp(LOCK.stat().st_mtime).astimezone().isoformat(" ", "minutes")
    seconds = json.loads(SECONDS.read_bytes()) if SECONDS.exists() else {}
    return {
        "name": experiments[0].rpartition("/")[2] if experiments else git("rev-parse", "--abbrev-ref", "HEAD"),
        "commit": git("log", "-1", "--format=%h %s") + ("" if is_committed else ", with changes not committed"),
        "date": git("log", "-1", "--format=%ci", "--", str(LOCK)) if is_committed else date,
        "duration": f"{sum(seconds.values()):.0f} s, all stages together when they last ran in this folder",
    }


def changes(before: Mapping[Path, str], now: Mapping[Path, str]) -> list[tuple[str, str, str]]:
    """List the parameters and metrics that changed, with both values, by the texts of their files."""
    import yaml

    from similarity.reporting.page import flat

    rows = []
    for path in now.keys() - {QUERY_NEIGHBORS}:
        then, values = (dict(flat(yaml.safe_load(texts.get(path, "{}")))) for texts in (before, now))
        rows += [(key, f"{then.get(key, '')}", f"{value}") for key, value in values.items() if then.get(key) != value]
    return sorted(rows)


def moved(before: str, now: str) -> "list[tuple[int, Query, Query]]":
    """List the test images with other results, the most changed first: how many are the same, before, now."""
    from similarity.reporting.album import read_queries

    earlier, found = {query.key: query for query in read_queries(before)}, []
    for query in (each for each in read_queries(now) if each.key in earlier):
        kept = len(dict(earlier[query.key].neighbors).keys() & dict(query.neighbors))
        if kept < len(query.neighbors):
            found.append((kept, earlier[query.key], query))
    return sorted(found, key=lambda each: (each[0], each[2].key))


def git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode and check:
        raise UserError(f"git {arguments[0]} fails: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


if __name__ == "__main__":
    run_command(main)
