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
from collections.abc import Mapping
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
from similarity.reporting.album import Album
from similarity.reporting.markup import PLACE_OF_RUN, flat, paragraph, section, table

LOCK, PARAMS = Path("dvc.lock"), Path("params.yaml")
MOST_QUERIES = 8


def main() -> None:
    parser = argparse.ArgumentParser(prog="show_report.py", description="Show the report of the run in the workspace.")
    parser.add_argument("revision", nargs="?", help="what to compare with; by default the last commit that differs")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: %(default)s)")
    arguments = parser.parse_args()
    DvcLock(Path()).check(REPORT)
    is_committed = not git("status", "--porcelain", "--", str(LOCK))
    commits = git("log", "--format=%h", "-2", "--", str(LOCK)).split()[is_committed:]
    content = section("run", "This run", table(("", ""), facts(is_committed).items()))
    if revision := arguments.revision or next(iter(commits), None):
        paths = [PARAMS, *sorted(METRICS.glob("*.json")), QUERY_NEIGHBORS]
        now = {path: path.read_text(encoding="utf-8") for path in paths}
        changed = changes(read_files(paths, revision), now, open_album(read_manifest(MANIFEST)))
        content += section("changes", f"Changed since {revision}", changed)
    with replaced_file(arguments.out) as path:
        path.write_text(REPORT.read_text(encoding="utf-8").replace(PLACE_OF_RUN, content), encoding="utf-8")
    print(f"{arguments.out}: the report of this run{f', and what changed since {revision}' if revision else ''}")
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


def changes(before: Mapping[Path, str], now: Mapping[Path, str], album: Album) -> str:
    """Show which parameters and metrics changed, and the test images with the most other results, by files' texts."""
    rows = []
    for path in now.keys() - {QUERY_NEIGHBORS}:
        then, values = (dict(flat(yaml.safe_load(texts.get(path, "{}")))) for texts in (before, now))
        rows += [(key, f"{then.get(key, '')}", f"{value}") for key, value in values.items() if then.get(key) != value]
    earlier = {query.key: query for query in read_queries(before.get(QUERY_NEIGHBORS, ""))}
    queries = [query for query in read_queries(now[QUERY_NEIGHBORS]) if query.key in earlier]
    kept = [len(dict(earlier[query.key].neighbors).keys() & dict(query.neighbors)) for query in queries]
    moved = sorted((count, query) for count, query in zip(kept, queries, strict=True) if count < len(query.neighbors))
    parts = [
        table(("parameter or metric", "before", "now"), sorted(rows)),
        paragraph(f"{len(moved):,} of {len(queries):,} test images have other nearest images; the most changed ones:"),
    ]
    for count, query in moved[:MOST_QUERIES]:
        parts.append(paragraph(f"{count} of {len(query.neighbors)} nearest are the same; before, then now:"))
        parts += [album.show(earlier[query.key]), album.show(query)]
    return "".join(parts)


def git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode and check:
        raise UserError(f"git {arguments[0]} fails: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


if __name__ == "__main__":
    run_command(main)
