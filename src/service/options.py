"""What the service can be told on its command line."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from service.limits import UploadRules

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


def _positive_whole(text: str) -> int:
    if _positive(text) % 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number is needed")
    return int(_positive(text))


_LIMITS: dict[str, tuple[Callable[[str], float], float, str]] = {
    "max-upload-mb": (_positive, 20, "largest upload, of one image or several together, in 10⁶ bytes"),
    "max-megapixels": (_positive, 50, "largest uploaded image, in 10⁶ pixels"),
    "upload-room-mb": (_positive, 256, "room for all uploads together, in 10⁶ bytes; others are answered with 503"),
    "upload-seconds": (_positive, 120, "in which an upload must have arrived"),
    "max-download-mb": (_positive, 500, "largest download of several images, in 10⁶ bytes"),
    "max-connections": (_positive_whole, 400, "open connections; more are answered with 503"),
    "idle-seconds": (_positive_whole, 10, "after which a connection without a request is closed"),
}


class _Parser(argparse.ArgumentParser):
    """One whose errors are a line, and not all options before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message.removeprefix('argument ')} (all options: python src/{self.prog} --help)\n")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads arguments, or those of the command line, and the token from the environment if it is not there."""
    parser = _Parser(prog="serve.py", description="Serves the search page and the REST API.")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 for all network interfaces (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="port to listen on; 0 for any that is free (default: 8000)"
    )
    parser.add_argument(
        "--beside",
        metavar="REVISION",
        help="a commit or an experiment whose results, of the same images, are served as well, to compare them",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        type=_host,
        default=[],
        metavar="NAME",
        help="host name that it answers to beside this machine's own, such as that of a proxy; may be given again, "
        "*.example.org is all names below that one",
    )
    parser.add_argument(
        "--root-path",
        type=_prefix,
        default="",
        metavar="/PREFIX",
        help="what all paths begin with where a proxy has the service below a prefix (default: none)",
    )
    parser.add_argument(
        "--token",
        type=_token,
        default=os.environ.get(VARIABLE),
        help=f"what the API is to be asked with; better set {VARIABLE}, which other users cannot see "
        "(default: none, the API is open to all who reach it)",
    )
    parser.add_argument(
        "--index",
        choices=("lancedb",),
        help="search what publish.py has written to SIMILARITY_URI, instead of loading embeddings and indexes",
    )
    limits = parser.add_argument_group("limits")
    for name, (kind, default, meaning) in _LIMITS.items():
        limits.add_argument(f"--{name}", type=kind, default=default, help=f"{meaning} (default: {default})")
    return parser.parse_args(arguments)


def upload_rules(arguments: argparse.Namespace) -> UploadRules:
    """The rules that the arguments set."""
    return UploadRules(
        max_bytes=int(arguments.max_upload_mb * 1e6),
        max_total_bytes=int(arguments.upload_room_mb * 1e6),
        seconds=arguments.upload_seconds,
    )
