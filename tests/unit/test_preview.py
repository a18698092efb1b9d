"""What `query.py` writes for terminals that show pictures."""

import sys
from base64 import b64decode

import pytest

import query

PICTURE = bytes(range(256)) * 20


def test_kitty_gets_a_picture_in_parts_and_others_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    query.show_preview(PICTURE, "kitty")
    first, second, end = capsys.readouterr().out.split("\033\\")
    assert first[: first.index(";")] == "\033_Ga=T,f=100,m=1"
    assert second[: second.index(";")] == "\033_Gm=0"
    assert b64decode(first.partition(";")[2] + second.partition(";")[2]) == PICTURE
    assert end == "\n"
    query.show_preview(PICTURE, "iterm2")
    head, _, content = capsys.readouterr().out.partition(":")
    assert head == f"\033]1337;File=inline=1;size={len(PICTURE)}"
    assert content.endswith("\a\n")
    assert b64decode(content[:-2]) == PICTURE


@pytest.mark.parametrize(
    ("variables", "is_terminal", "protocol"),
    [
        ({"KITTY_WINDOW_ID": "1"}, True, "kitty"),
        ({"TERM_PROGRAM": "WezTerm"}, True, "iterm2"),
        ({"TERM_PROGRAM": "iTerm.app"}, True, "iterm2"),
        ({"TERM_PROGRAM": "Apple_Terminal"}, True, None),
        ({"KITTY_WINDOW_ID": "1", "TERM_PROGRAM": "WezTerm"}, False, None),
    ],
)
def test_a_terminal_says_what_it_shows(
    variables: dict[str, str], is_terminal: bool, protocol: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KITTY_WINDOW_ID", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    assert query.preview_protocol() == protocol
