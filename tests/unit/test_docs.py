"""The pages: their links, the commands that they name, and how they are worded."""

import re
import runpy
import subprocess
from pathlib import Path

import pytest

from projects import ROOT

PAGES = [
    ROOT / name
    for name in subprocess.check_output(
        ["git", "ls-files", "*.md", ":!src", ":!benchmarks"], cwd=ROOT, encoding="utf-8"
    ).split()
]
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_commands_on_the_pages_exist() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    scripts = set(re.findall(r"\b(?:src|benchmarks|scripts|docs)/\w+\.py\b", text))
    assert len(scripts) > 15
    assert [script for script in sorted(scripts) if not (ROOT / script).exists()] == []
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert [target for target in sorted(targets) if f"\n{target}:" not in makefile] == []


def test_habits_that_are_hard_to_read_are_refused(tmp_path: Path) -> None:
    lint = runpy.run_path(str(ROOT / "scripts/lint_words.py"))
    page, code = tmp_path / "page.md", tmp_path / "code.py"
    for line, found in (("It is beside it.", 1), ("Of more, some are found.", 1), ("It is `tell` in code.", 0)):
        page.write_text(line, encoding="utf-8")
        code.write_text(f'"""{line}"""\n', encoding="utf-8")
        assert [lint["main"]([str(path)]) for path in (page, code)] == [found] * 2


def test_every_output_is_in_the_reference_of_files() -> None:
    page = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    outputs = re.findall(r"(?:data|models)/[\w.-]+", (ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert [path for path in sorted(set(outputs)) if f"`{path}" not in page] == []
