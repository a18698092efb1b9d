import pytest

from serve import parse_arguments


@pytest.mark.parametrize(
    ("option", "values", "message"),
    [
        ("--root-path", ["similar", "/a b", "/a?b", "//evil.example", "/a/../b/%2e"], "a path such as /images"),
        ("--allow-host", ["*example.org", "images.*"], "a name, *.NAME for all"),
        ("--max-connections", ["0", "0.5"], "a whole number above 0"),
        ("--max-upload-mb", ["-1", "nan", "much"], "a number above 0 and below"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_what_is_needed(
    option: str, values: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        with pytest.raises(SystemExit, match="2"):
            parse_arguments([f"{option}={value}"])
        assert f"error: argument {option}: {message}" in capsys.readouterr().err


def test_a_token_that_protects_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in ("", "short", "with a space in it all", "schlüsselschlüssel"):
        monkeypatch.setenv("SIMILARITY_TOKEN", token)
        with pytest.raises(SystemExit, match="2"):
            parse_arguments([])
        assert "--token: at least 16 letters, digits or signs without spaces" in capsys.readouterr().err


def test_prefixes_lose_a_slash_at_their_end_and_host_names_add_up() -> None:
    for given, prefix in (("", ""), ("/", ""), ("/a/", "/a"), ("/a/b-c.d", "/a/b-c.d")):
        assert parse_arguments([f"--root-path={given}"]).root_path == prefix
    assert parse_arguments(["--allow-host=a", "--allow-host", "*.b"]).allow_host == ["a", "*.b"]
