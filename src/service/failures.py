"""How calls fail: with a status, a code for programs, and a sentence for people."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

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
    Exception: (500, "internal", "Something went wrong on the server; see its output."),
}


class Failure(BaseModel):
    """Why there is no answer."""

    code: Annotated[str, Field(description="For programs: it stays the same.", examples=["unknown_name"])]
    detail: Annotated[str, Field(examples=["no image 'jug/x.jpg' is indexed; near it are: jug/jug_0042.jpg"])]


class Refusal(HTTPException):
    """A request that is refused; the code stays the same where the sentence changes."""

    def __init__(self, status: int, code: str, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)
        self.code = code


def answer(error: Exception) -> JSONResponse:
    """Make the response to an error."""
    if isinstance(error, RequestValidationError):
        status, code, detail = 422, "invalid", "; ".join(map(_problem, error.errors()))
    elif isinstance(error, HTTPException):
        status, detail = error.status_code, error.detail
        code = error.code if isinstance(error, Refusal) else _CODES.get(status, "refused")
    else:
        status, code, sentence = next(_KINDS[kind] for kind in _KINDS if isinstance(error, kind))
        detail = sentence.format(error)
    return JSONResponse({"code": code, "detail": detail}, status, getattr(error, "headers", None))


def _problem(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"][1:])
    is_unknown = error["type"] == "extra_forbidden"
    message = "there is no such parameter" if is_unknown else error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
