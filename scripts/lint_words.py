"""Refuse habits of wording that are hard to read, in pages, docstrings, comments and messages.

python scripts/lint_words.py [FILE …]
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BANNED = {
    r"\b(tells?|told|telling)\b": "print, show, say or distinguish",
    r"\banew\b": "again",
    r"\bby now\b": "already, or nothing",
    r"\ball the same\b": "anyway, or nothing",
    r"\bbeside\b": "next to, or compared with",
    r"\b(is|are|was|were) of (another|other|the same)\b": "is from another, belongs to the same",
    r"\b(is|are|was|were|be) (searched|asked|measured|looked|compared) (with|for|by)(?=[.,;:]|$)": "name what it is",
    r"(?-i:(^|[.!?] )Of) (more|a|an|all|several|these|those|the)\b": "begin with the subject",
    r"\bwhoever\b": "anyone who, or name who it is",
    r"\bof no account\b": "does not count",
}
PATTERNS = {re.compile(pattern, re.IGNORECASE | re.MULTILINE): advice for pattern, advice in BANNED.items()}
PAGES = {".md", ".cff", ".html"}


def prose_in(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the text of each piece of prose in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in PAGES:
        fenced = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
        yield from enumerate(re.sub(r"`[^`\n]*`", "``", fenced).splitlines(), 1)
    elif path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.removeprefix("#").strip()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                for offset, line in enumerate(node.value.splitlines()):
                    yield node.lineno + offset, re.sub(r"`[^`]*`", "``", line).strip()
    else:  # comments of YAML, Makefiles and scripts
        for number, line in enumerate(text.splitlines(), 1):
            yield number, line.partition("# ")[2]


def complaints(path: Path) -> Iterator[str]:
    """Yield a line for each habit found in a file."""
    for number, text in prose_in(path):
        for pattern, advice in PATTERNS.items():
            if found := pattern.search(text):
                yield f"{path}:{number}: {found[0]!r}: better: {advice}"


def main(names: list[str]) -> int:
    """Check files, by default all that git tracks: the exit status."""
    kinds = ["*.md", "*.py", "*.html", "*.cff", "dvc.yaml", "params.yaml", "Makefile", "data/sources/*.yaml"]
    names = names or subprocess.check_output(["git", "ls-files", *kinds], cwd=ROOT, encoding="utf-8").splitlines()
    checked = [name for name in names if not name.startswith(("scripts/lint_words.py", "benchmarks/results/"))]
    found = [line for name in checked for line in complaints(ROOT / name)]
    print("\n".join(line.removeprefix(f"{ROOT}/") for line in found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
