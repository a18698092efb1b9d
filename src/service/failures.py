"""How calls fail: with a status, a code for programs, and a sentence for people."""

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.schema import Failure
from similarity.data.images.formats import TooManyPixelsError, UnreadableImageError
from similarity.engine.gallery import UnknownNameError
from similarity.engine.stores import LookUnavailableError
from similarity.errors import UserError

_CODES = {400: "bad_body", 404: "not_found", 405: "method_not_allowed"}  # of what the framework refuses itself
_KINDS: dict[type[Exception], tuple[int, str, str]] = {  # subclasses first
    TooManyPixelsError: (413, "too_many_pixels", "The image is too large: {}."),
    UnreadableImageError: (415, "not_an_image", "This cannot be read as an image: {}."),
    UnknownNameError: (404, "unknown_name", "{}"),
    LookUnavailableError: (422, "no_look", "{}"),
    UserError: (422, "invalid", "{}"),
}


class Refusal(HTTPException):
    """A request that is refused; the code stays the same where the sentence changes."""

    def __init__(self, status: int, code: str, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)
        self.code = code


def failure_of(error: Exception) -> tuple[int, Failure]:
    """Choose the status and the answer for an error."""
    if isinstance(error, RequestValidationError):
        return 422, Failure(code="invalid", detail="; ".join(map(_problem, error.errors())))
    if isinstance(error, HTTPException):
        code = error.code if isinstance(error, Refusal) else _CODES.get(error.status_code, "refused")
        return error.status_code, Failure(code=code, detail=error.detail)
    for kind, (status, code, sentence) in _KINDS.items():
        if isinstance(error, kind):
            return status, Failure(code=code, detail=sentence.format(error))
    return 500, Failure(code="internal", detail="Something went wrong on the server; see its output.")


def answer(error: Exception) -> JSONResponse:
    """Make the response to an error."""
    status, failure = failure_of(error)
    return JSONResponse(failure.model_dump(), status, getattr(error, "headers", None))


def _problem(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"][1:])
    is_unknown = error["type"] == "extra_forbidden"
    message = "there is no such parameter" if is_unknown else error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
