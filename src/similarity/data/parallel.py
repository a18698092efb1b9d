"""Work for all cores: threads of this machine, or the nodes of a Ray cluster, with the same results in the same order.

Results don't depend on where they are computed, so the cluster is named by the environment, not by a parameter. Every
node needs the same versions of everything, and the same files at the same paths.
"""

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from similarity.data.quiet import held_stderr
from similarity.errors import UserError

_ADDRESS = "RAY_ADDRESS"  # environment variable with the address, or ``local`` to start a cluster on this machine
_CONNECT_SECONDS = 5
_BLOCKS_AHEAD = 4  # for each core

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], ahead: int = 64) -> Iterator[Result]:
    """Apply a function that releases the interpreter lock in as many threads as there are cores; keep the order.

    Unlike `Executor.map` it works at most `ahead` items ahead of the results that are taken, so memory stays bounded.
    If no more of them are taken, as after a signal, nothing is waited for.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for future in _queued((pool.submit(function, item) for item in items), ahead):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _queued(tasks: Iterable[Item], ahead: int) -> Iterator[Item]:
    """Yield tasks, which an iteration starts, in their order, when `ahead` further ones are started or none is left."""
    started = deque[Item]()
    for task in tasks:
        started.append(task)
        if len(started) > ahead:
            yield started.popleft()
    yield from started


def is_cluster_named() -> bool:
    """Return whether the environment names a cluster to work on."""
    return bool(os.environ.get(_ADDRESS))


def cluster_map(function: Callable[[Item], Result], items: Sequence[Item], block: int) -> Iterator[Result]:
    """Apply a function to items on a cluster, sent in blocks, one on each core, and yield in the items' order.

    What a node that dies was working on is done again by another one. What the function caches stays in each process.

    Raises:
        UserError: the cluster cannot be used; or the function raised one, or an `OSError`; the message names the node.
    """
    blocks = [items[start : start + block] for start in range(0, len(items), block)]
    if not blocks:
        return
    ray, folder = _connect(os.environ[_ADDRESS]), str(Path.cwd())
    try:
        apply = ray.remote(num_cpus=1)(_apply)
        tasks = (apply.remote(function, folder, each) for each in blocks)
        for task in _queued(tasks, _BLOCKS_AHEAD * int(ray.cluster_resources()["CPU"])):
            results = ray.get(task)
            if isinstance(results, UserError):
                raise results
            yield from results
    except ray.exceptions.RayError as error:
        raise UserError(f"the cluster failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        ray.shutdown()


def _apply(function: Callable[[Any], Any], folder: str, items: Sequence[Any]) -> list[Any] | UserError:
    """Apply a function to items, on a node."""
    import ray

    os.chdir(folder)
    try:
        return [function(item) for item in items]
    except (UserError, OSError) as error:  # returned, as Ray would put its own traceback around it
        return UserError(f"on node {ray.util.get_node_ip_address()}: {error}")


def _connect(address: str) -> Any:
    """Connect quietly to a cluster, and return the package that works on it."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # there is no telemetry
    sources = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}}
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host:  # not local or auto; Ray itself tries for minutes
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        import ray

        with held_stderr():  # to which it writes the level of its log
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=sources)
    except ModuleNotFoundError as error:
        raise UserError(f"{_ADDRESS} is set, but Ray is not installed: run `make repro-ray`, which does so") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{_ADDRESS}={address}: no cluster can be used there: {error}") from error
    return ray
