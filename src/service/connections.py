"""The connections of the service: fewer than there are file handles, and none that waits for its client for ever."""

import asyncio
from asyncio import TimerHandle
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from similarity.errors import UserError

_RESERVED_HANDLES = 100  # for what is open beside connections, and for those that are just being accepted or closed
_HANDLES_PER_CONNECTION = 2  # its own, and that of the file that it is given
_ENOUGH_HANDLES = 65_536
_MAX_HEAD = 65_536  # bytes of a request before its body
_TOO_MANY = (503, "Service Unavailable", "Too many connections at once; try again in a second.")
_TOO_LONG = (431, "Request Header Fields Too Large", "The head of the request is too long.")


class Connections:
    """All open connections. When there are too many, the one that has waited longest for its client makes room.

    Attributes:
        client_seconds: how long a client may take to send the head of a request, or to take what it is sent.
    """

    def __init__(self, most: int, client_seconds: float) -> None:
        self.client_seconds = client_seconds
        self._most = most
        self._open: dict[Connection, None] = {}  # in the order of what last happened on them

    def admit(self, connection: "Connection") -> None:
        """Takes a new connection in, or answers it with 503 if none of the others waits for its client."""
        if len(self._open) >= self._most:
            longest = next((each for each in self._open if each.waits_for_client), None)
            if longest is None:
                return connection.refuse(*_TOO_MANY)
            self.forget(longest)
            longest.transport.abort()
        self._open[connection] = None
        return None

    def note(self, connection: "Connection") -> None:
        """Notes that something has happened on a connection."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def forget(self, connection: "Connection") -> None:
        """Does not count a connection any more."""
        self._open.pop(connection, None)


class Connection(HttpToolsProtocol):
    """HTTP on one connection, as uvicorn speaks it, with bounds on what a client may do between and around requests."""

    def __init__(self, connections: Connections, **of_server: Any) -> None:
        super().__init__(**of_server)
        self._connections = connections
        self._unparsed = 0  # bytes since a head, or a part of a body, was complete
        self._head_timer: TimerHandle | None = None
        self._send_timer: TimerHandle | None = None

    @property
    def waits_for_client(self) -> bool:
        """Whether it is the client's turn: to send a request, or the rest of one, or to take its answer."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body or self.flow.write_paused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._head_timer = self._abort_later()
        self._connections.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.forget(self)
        for timer in (self._head_timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > _MAX_HEAD and not self.transport.is_closing():
            self.refuse(*_TOO_LONG)

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._connections.note(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.cycle.response_complete:  # that is already the next request, which came before the answer
            return
        self._connections.note(self)
        self._head_timer = self._abort_later()
        if self.cycle.more_body:
            self.transport.close()  # rather than read what nobody wants

    def pause_writing(self) -> None:
        self._send_timer = self._abort_later()
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
        super().resume_writing()

    def refuse(self, status: int, phrase: str, detail: str) -> None:
        """Answers without a request, and closes."""
        body = f'{{"detail":"{detail}"}}'
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}retry-after: 1\r\nconnection: close\r\n\r\n{body}".encode())
        self.transport.close()

    def _abort_later(self) -> TimerHandle:
        return self.loop.call_later(self._connections.client_seconds, self.transport.abort)


def limited_connections(most: int, client_seconds: float) -> type[asyncio.Protocol]:
    """What to give to uvicorn as its HTTP.

    Args:
        most: how many connections there may be, if there are file handles for as many.
        client_seconds: how long a client may take to send the head of a request, or to take what it is sent.

    Raises:
        UserError: the process may have too few file handles for any.
    """
    handles = raise_handle_limit()
    most = min(most, (handles - _RESERVED_HANDLES) // _HANDLES_PER_CONNECTION)
    if most < 1:
        raise UserError(f"only {handles} files may be open at once: allow more with `ulimit -n 1024`")
    connections = Connections(most, client_seconds)

    def connect(**of_server: Any) -> Connection:
        return Connection(connections, **of_server)

    return cast("type[asyncio.Protocol]", connect)  # it is only called


def raise_handle_limit() -> int:
    """Lets the process have as many file handles as the system allows it, and gives their number."""
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit

    soft, hard = getrlimit(RLIMIT_NOFILE)
    wanted = _ENOUGH_HANDLES if hard == RLIM_INFINITY else min(hard, _ENOUGH_HANDLES)
    if soft < wanted:
        setrlimit(RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
