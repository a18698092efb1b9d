"""Work on all nodes of a Ray cluster instead of in threads of this machine: the same results, in the same order.

Where something is computed does not change a byte of it, so the cluster is named by the environment, not by a
parameter. Every node needs the same versions of everything, and the same files at the same paths.
"""

import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from similarity.errors import UserError
from similarity.held_stderr import held_stderr

ADDRESS = "RAY_ADDRESS"
"""Of the environment: the address of the cluster, or ``local`` for one that is started on this machine."""

_TOKEN = "RAY_AUTH_TOKEN_PATH"  # noqa: S105  # the name of a variable
_CONNECT_SECONDS = 5
_MOST_BLOCKS = 10_000  # more only make the scheduling slow

Item = TypeVar("Item")
Result = TypeVar("Result")


def is_cluster_named() -> bool:
    """Whether the environment names a cluster to work on."""
    return bool(os.environ.get(ADDRESS))


def cluster_map(function: Callable[[Item], Result], items: Sequence[Item], block: int) -> Iterator[Result]:
    """Applies a function to items on a cluster, one at a time on each of its cores, and yields in the items' order.

    What a node that dies was working on is done again by another one.

    Args:
        function: and what it holds, such as a model that it loads when it is first called, is sent to every core once.
        items: what to apply it to.
        block: items that are sent at a time, at the least.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached; or the function raised one, or an
            `OSError`, and the message names the node.
    """
    if not items:
        return
    block = max(block, -(-len(items) // _MOST_BLOCKS))
    starts = range(0, len(items), block)
    blocks = [{"start": start, "items": pickle.dumps(list(items[start : start + block]))} for start in starts]
    done = 0
    with _kept_token(os.environ[ADDRESS]), _connected() as ray:
        cores = int(ray.cluster_resources()["CPU"])
        computed = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map_batches(
            _Worker,
            fn_constructor_args=(str(Path.cwd()), pickle.dumps(function)),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cores, initial_size=cores),
            num_cpus=1,
        )
        for row in computed.iter_rows():
            if row["start"] != done:
                raise UserError(f"the cluster gave item {row['start']} where {done} was expected: run this again")
            results = pickle.loads(row["results"])
            if isinstance(results, UserError):
                raise results
            done += len(results)
            yield from results
    if done != len(items):
        raise UserError(f"the cluster gave {done} of {len(items)} results: run this again")


class _Worker:
    """What runs on a core of the cluster, for one block after the other."""

    def __init__(self, folder: str, function: bytes) -> None:
        os.chdir(folder)
        self._function = pickle.loads(function)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        (items,) = batch["items"]
        results = np.empty(1, object)
        results[0] = pickle.dumps(self._apply(pickle.loads(items)))
        return {"start": batch["start"], "results": results}

    def _apply(self, items: list[Any]) -> list[Any] | UserError:
        try:
            return [self._function(item) for item in items]
        except (UserError, OSError) as error:  # returned, as Ray would put its own traceback around it
            return UserError(f"on node {_node()}: {error}")


def _check_address(address: str) -> None:
    """Makes sure that something listens there; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:  # local, or auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(f"{ADDRESS}={address}: no cluster can be reached there: {error}") from error


def _node() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


@contextmanager
def _kept_token(address: str) -> Iterator[None]:
    """Has the token of a cluster on this machine kept for as long as it runs, not in the home folder for ever."""
    if address != "local" or _TOKEN in os.environ:
        yield
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "token")
        path.touch(0o600)
        path.write_text(token_hex(32), encoding="ascii")
        os.environ[_TOKEN] = str(path)
        try:
            yield
        finally:
            del os.environ[_TOKEN]


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected to the cluster that the environment names, and quiet."""
    address, sources = os.environ[ADDRESS], str(Path(__file__).parents[1])
    _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the rest is not for who uses this
    try:
        import ray.data
    except ModuleNotFoundError as error:
        raise UserError(f"{ADDRESS} is set, but Ray is not installed: pip install 'ray[data]>=2.50,<3'") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        with held_stderr():  # on which it tells the level of its log
            ray.init(
                address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {"PYTHONPATH": sources}},
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"{ADDRESS}={address}: this cluster cannot be reached: {error}") from error
    try:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.max_errored_blocks = 0  # else what fails is left out without a word
        context.enable_progress_bars = False
        yield ray
    finally:
        ray.shutdown()
