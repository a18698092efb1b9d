import sys
from itertools import count

import pytest

from similarity.data.parallel import cluster_map, is_cluster_named, ordered_map
from similarity.errors import UserError


def test_ordered_map_keeps_the_order_and_does_not_run_far_ahead() -> None:
    numbers = count()
    results = ordered_map(lambda i: i * i, numbers, ahead=8)
    assert [next(results) for _ in range(10)] == [i * i for i in range(10)]
    assert next(numbers) <= 20


def test_a_cluster_that_is_not_there_and_what_is_no_address_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for address in ("127.0.0.1:9", "head:gcs"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert is_cluster_named()
        with pytest.raises(UserError, match=f"^RAY_ADDRESS={address}: no cluster can be used there: "):
            list(cluster_map(str, [1, 2], 1))
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(UserError, match="Ray is not installed: run `make repro-ray`"):
        list(cluster_map(str, [1, 2], 1))
