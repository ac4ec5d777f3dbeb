"""Working ahead: order, exceptions, and a clean stop."""

import threading

import pytest

from infimm_data.stream.prefetch import Prefetched


def test_items_come_in_order_and_then_it_ends():
    with Prefetched(iter(range(5)), 2) as ahead:
        assert list(ahead) == [0, 1, 2, 3, 4]
        assert list(ahead) == []


def test_an_exception_reaches_the_consumer_after_what_came_before_it():
    def broken():
        yield 1
        raise ValueError("damaged")

    with Prefetched(broken(), 4) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ValueError, match="damaged"):
            next(ahead)


def test_closing_stops_the_thread_even_while_it_waits_for_room():
    def endless():
        while True:
            yield 0

    before = threading.active_count()
    ahead = Prefetched(endless(), 1)
    assert next(ahead) == 0
    ahead.close()
    ahead.close()
    assert threading.active_count() == before
    assert list(ahead) == []


def test_at_most_depth_items_are_made_ahead():
    made = []

    def counted():
        for i in range(100):
            made.append(i)
            yield i

    with Prefetched(counted(), 3) as ahead:
        next(ahead)
        ahead._thread.join(timeout=0.3)
        assert len(made) <= 1 + 3 + 1  # taken, waiting in the queue, and the one that waits for room
