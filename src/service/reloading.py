"""The version that is served, and how a newer one takes its place."""

import asyncio
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Literal, NamedTuple

from anyio import to_thread

from service.catalog import Catalog
from similarity.index.searcher import UnknownNameError

_VERSION_SECONDS = 1


class ReloadError(Exception):
    """The newer version cannot be served; the message says why, and that the former is."""


class Beside(NamedTuple):
    """A second run to compare the first one with: the commit or experiment that it is of, and its catalog."""

    revision: str
    catalog: Catalog


class ServedCatalog:
    """The catalog that each request takes at its start, and that a reload exchanges.

    Attributes:
        current: the catalog.
        beside: another one, which stays.
    """

    def __init__(
        self,
        open_catalog: Callable[[], Catalog],
        read_version: Callable[[], bytes],
        beside: Beside | None = None,
    ) -> None:
        """Opens the catalog.

        Args:
            open_catalog: does it, and raises an error if it is not whole.
            read_version: reads the version of the files as they are now.
            beside: what else to serve.
        """
        self.beside = beside
        self._open = open_catalog
        self._read_version = read_version
        self._reloading = asyncio.Lock()
        self._version_now, self._version_at = b"", -math.inf
        self.current = open_catalog()

    async def is_out_of_date(self) -> bool:
        """Whether the files are of another version than what is served; they are looked at once a second at most."""
        if monotonic() - self._version_at > _VERSION_SECONDS:
            self._version_now, self._version_at = await to_thread.run_sync(self._read_version), monotonic()
        return self._version_now != self.current.version

    def of(self, run: Literal["beside"] | None) -> Catalog:
        """The catalog of a run.

        Raises:
            UnknownNameError: there is no second one.
        """
        if run is None:
            return self.current
        if self.beside is None:
            raise UnknownNameError(
                "there is no second run: start the service with --beside, and a commit or experiment"
            )
        return self.beside.catalog

    async def reload(self) -> None:
        """Opens the catalog anew beside the current one, and exchanges them when all is well.

        Raises:
            ReloadError: it cannot be opened.
        """
        async with self._reloading:
            try:
                self.current = await to_thread.run_sync(self._open)
                self._version_at = -math.inf
            except Exception as error:  # damaged files have their readers raise anything
                message = f"Not reloaded, the former version goes on being served: {_one_line(error)}"
                print(message, file=sys.stderr, flush=True)
                raise ReloadError(message) from error
            print(f"Reloaded: {len(self.current.searcher.vectors)} images", file=sys.stderr, flush=True)

    @asynccontextmanager
    async def reloading_on_signal(self, _: object) -> AsyncIterator[None]:
        """Reloads at each SIGHUP while the context lasts, or ends the process if its terminal is gone."""
        tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them only weakly
        had_terminal = _has_terminal()

        def on_signal() -> None:
            if had_terminal and not _has_terminal():
                signal.raise_signal(signal.SIGTERM)
                return
            task = asyncio.create_task(self._reload_quietly())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, on_signal)
        yield
        loop.remove_signal_handler(signal.SIGHUP)

    async def _reload_quietly(self) -> None:
        with suppress(ReloadError):
            await self.reload()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
