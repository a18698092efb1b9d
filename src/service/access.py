"""What protects the service: who may call it, and how much at once; and how calls fail.

A failure has a status, a code for programs, and a sentence for people.
"""

import hmac
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from time import monotonic
from typing import Annotated, Any

from anyio import fail_after
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from similarity.data.images.decoding import TooManyPixelsError, UnreadableImageError
from similarity.engine.gallery import UnknownNameError
from similarity.engine.stores import LookUnavailableError
from similarity.errors import UserError

COOKIE = "similarity"
API = "/api/v1"
_PROTECTED = ("/api/", "/metrics")
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
    "referrer-policy": "same-origin",  # with none, a form of our own page would have no origin
    "x-content-type-options": "nosniff",
}
"""Sent with every response: browsers do no more with it than the page needs."""
LOCAL_HOSTS = ["127.0.0.1", "localhost", "::1"]
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_OVERHEAD = 65_536  # bytes of a form besides its files
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


def own_hosts(host: str) -> list[str]:
    """List the names and addresses that this machine may be called by in `Host` if the service listens on `host`."""
    hosts = [*LOCAL_HOSTS]
    if host not in LOCAL_HOSTS:
        hosts += [host, name := socket.gethostname()]
        with suppress(OSError):  # a machine may not know its own address
            hosts += {str(address[0]) for *_, address in socket.getaddrinfo(name, None)}
    return [f"[{each}]" if ":" in each else each for each in hosts]


def cookie_value(token: str) -> str:
    """Return the value of the page's cookie, which opens the API without revealing the token."""
    return hmac.new(token.encode(), b"the page's cookie", sha256).hexdigest()


class AccessControl:
    """Refuse what other sites' pages send and API requests without the token, before any of the body is read.

    Browsers name the site of the page in `Origin`; for our own page its host equals `Host`. After an error the
    connection is closed, instead of reading the rest of a body that nobody wants. HEAD is answered like GET, which
    FastAPI does not; the server leaves the body out. A path without a version means the present one.
    """

    def __init__(self, app: ASGIApp, token: str | None, origins: Sequence[str]) -> None:
        """Protect an app; without a token, the API is open to all, and pages of some origins may ask as our own."""
        self.app, self.token, self.origins = app, token, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        headers, app, root = Headers(scope=scope), self.app, scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        if path.startswith("/api/") and not path.startswith(f"{API}/"):
            path = f"{API}/{path.removeprefix('/api/')}"
        origin, host = headers.get("origin"), headers.get("host", "").lower()
        is_own = origin is None or origin in self.origins or origin.partition("://")[2].lower() == host
        if not is_own and scope["method"] not in _HARMLESS:
            message = "The page of another site asks for this, and --allow-origin does not name it."
            app = answer(Refusal(403, "foreign_page", message))
        elif self.token and path.startswith(_PROTECTED) and not _has_token(headers, self.token):
            message = "This service answers only those who know its token: send `Authorization: Bearer <token>`."
            app = answer(Refusal(401, "no_token", message, {"www-authenticate": "Bearer"}))
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await app({**scope, "method": method, "path": root + path}, receive, send_closing)


def _has_token(headers: Headers, token: str) -> bool:
    cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
    pairs = (headers.get("authorization", ""), f"Bearer {token}"), (cookie, cookie_value(token))
    return any(hmac.compare_digest(given.encode(), known.encode()) for given, known in pairs)  # timing reveals nothing


class UploadLimits:
    """Refuse a body that is too large with 413, one that is too slow with 408, and one without room with 503.

    Room is counted in bytes received and not yet answered: memory stays bounded whatever the number of clients, and
    nobody takes room by merely announcing a large upload.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, room_bytes: int, seconds: float) -> None:
        """Set the size of an upload, that of all that are in memory, of which one fits, and the time for one."""
        self.app, self.max_bytes, self.seconds = app, max_bytes + _FORM_OVERHEAD, seconds
        self.room = max(room_bytes, self.max_bytes)
        self.too_large = f"The upload is too large: at most {max_bytes / 1e6:g} MB are allowed."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and int(Headers(scope=scope).get("content-length", "0")) > self.max_bytes:
            return await answer(Refusal(413, "too_many_bytes", self.too_large))(scope, receive, send)
        received, is_complete, deadline = 0, False, monotonic() + self.seconds

        async def receive_within_limits() -> Message:
            nonlocal received, is_complete
            if is_complete:  # what comes next is the end of the connection
                return await receive()
            try:
                with fail_after(deadline - monotonic()):
                    message = await receive()
            except TimeoutError as error:
                raise Refusal(408, "too_slow", f"The upload is too slow: {self.seconds:g} s are allowed.") from error
            size = len(message.get("body", b""))
            received += size
            self.room -= size
            if received > self.max_bytes:
                raise Refusal(413, "too_many_bytes", self.too_large)
            if self.room < 0:
                raise Refusal(503, "busy", "Too many uploads at once; try again in a second.", {"retry-after": "1"})
            is_complete = not message.get("more_body", False)
            return message

        try:
            await self.app(scope, receive_within_limits, send)
        finally:
            self.room += received
        return None
