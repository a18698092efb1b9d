"""The service's command line."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

VARIABLE = "SIMILARITY_TOKEN"
_MIN_LENGTH = 16  # of a token


def _token(text: str) -> str:
    if len(text) < _MIN_LENGTH or not (text.isascii() and text.isprintable() and " " not in text):
        raise argparse.ArgumentTypeError(
            f"at least {_MIN_LENGTH} letters, digits or signs without spaces are needed, here or in {VARIABLE}; "
            "`openssl rand -hex 16` makes one"
        )
    return text


def _prefix(text: str) -> str:
    prefix = text.rstrip("/")
    if prefix and not re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text}: a path such as /images is needed")
    return prefix


def _host(text: str) -> str:
    if not re.fullmatch(r"\*|(\*\.)?[^*]+", text):
        raise argparse.ArgumentTypeError(f"{text}: a name, *.NAME for all names below it, or * for any is needed")
    return text


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text}: a number above 0 and below a million is needed")
    return number


def _whole(text: str) -> int:
    if _positive(text) % 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number is needed")
    return int(_positive(text))


_LIMITS: dict[str, tuple[Callable[[str], float], float, str]] = {
    "max-upload-mb": (_positive, 20, "largest upload, of one image or several together, in 10⁶ bytes"),
    "max-megapixels": (_positive, 50, "largest uploaded image, in 10⁶ pixels"),
    "upload-room-mb": (_positive, 256, "room for all uploads together, in 10⁶ bytes; others are answered with 503"),
    "upload-seconds": (_positive, 120, "in which an upload must have arrived"),
    "max-download-mb": (_positive, 500, "largest download of several images, in 10⁶ bytes"),
    "max-connections": (_whole, 400, "open connections; more are answered with 503"),
    "idle-seconds": (_whole, 10, "after which a connection without a request is closed"),
}


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, without all options before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message.removeprefix('argument ')} (all options: python src/{self.prog} --help)\n")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse arguments, by default those of the command line; the token may also be in the environment."""
    parser = _Parser(prog="serve.py", description="Serve the search page and the REST API.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is all networks (default: 127.0.0.1)")
    add("--port", type=int, default=8000, help="port to listen on; 0 for any free one (default: 8000)")
    add("--compare", "--beside", dest="beside", metavar="REVISION",
        help="also serve the results of a commit or an experiment, of the same images, to compare them")  # fmt: skip
    add("--allow-host", action="append", type=_host, default=[], metavar="NAME",
        help="another host name to answer to, such as that of a proxy; may be repeated, *.example.org is all names "
        "below that one")  # fmt: skip
    add("--root-path", type=_prefix, default="", metavar="/PREFIX",
        help="prefix of all paths, if a proxy serves this below one (default: none)")  # fmt: skip
    add("--token", type=_token, default=os.environ.get(VARIABLE),
        help=f"required to use the API; better set {VARIABLE}, which other users cannot see (default: none, the API "
        "is open to everybody who reaches it)")  # fmt: skip
    add("--index", choices=("lancedb",),
        help="search what publish.py wrote to SIMILARITY_URI, without loading embeddings and indexes")  # fmt: skip
    limits = parser.add_argument_group("limits")
    for name, (kind, default, meaning) in _LIMITS.items():
        limits.add_argument(f"--{name}", type=kind, default=default, help=f"{meaning} (default: {default})")
    return parser.parse_args(arguments)
