from similarity.data.parallel import ordered_map


def test_ordered_map_keeps_the_order_and_does_not_run_far_ahead() -> None:
    taken = 0

    def items():  # type: ignore[no-untyped-def]  # a generator that counts
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield i

    results = ordered_map(lambda i: i * i, items(), ahead=8)
    assert [next(results) for _ in range(10)] == [i * i for i in range(10)]
    assert taken <= 20
