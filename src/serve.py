"""Serve the search page and the REST API: `python src/serve.py`, then open http://127.0.0.1:8000."""

from pipeline.stage import run_command

import argparse
import os
import re
from collections.abc import Callable, Sequence

VARIABLE = "SIMILARITY_TOKEN"


def main() -> None:
    arguments = parse_arguments()
    from service.server import serve  # it loads a second of libraries, which --help does not need

    serve(arguments)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse arguments, by default those of the command line; the token may also be in the environment."""
    positive = _matching(r"(?![0.]*$)\d{1,6}(\.\d+)?", "a number above 0 and below a million is needed", float)
    whole = _matching(r"[1-9]\d{0,5}", "a whole number above 0 is needed", int)
    prefix = _matching(r"(/[\w.~-]+)*/?", "a path such as /images is needed", lambda text: text.rstrip("/"))
    host = _matching(r"\*|(\*\.)?[^*]+", "a name, *.NAME for all names below it, or * for any is needed")
    origin = _matching(r"https?://[^/*\s]+", "a site such as https://lab.example.org is needed, without a path")
    token = _matching(
        r"[!-~]{16,}",
        f"at least 16 letters, digits or signs without spaces are needed, here or in {VARIABLE}; "
        "`openssl rand -hex 16` makes one",
    )
    parser = argparse.ArgumentParser("serve.py", "serve.py [options]", "Serve the search page and the REST API.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is all networks (default: 127.0.0.1)")
    add("--port", type=int, default=8000, help="port to listen on; 0 for any free one (default: 8000)")
    add("--compare", metavar="REVISION",
        help="also serve the results of a commit or an experiment, of the same images, to compare them")  # fmt: skip
    add("--allow-host", action="append", type=host, default=[], metavar="NAME",
        help="another host name to answer to, such as that of a proxy; may be repeated, *.example.org is all names "
        "below that one")  # fmt: skip
    add("--allow-origin", action="append", type=origin, default=[], metavar="URL",
        help="a site whose pages may use the API, such as https://lab.example.org; may be repeated")  # fmt: skip
    add("--root-path", type=prefix, default="", metavar="/PREFIX",
        help="prefix of all paths, if a proxy serves this below one (default: none)")  # fmt: skip
    add("--token", type=token, default=os.environ.get(VARIABLE),
        help=f"required to use the API; better set {VARIABLE}, which other users cannot see (default: none, the API "
        "is open to everybody who reaches it)")  # fmt: skip
    add("--index", choices=("lancedb",),
        help="search what publish.py wrote to SIMILARITY_URI, without loading embeddings and indexes")  # fmt: skip
    for name, kind, default, meaning in (
        ("--max-upload-mb", positive, 20, "largest upload, of one image or several together, in 10⁶ bytes"),
        ("--max-megapixels", positive, 50, "largest uploaded image, in 10⁶ pixels"),
        ("--upload-room-mb", positive, 256, "room for all uploads, in 10⁶ bytes; others are answered with 503"),
        ("--upload-seconds", positive, 120, "in which an upload must have arrived"),
        ("--max-download-mb", positive, 500, "largest download of several images, in 10⁶ bytes"),
        ("--max-connections", whole, 400, "open connections; more are answered with 503"),
        ("--idle-seconds", whole, 10, "after which a connection without a request is closed"),
    ):
        add(name, type=kind, default=default, metavar="N", help=f"{meaning} (default: {default})")
    return parser.parse_args(arguments)


def _matching(pattern: str, needed: str, convert: Callable[[str], object] = str) -> Callable[[str], object]:
    """Return a function that checks an option's text and converts it; `needed` says what is wrong otherwise."""

    def check(text: str) -> object:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise argparse.ArgumentTypeError(needed)
        return convert(text)

    return check


if __name__ == "__main__":
    del __file__  # otherwise decoder processes would import this program again
    run_command(main)
