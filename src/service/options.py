"""The service's command line."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

VARIABLE = "SIMILARITY_TOKEN"


def _matching(pattern: str, needed: str, convert: Callable[[str], object] = str) -> Callable[[str], object]:
    """Return a function that checks an option's text and converts it; `needed` says what is wrong with `{}`."""

    def check(text: str) -> object:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise argparse.ArgumentTypeError(needed.format(text))
        return convert(text)

    return check


_TOKEN = _matching(
    r"[!-~]{16,}",
    f"at least 16 letters, digits or signs without spaces are needed, here or in {VARIABLE}; "
    "`openssl rand -hex 16` makes one",
)
_PREFIX = _matching(r"(/[\w.~-]+)*/?", "{}: a path such as /images is needed", lambda text: text.rstrip("/"))
_HOST = _matching(r"\*|(\*\.)?[^*]+", "{}: a name, *.NAME for all names below it, or * for any is needed")
_ORIGIN = _matching(r"https?://[^/*\s]+", "{}: a site such as https://lab.example.org is needed, without a path")
_POSITIVE = _matching(r"(?![0.]*$)\d{1,6}(\.\d+)?", "{}: a number above 0 and below a million is needed", float)
_WHOLE = _matching(r"[1-9]\d{0,5}", "{}: a whole number above 0 is needed", int)
_LIMITS = {
    "max-upload-mb": (_POSITIVE, 20, "largest upload, of one image or several together, in 10⁶ bytes"),
    "max-megapixels": (_POSITIVE, 50, "largest uploaded image, in 10⁶ pixels"),
    "upload-room-mb": (_POSITIVE, 256, "room for all uploads together, in 10⁶ bytes; others are answered with 503"),
    "upload-seconds": (_POSITIVE, 120, "in which an upload must have arrived"),
    "max-download-mb": (_POSITIVE, 500, "largest download of several images, in 10⁶ bytes"),
    "max-connections": (_WHOLE, 400, "open connections; more are answered with 503"),
    "idle-seconds": (_WHOLE, 10, "after which a connection without a request is closed"),
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
    add("--compare", metavar="REVISION",
        help="also serve the results of a commit or an experiment, of the same images, to compare them")  # fmt: skip
    add("--allow-host", action="append", type=_HOST, default=[], metavar="NAME",
        help="another host name to answer to, such as that of a proxy; may be repeated, *.example.org is all names "
        "below that one")  # fmt: skip
    add("--allow-origin", action="append", type=_ORIGIN, default=[], metavar="URL",
        help="a site whose pages may use the API, such as https://lab.example.org; may be repeated")  # fmt: skip
    add("--root-path", type=_PREFIX, default="", metavar="/PREFIX",
        help="prefix of all paths, if a proxy serves this below one (default: none)")  # fmt: skip
    add("--token", type=_TOKEN, default=os.environ.get(VARIABLE),
        help=f"required to use the API; better set {VARIABLE}, which other users cannot see (default: none, the API "
        "is open to everybody who reaches it)")  # fmt: skip
    add("--index", choices=("lancedb",),
        help="search what publish.py wrote to SIMILARITY_URI, without loading embeddings and indexes")  # fmt: skip
    limits = parser.add_argument_group("limits")
    for name, (kind, default, meaning) in _LIMITS.items():
        limits.add_argument(f"--{name}", type=kind, default=default, help=f"{meaning} (default: {default})")
    return parser.parse_args(arguments)
