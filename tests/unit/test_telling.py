"""How commands tell what they do: numbers with nouns, and progress."""

from pipeline.stage import counted, track

import io
import sys

import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [(1, "class", "1 class"), (0, "class", "0 classes"), (2, "image", "2 images"), (1200, "image", "1,200 images")],
)
def test_numbers_agree_with_their_nouns(number: int, noun: str, told: str) -> None:
    assert counted(number, noun) == told


@pytest.mark.parametrize(("count", "is_shown"), [(1, False), (2, True)])
def test_progress_of_a_single_step_is_not_shown(count: int, is_shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.stage._UNNOTICED", 0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(track(range(count), "map: place", unit=" blocks")) == list(range(count))
    assert ("map: place" in terminal.getvalue()) == is_shown


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    assert list(track(iter("ab"), "scan", 2)) == ["a", "b"]
    assert pipe.getvalue() == ""
