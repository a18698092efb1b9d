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
    r"\ball the same\b(?! (if|unless|without|for))": "anyway, or nothing",
    r"(?<![#.\w-])beside\b(?!-)": "next to, or compared with",
    r"\b(is|are|was|were) of (another|other|the same)\b": "is from another, belongs to the same",
    r"\bwhat (is|are|was|were) (searched|asked|measured|looked|compared) (with|for|by)\b": "name what it is",
    r"(?-i:(^|[.!?] )Of) (more|a|an|all|several|these|those|the)\b": "begin with the subject",
    r"\bwhoever\b": "anyone who, or name who it is",
    r"\bof no account\b": "does not count",
}
PATTERNS = {re.compile(pattern, re.IGNORECASE | re.MULTILINE): advice for pattern, advice in BANNED.items()}


def of_markup(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page without its code and, in HTML, without the names in it."""
    without = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
    without = re.sub(r'\b(id|class|for|name|href|value|data-[\w-]+)="[^"]*"', "", without)
    yield from enumerate(re.sub(r"`[^`\n]*`", "``", without).splitlines(), 1)


def of_python(text: str) -> Iterator[tuple[int, str]]:
    """Yield comments, and the lines of all strings of several words: docstrings and messages."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.removeprefix("#").strip()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, re.sub(r"`[^`]*`", "``", line).strip()


def of_javascript(text: str) -> Iterator[tuple[int, str]]:
    """Yield comments, and strings of several words."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in re.finditer(r"// (.*)|'([A-Z][^']* [^']*)'|`([A-Z][^`]* [^`]*)`", line):
            yield number, next(filter(None, found.groups()))


def of_comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of YAML and of the Makefile."""
    for number, line in enumerate(text.splitlines(), 1):
        yield number, line.partition("# ")[2]


PROSE = {".md": of_markup, ".html": of_markup, ".cff": of_markup, ".py": of_python, ".js": of_javascript}


def complaints(path: Path) -> Iterator[str]:
    """Yield a line for each habit found in a file."""
    read = PROSE.get(path.suffix, of_comments)
    for number, text in read(path.read_text(encoding="utf-8")):
        for pattern, advice in PATTERNS.items():
            if found := pattern.search(text):
                yield f"{path}:{number}: {found[0]!r}: better: {advice}"


def main(names: list[str]) -> int:
    """Check files, by default all that git tracks: the exit status."""
    kinds = [
        "*.md",
        "*.py",
        "*.html",
        "src/*.js",
        "*.cff",
        "dvc.yaml",
        "params.yaml",
        "Makefile",
        "data/sources/*.yaml",
    ]
    names = names or subprocess.check_output(["git", "ls-files", *kinds], cwd=ROOT, encoding="utf-8").splitlines()
    unchecked = ("scripts/lint_words.py", "tests/unit/test_docs.py", "benchmarks/results/")
    checked = [name for name in names if not name.startswith(unchecked)]
    found = [line for name in checked for line in complaints(ROOT / name)]
    print("\n".join(line.removeprefix(f"{ROOT}/") for line in found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
