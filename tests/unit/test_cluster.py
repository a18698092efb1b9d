"""Work for a cluster that cannot be reached."""

import socket

import pytest

from similarity.data.cluster import cluster_map, is_cluster_named
from similarity.errors import UserError


def test_a_cluster_that_is_not_there_and_what_is_no_address_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        for address in (f"127.0.0.1:{unused.getsockname()[1]}", "head:gcs"):
            monkeypatch.setenv("RAY_ADDRESS", address)
            assert is_cluster_named()
            with pytest.raises(UserError, match=f"^RAY_ADDRESS={address}: no cluster can be reached there: "):
                list(cluster_map(str, [1, 2], 1))
