import threading
import time

from similarity.parallel import Room, ordered_map


def test_threads_never_take_more_room_than_there_is_and_all_get_it() -> None:
    room, lock, taken, highest = Room(100), threading.Lock(), [0], [0]

    def work(wanted: int) -> None:
        with room.taken(wanted):
            with lock:
                taken[0] += min(wanted, 100)
                highest[0] = max(highest[0], taken[0])
            time.sleep(0.002)
            with lock:
                taken[0] -= min(wanted, 100)

    threads = [threading.Thread(target=work, args=(wanted,)) for wanted in (60, 50, 1000, 10, 90, 30, 100, 0) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert 60 <= highest[0] <= 100


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
