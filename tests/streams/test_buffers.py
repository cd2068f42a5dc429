"""The two buffers: first their rules without threads, then the threads around them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.buffers import BlockingBuffer, Buffer, Closed, LatestBuffer, _Store

NOW = 0.0
SOON = 5.0

both = pytest.mark.parametrize(
    "new", [lambda: BlockingBuffer(3), LatestBuffer], ids=["wait", "newest"]
)


def waiting(limit: int) -> _Store[int]:
    return _Store(limit, newest_wins=False)


@given(st.lists(st.integers(0, 2), max_size=60))
def test_a_waiting_store_gives_out_everything_in_order(moves: list[int]) -> None:
    store, put, got = waiting(2), 0, []
    for move in moves:
        if move and not store.full:
            store.add(put)
            put += 1
        elif not move and store.ready:
            got.append(store.take())
    store.finish(None)
    while len(got) < put:
        got.append(store.take())
    assert got == [(item, 0) for item in range(put)]


@given(st.lists(st.integers(0, 2), max_size=60))
def test_a_newest_store_gives_the_newest_and_every_item_is_given_or_counted(
    moves: list[int],
) -> None:
    store: _Store[int] = _Store(1, newest_wins=True)
    put, got = 0, []
    for move in moves:
        if move:
            store.add(put)
            put += 1
        elif store.ready:
            got.append(store.take())
            assert got[-1][0] == put - 1
    if store.ready:
        got.append(store.take())
    assert sum(1 + dropped for _, dropped in got) == put
    assert [item for item, _ in got] == sorted(item for item, _ in got)


def test_a_newest_store_is_never_full() -> None:
    store: _Store[int] = _Store(1, newest_wins=True)
    store.add(1)
    assert not store.full


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BlockingBuffer(0)


def test_three_items_put_and_one_got_are_two_dropped() -> None:
    buffer: LatestBuffer[str] = LatestBuffer()
    for item in "abc":
        assert buffer.put(item)
    assert buffer.get(NOW) == ("c", 2)


def test_drops_are_counted_since_the_last_get_and_not_since_the_beginning() -> None:
    buffer: LatestBuffer[int] = LatestBuffer()
    buffer.put(0)
    buffer.put(1)
    assert buffer.get(NOW) == (1, 1)
    buffer.put(2)
    assert buffer.get(NOW) == (2, 0)


@both
def test_what_was_put_before_the_end_still_comes_and_then_the_end(
    new: Callable[[], Buffer[str]],
) -> None:
    buffer = new()
    buffer.put("last")
    buffer.finish()
    assert buffer.get(NOW) == ("last", 0)
    for _ in range(2):
        with pytest.raises(Closed):
            buffer.get(NOW)


@both
def test_the_error_comes_after_what_was_put_before_it(new: Callable[[], Buffer[str]]) -> None:
    buffer = new()
    buffer.put("last")
    buffer.finish(OSError("cable"))
    assert buffer.get(NOW)[0] == "last"
    with pytest.raises(OSError, match="cable"):
        buffer.get(NOW)


@both
def test_the_first_reason_to_finish_counts(new: Callable[[], Buffer[str]]) -> None:
    buffer = new()
    buffer.finish(OSError("cable"))
    buffer.finish()
    with pytest.raises(OSError, match="cable"):
        buffer.get(NOW)


@both
def test_putting_after_the_end_is_a_bug_of_ours(new: Callable[[], Buffer[str]]) -> None:
    buffer = new()
    buffer.finish()
    with pytest.raises(RuntimeError, match="after finish"):
        buffer.put("late")


@both
def test_a_taker_who_closed_gets_nothing_more_and_put_says_so(
    new: Callable[[], Buffer[str]],
) -> None:
    buffer = new()
    buffer.put("unwanted")
    buffer.close()
    assert not buffer.put("unwanted too")
    with pytest.raises(Closed):
        buffer.get(NOW)


@both
def test_an_error_after_the_taker_closed_troubles_nobody(new: Callable[[], Buffer[str]]) -> None:
    buffer = new()
    buffer.close()
    buffer.finish(OSError("cable"))
    with pytest.raises(Closed):
        buffer.get(NOW)


@both
def test_an_empty_buffer_times_out_and_stays_usable(new: Callable[[], Buffer[str]]) -> None:
    buffer = new()
    with pytest.raises(TimeoutError):
        buffer.get(NOW)
    buffer.put("then")
    assert buffer.get(NOW) == ("then", 0)


class Doing(threading.Thread):
    """Runs something in a thread and keeps what came of it."""

    def __init__(self, what: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._what = what
        self.result: object = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._what()
        except Closed:
            self.result = Closed

    def done(self, within_s: float = SOON) -> object:
        self.join(within_s)
        assert not self.is_alive()
        return self.result


def test_a_full_buffer_makes_the_producer_wait_until_an_item_is_taken() -> None:
    buffer: BlockingBuffer[int] = BlockingBuffer(1)
    buffer.put(0)
    producer = Doing(lambda: buffer.put(1))
    producer.join(0.05)
    assert producer.is_alive()
    assert buffer.get(NOW) == (0, 0)
    assert producer.done() is True
    assert buffer.get(NOW) == (1, 0)


def test_closing_frees_a_producer_that_waits() -> None:
    buffer: BlockingBuffer[int] = BlockingBuffer(1)
    buffer.put(0)
    producer = Doing(lambda: buffer.put(1))
    buffer.close()
    assert producer.done() is False


@both
def test_the_end_wakes_a_taker_that_waits(new: Callable[[], Buffer[str]]) -> None:
    buffer = new()
    taker = Doing(lambda: buffer.get(60.0))
    buffer.finish()
    assert taker.done() is Closed


@both
def test_an_item_wakes_a_taker_that_waits(new: Callable[[], Buffer[str]]) -> None:
    buffer = new()
    taker = Doing(lambda: buffer.get(60.0))
    buffer.put("here")
    assert taker.done() == ("here", 0)


def test_a_thousand_items_pass_between_two_threads_in_order() -> None:
    buffer: BlockingBuffer[int] = BlockingBuffer(2)

    def produce() -> None:
        for item in range(1000):
            buffer.put(item)
        buffer.finish()

    producer = Doing(produce)
    assert [buffer.get(SOON)[0] for _ in range(1000)] == list(range(1000))
    with pytest.raises(Closed):
        buffer.get(SOON)
    producer.done()
