"""Serve the search page and the REST API: `python src/serve.py`, then open http://127.0.0.1:8000."""

from pipeline.stage import run_command

from service.options import parse_arguments


def main() -> None:
    arguments = parse_arguments()
    from service.server import serve  # it loads a second of libraries, which --help does not need

    serve(arguments)


if __name__ == "__main__":
    del __file__  # otherwise decoder processes would import this program again
    run_command(main)
