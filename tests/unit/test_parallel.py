import threading
import time

from similarity.parallel import Room


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
