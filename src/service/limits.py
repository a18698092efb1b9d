"""Limits on uploads: size, time, and how many are in memory at once."""

from asyncio import TimeoutError, wait_for  # noqa: A004  # Python 3.10 has one of its own
from time import monotonic
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FORM_OVERHEAD = 65_536  # bytes of a form besides its files


class UploadRules(NamedTuple):
    """What uploads must comply with.

    Attributes:
        max_bytes: of one.
        max_total_bytes: of all that are in memory; at least one fits.
        seconds: in which one must have arrived.
    """

    max_bytes: int
    max_total_bytes: int
    seconds: float

    def check_size(self, size: int) -> None:
        """Raise HTTPException (413) if an upload, in bytes, is too large."""
        if size > self.max_bytes + _FORM_OVERHEAD:
            raise HTTPException(413, f"The upload is too large: at most {self.max_bytes / 1e6:g} MB are allowed.")


class UploadLimits:
    """Refuse a body that is too large with 413, one that is too slow with 408, and one without room with 503.

    Room is counted in bytes received and not yet answered: memory stays bounded whatever the number of clients, and
    nobody takes room by merely announcing a large upload.
    """

    def __init__(self, app: ASGIApp, rules: UploadRules) -> None:
        self.app = app
        self.rules = rules
        self.room = max(rules.max_total_bytes, rules.max_bytes + _FORM_OVERHEAD)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        length = Headers(scope=scope).get("content-length", "")
        try:
            self.rules.check_size(int(length) if length.isdecimal() else 0)
        except HTTPException as error:
            return await JSONResponse({"detail": error.detail}, error.status_code)(scope, receive, send)
        deadline = monotonic() + self.rules.seconds
        received, is_complete = 0, False

        async def receive_within_limits() -> Message:
            nonlocal received, is_complete
            if is_complete:  # what comes next is the end of the connection
                return await receive()
            try:
                message = await wait_for(receive(), deadline - monotonic())
            except TimeoutError as error:
                raise HTTPException(408, f"The upload is too slow: {self.rules.seconds:g} s are allowed.") from error
            size = len(message.get("body", b""))
            received += size
            self.room -= size
            self.rules.check_size(received)
            if self.room < 0:
                raise HTTPException(503, "Too many uploads at once; try again in a second.", {"retry-after": "1"})
            is_complete = not message.get("more_body", False)
            return message

        try:
            await self.app(scope, receive_within_limits, send)
        finally:
            self.room += received
        return None
