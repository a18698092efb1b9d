import pytest

from service.options import parse_arguments


@pytest.mark.parametrize("prefix", ["similar", "/a b", "/a?b", "//evil.example", "/a/../b/%2e"])
def test_a_prefix_that_is_none_is_refused(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_arguments([f"--root-path={prefix}"])
    assert f"error: --root-path: {prefix}: a path such as /images is needed" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "prefix"), [("", ""), ("/", ""), ("/a/", "/a"), ("/a/b-c.d", "/a/b-c.d")])
def test_a_prefix_is_taken_without_a_slash_at_its_end(given: str, prefix: str) -> None:
    assert parse_arguments([f"--root-path={given}"]).root_path == prefix


def test_host_names_add_up() -> None:
    assert parse_arguments([]).allow_host == []
    assert parse_arguments(["--allow-host=a", "--allow-host", "*.b"]).allow_host == ["a", "*.b"]
