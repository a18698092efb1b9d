"""What protects the service: bounds on uploads, and headers that keep browsers from doing more than the page needs."""

from asyncio import TimeoutError, wait_for  # noqa: A004  # Python 3.10 has one of its own

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS_BETWEEN_PARTS = 20  # of an upload
_FORM_OVERHEAD = 16_384  # bytes of a form beside its file
_BUSY = JSONResponse({"detail": "Too many uploads at once; try again in a second."}, 503, {"retry-after": "1"})
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class SecurityHeaders:
    """Adds the headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class UploadLimits:
    """Refuses a body that is too large with 413, and one for which there is no room now with 503 and Retry-After.

    Room is counted in bytes, from the first byte of an upload to its answer, so that memory stays bounded however many
    clients there are.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_total_bytes: int, max_uploads: int) -> None:
        self.app = app
        self.max_bytes = max_bytes + _FORM_OVERHEAD
        self.max_total_bytes = max(max_total_bytes, self.max_bytes)
        self.max_uploads = max_uploads
        self.uploads = 0
        self.total_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        length = Headers(scope=scope).get("content-length", "")
        size = int(length) if length.isdecimal() else self.max_bytes
        if size > self.max_bytes:
            return await self._refuse_size()(scope, receive, send)
        if self.uploads >= self.max_uploads or self.total_bytes + size > self.max_total_bytes:
            return await _BUSY(scope, receive, send)
        self.uploads += 1
        self.total_bytes += size
        try:
            await self.app(scope, self._counted(receive), send)
        finally:
            self.uploads -= 1
            self.total_bytes -= size
        return None

    def _refuse_size(self) -> JSONResponse:
        return JSONResponse({"detail": self._message()}, 413, {"connection": "close"})

    def _message(self) -> str:
        return f"The upload is too large: at most {(self.max_bytes - _FORM_OVERHEAD) / 1e6:g} MB are allowed."

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            try:
                message = await wait_for(receive(), _SECONDS_BETWEEN_PARTS)
            except TimeoutError as error:
                raise HTTPException(408, "The upload stalled.", {"connection": "close"}) from error
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise HTTPException(413, self._message(), {"connection": "close"})
            return message

        return receive_counted
