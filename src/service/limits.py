"""What protects the service: bounds on uploads, and headers that keep browsers from doing more than the page needs."""

from asyncio import TimeoutError, wait_for  # noqa: A004  # Python 3.10 has one of its own
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FORM_OVERHEAD = 65_536  # bytes of a form beside its files
_BUSY = "Too many uploads at once; try again in a second."
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
    "referrer-policy": "same-origin",  # with none, a form of the own page would have no origin
    "x-content-type-options": "nosniff",
}


class SecurityHeaders:
    """Adds the headers to every response, and closes the connection after an error, on what is left of the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if message["status"] >= HTTPStatus.BAD_REQUEST:
                    headers["connection"] = "close"
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class UploadRules(NamedTuple):
    """What uploads must keep to.

    Attributes:
        max_bytes: of one.
        max_total_bytes: of all that are in memory; at least one has room.
        max_waiting: how many may wait for their answer.
        seconds: in which one must have arrived.
        bytes_per_second: that must have arrived on average, at any time after the first `grace_seconds`.
        grace_seconds: before that.
    """

    max_bytes: int
    max_total_bytes: int
    max_waiting: int
    seconds: float
    bytes_per_second: float
    grace_seconds: float


class UploadLimits:
    """Refuses a body that is too large with 413, one that is too slow with 408, and one without room with 503.

    Room is counted in bytes that have been received and not yet been answered, so that memory stays bounded however
    many clients there are, and that none takes room by what it announces.
    """

    def __init__(self, app: ASGIApp, rules: UploadRules) -> None:
        self.app = app
        self.rules = rules
        self.total_bytes = 0
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.rules.max_bytes + _FORM_OVERHEAD:
            return await JSONResponse({"detail": self.too_large()}, 413)(scope, receive, send)
        upload = _Upload(self, receive)
        try:
            await self.app(scope, upload.receive, send)
        finally:
            upload.leave()
        return None

    def too_large(self) -> str:
        """What to answer to an upload that is too large."""
        return f"The upload is too large: at most {self.rules.max_bytes / 1e6:g} MB are allowed."


class _Upload:
    """One upload: how much of it has arrived, and whether all."""

    def __init__(self, limits: UploadLimits, receive: Receive) -> None:
        self._limits = limits
        self._receive = receive
        self._start = monotonic()
        self._bytes = 0
        self._is_complete = False

    async def receive(self) -> Message:
        """Receives the next part.

        Raises:
            HTTPException: the upload breaks a rule, or there is no room for it.
        """
        if self._is_complete:
            return await self._receive()
        message = await self._next_part()
        self._count(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self._is_complete = True
            self._limits.waiting += 1
        return message

    async def _next_part(self) -> Message:
        rules = self._limits.rules
        allowed = min(rules.seconds, rules.grace_seconds + self._bytes / rules.bytes_per_second)
        try:
            return await wait_for(self._receive(), self._start + allowed - monotonic())
        except TimeoutError as error:
            rate = f"{rules.bytes_per_second / 1000:g} kB per second"
            message = f"The upload is too slow: {rate} are needed, and {rules.seconds:g} s are allowed in all."
            raise HTTPException(408, message) from error

    def _count(self, size: int) -> None:
        limits, rules = self._limits, self._limits.rules
        self._bytes += size
        limits.total_bytes += size
        if self._bytes > rules.max_bytes + _FORM_OVERHEAD:
            raise HTTPException(413, limits.too_large())
        room = max(rules.max_total_bytes, rules.max_bytes + _FORM_OVERHEAD)
        if limits.total_bytes > room or limits.waiting >= rules.max_waiting:
            raise HTTPException(503, _BUSY, {"retry-after": "1"})

    def leave(self) -> None:
        """Gives the room back."""
        self._limits.total_bytes -= self._bytes
        self._limits.waiting -= self._is_complete
