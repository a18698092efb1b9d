"""What `query.py` writes for terminals that show pictures."""

import sys
from base64 import b64decode

import pytest

import query

PICTURE = bytes(range(256)) * 20


def test_kitty_gets_a_picture_in_parts_and_others_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    query.show_preview(PICTURE, "kitty")
    first, second, end = capsys.readouterr().out.split("\033\\")
    heads, parts = zip(*(part.split(";") for part in (first, second)), strict=True)
    assert (*heads, end) == ("\033_Ga=T,f=100,m=1", "\033_Gm=0", "\n")
    assert b64decode("".join(parts)) == PICTURE
    query.show_preview(PICTURE, "iterm2")
    head, content = capsys.readouterr().out.split(":")
    assert head == f"\033]1337;File=inline=1;size={len(PICTURE)}"
    assert b64decode(content.removesuffix("\a\n")) == PICTURE


def test_a_terminal_says_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KITTY_WINDOW_ID", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for program, protocol in (("WezTerm", "iterm2"), ("iTerm.app", "iterm2"), ("Apple_Terminal", None)):
        monkeypatch.setenv("TERM_PROGRAM", program)
        assert query.preview_protocol() == protocol
    monkeypatch.setenv("KITTY_WINDOW_ID", "1")
    assert query.preview_protocol() == "kitty"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert query.preview_protocol() is None
