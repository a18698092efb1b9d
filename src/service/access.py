"""Who may ask: pages of the service itself, and programs and people that know its token."""

import hmac
from collections.abc import Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "similarity"
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = JSONResponse({"detail": "The page of another site asks for this; only the service's own page may."}, 403)
_NO_TOKEN = JSONResponse(
    {"detail": "This service answers only those who know its token: send `Authorization: Bearer <token>`."},
    401,
    {"www-authenticate": "Bearer"},
)


class KnownHosts:
    """Refuses requests that name another host than the service's: a foreign page's name could be pointed here."""

    def __init__(self, app: ASGIApp, names: Sequence[str], any_address: bool) -> None:
        """Takes the names of the service's hosts.

        Args:
            app: what is asked after it.
            names: of the hosts; ``*.example.org`` is all below that one, ``*`` any.
            any_address: whether IP addresses will do as well, which are nobody's to point.
        """
        self.app = app
        self.names = [name.lower() for name in names]
        self.any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = _host_name(Headers(scope=scope).get("host", "")) if scope["type"] == "http" else None
        if name is None or self._is_known(name):
            return await self.app(scope, receive, send)
        detail = f"This service does not answer to the name {name[:100]!r}: its --allow-host option has to say it."
        return await JSONResponse({"detail": detail}, 400)(scope, receive, send)

    def _is_known(self, name: str) -> bool:
        return any(fnmatchcase(name, each) for each in self.names) or (self.any_address and _is_address(name))


def _host_name(host: str) -> str:
    """The name in a `Host` header, without its port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class BelowPrefix:
    """Lets all of the service be below a prefix of a proxy, whether the proxy takes it away or leaves it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"] == self.prefix:  # from where relative addresses would lead elsewhere
            return await RedirectResponse(f"{self.prefix}/")(scope, receive, send)
        is_left = scope["path"].startswith(f"{self.prefix}/")
        path = scope["path"] if is_left else self.prefix + scope["path"]
        return await self.app({**scope, "path": path, "root_path": self.prefix}, receive, send)


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
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        is_open = scope["type"] != "http" or not path.startswith("/api/") or self._is_known(scope)
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
