"""Who may call the API: the service's own pages, and programs and people that know its token."""

import hmac
import socket
from contextlib import suppress
from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "similarity"
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
_LOCAL_HOSTS = ["127.0.0.1", "localhost", "::1"]
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = JSONResponse({"detail": "The page of another site asks for this; only the service's own page may."}, 403)
_NO_TOKEN = JSONResponse(
    {"detail": "This service answers only those who know its token: send `Authorization: Bearer <token>`."},
    401,
    {"www-authenticate": "Bearer"},
)


def own_hosts(host: str) -> list[str]:
    """List the names and addresses that this machine may be called by in `Host`.

    Args:
        host: name or address of the interface that the service listens on.
    """
    hosts = [*_LOCAL_HOSTS]
    if host not in _LOCAL_HOSTS:
        hosts += [host, name := socket.gethostname()]
        with suppress(OSError):  # a machine may not know its own address
            hosts += {str(address[0]) for *_, address in socket.getaddrinfo(name, None)}
    return [f"[{each}]" if ":" in each else each for each in hosts]


class OwnPagesOnly:
    """Refuse whatever a page of another site makes a visitor's browser send here.

    Browsers name the site of the page in `Origin`; for our own page its host equals `Host`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_foreign = scope["type"] == "http" and scope["method"] not in _HARMLESS and _is_foreign(Headers(scope=scope))
        await (_FOREIGN if is_foreign else self.app)(scope, receive, send)


def _is_foreign(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()


class TokenRequired:
    """Refuse API requests without the token before any of the body is read."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.header = f"Bearer {token}"
        self.cookie = cookie_value(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        is_open = scope["type"] != "http" or not path.startswith("/api/") or self._is_known(Headers(scope=scope))
        await (self.app if is_open else _NO_TOKEN)(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return _are_equal(headers.get("authorization", ""), self.header) or _are_equal(cookie, self.cookie)


def cookie_value(token: str) -> str:
    """Return the value of the page's cookie, which opens the API without revealing the token."""
    return hmac.new(token.encode(), b"the page's cookie", sha256).hexdigest()


def _are_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())  # timing reveals nothing


class CloseAfterErrors:
    """Close the connection after an error instead of reading the rest of a body that nobody wants."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        await self.app(scope, receive, send_closing)


class HeadAsGet:
    """Answer HEAD like GET, which FastAPI does not; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if is_head else scope, receive, send)
