"""Who may ask: pages of the service itself, and programs and people that know its token."""

import hmac
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "similarity"
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = JSONResponse({"detail": "The page of another site asks for this; only the service's own page may."}, 403)
_NO_TOKEN = JSONResponse(
    {"detail": "This service answers only those who know its token: send `Authorization: Bearer <token>`."},
    401,
    {"www-authenticate": "Bearer"},
)


class OwnPagesOnly:
    """Refuses what a page of another site has a visitor's browser send here.

    A browser tells by `Origin` whose page it is; that of the service's own has the host that the request is sent to.
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
    """Refuses requests to the API without the token, before anything of their body is read."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.header = f"Bearer {token}"
        self.cookie = cookie_value(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] != "http" or not scope["path"].startswith("/api/") or self._is_known(scope)
        await (self.app if is_open else _NO_TOKEN)(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return _are_equal(headers.get("authorization", ""), self.header) or _are_equal(cookie, self.cookie)


def cookie_value(token: str) -> str:
    """What the page's cookie holds: it lets the page in, and does not tell the token."""
    return hmac.new(token.encode(), b"the page's cookie", sha256).hexdigest()


def _are_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())  # in a time that does not tell how much is right


class HeadAsGet:
    """Answers HEAD as GET; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if is_head else scope, receive, send)
