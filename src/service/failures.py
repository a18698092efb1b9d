"""What is answered to what cannot be done: a status and a sentence."""

from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from service.image_files import ImageFileError
from service.reloading import ReloadError
from service.schema import Failure
from similarity.images.decoding import TooManyPixelsError, UnreadableImageError
from similarity.index.searcher import LookUnavailableError, UnknownNameError


class Reply(NamedTuple):
    """The status and the sentence."""

    status: int
    detail: str


_EXPECTED = (
    TooManyPixelsError,
    UnreadableImageError,
    ImageFileError,
    ReloadError,
    UnknownNameError,
    LookUnavailableError,
    RequestValidationError,
)


def reply_to(error: Exception) -> Reply:
    """What to answer to an error."""
    match error:
        case TooManyPixelsError():
            return Reply(413, f"The image is too large: {error}.")
        case UnreadableImageError():
            return Reply(415, f"This cannot be read as an image: {error}.")
        case ImageFileError():
            return Reply(error.status, str(error))
        case ReloadError():
            return Reply(409, str(error))
        case UnknownNameError():
            return Reply(404, str(error))
        case LookUnavailableError():
            return Reply(422, str(error))
        case RequestValidationError():
            return Reply(422, "; ".join(map(_problem, error.errors())))
        case _:
            return Reply(500, "Something went wrong on the server; see its output.")


def _problem(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"][1:])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such parameter"
    return f"{place}: {message}" if place else message


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a call may fail, for the OpenAPI document."""
    return {status: {"model": Failure} for status in statuses}


def answer_failures(app: FastAPI) -> None:
    """Has all errors answered."""
    for kind in (*_EXPECTED, Exception):
        app.add_exception_handler(kind, _answer)


async def _answer(_: Request, error: Exception) -> JSONResponse:
    reply = reply_to(error)
    return JSONResponse({"detail": reply.detail}, reply.status)
