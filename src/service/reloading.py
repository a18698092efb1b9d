"""The version that is served, and how a newer one replaces it."""

import asyncio
import math
import sys
from collections.abc import Callable
from time import monotonic
from typing import Literal, NamedTuple

from anyio import to_thread

from service.catalog import Catalog
from service.failures import Refusal

_VERSION_SECONDS = 1


class Beside(NamedTuple):
    """A second run to compare with the first: its commit or experiment, and its catalog."""

    revision: str
    catalog: Catalog


class ServedCatalog:
    """The catalog that each request takes at its start and that a reload replaces; one to compare with stays."""

    def __init__(
        self, open_catalog: Callable[[], Catalog], read_version: Callable[[], str], beside: Beside | None = None
    ) -> None:
        """Open the catalog; `read_version` reads the version of the files as they are now."""
        self.beside = beside
        self._open, self._read_version = open_catalog, read_version
        self._reloading = asyncio.Lock()
        self._version_now, self._version_at = "", -math.inf
        self.current = open_catalog()

    async def is_out_of_date(self) -> bool:
        """Check whether the files belong to another version than the one served, at most once a second."""
        if monotonic() - self._version_at > _VERSION_SECONDS:
            self._version_now, self._version_at = await to_thread.run_sync(self._read_version), monotonic()
        return self._version_now != self.current.version

    def of(self, run: Literal["beside"] | None) -> Catalog:
        """Return the catalog of a run, or raise Refusal (404) if there is no second one."""
        if run is None:
            return self.current
        if self.beside is None:
            message = "there is no second run: start the service with --compare, and a commit or experiment"
            raise Refusal(404, "no_second_run", message)
        return self.beside.catalog

    async def reload(self) -> None:
        """Open the catalog again and serve it, or raise Refusal (409), which says why it cannot be opened."""
        async with self._reloading:
            try:
                self.current = await to_thread.run_sync(self._open)
                self._version_at = -math.inf
            except Exception as error:  # readers of damaged files may raise anything
                reason = " ".join(str(error).split()) or type(error).__name__
                message = f"Not reloaded, the former version goes on being served: {reason}"
                print(message, file=sys.stderr, flush=True)
                raise Refusal(409, "not_reloaded", message) from error
            print(f"Reloaded: {len(self.current.engine)} images", file=sys.stderr, flush=True)
