"""Failures as the client sees them: a status and a sentence."""

from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from service.image_files import ImageFileError
from service.reloading import ReloadError
from service.schema import Failure
from similarity.engine.gallery import UnknownNameError
from similarity.engine.stores import LookUnavailableError
from similarity.images.decoding import TooManyPixelsError, UnreadableImageError


class Reply(NamedTuple):
    """The status and the sentence."""

    status: int
    detail: str


_REPLIES: dict[type[Exception], tuple[int, str]] = {  # subclasses first
    TooManyPixelsError: (413, "The image is too large: {}."),
    UnreadableImageError: (415, "This cannot be read as an image: {}."),
    ReloadError: (409, "{}"),
    UnknownNameError: (404, "{}"),
    LookUnavailableError: (422, "{}"),
    Exception: (500, "Something went wrong on the server; see its output."),
}


def reply_to(error: Exception) -> Reply:
    """Choose the answer to an error."""
    if isinstance(error, ImageFileError):
        return Reply(error.status, str(error))
    if isinstance(error, RequestValidationError):
        return Reply(422, "; ".join(map(_problem, error.errors())))
    status, sentence = next(reply for kind, reply in _REPLIES.items() if isinstance(error, kind))
    return Reply(status, sentence.format(error))


def _problem(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"][1:])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such parameter"
    return f"{place}: {message}" if place else message


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe how a call may fail, for the OpenAPI document."""
    return {status: {"model": Failure} for status in statuses}


def answer_failures(app: FastAPI) -> None:
    """Register a handler for each kind of error."""
    for kind in (ImageFileError, RequestValidationError, *_REPLIES):
        app.add_exception_handler(kind, _answer)


async def _answer(_: Request, error: Exception) -> JSONResponse:
    reply = reply_to(error)
    return JSONResponse({"detail": reply.detail}, reply.status)
