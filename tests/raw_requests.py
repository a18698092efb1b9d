"""Requests as bytes on sockets, for what no client library would send."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import httpx


def connect(service: str) -> socket.socket:
    address = urlsplit(service)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=20)


def head(service: str, start: str, *lines: str) -> bytes:
    """The head of a request to a service."""
    return "".join(f"{line}\r\n" for line in (start, f"Host: {urlsplit(service).netloc}", *lines, "")).encode()


def upload_head(service: str, length: int) -> bytes:
    lines = "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {length}"
    return head(service, "POST /api/search HTTP/1.1", *lines)


UPLOAD_START = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, at once or after a reset."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def until(request: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """Repeats a request until it gives a status: the server may not have noticed yet what happened before."""
    for _ in range(100):
        response = request()
        if response.status_code == status:
            return response
        time.sleep(0.05)
    raise AssertionError(f"{response.status_code} instead of {status}: {response.text}")
