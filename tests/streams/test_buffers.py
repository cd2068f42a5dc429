"""The buffers: first their rules without threads, then the threads around them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.buffers import (
    BlockingBuffer,
    Closed,
    RoundRobinLatestBuffer,
    _Queue,
    _Rounds,
)

NOW = 0.0
SOON = 5.0


def new() -> BlockingBuffer[str]:
    return BlockingBuffer(3)


@given(st.lists(st.integers(0, 2), max_size=60))
def test_a_queue_gives_out_everything_in_order(moves: list[int]) -> None:
    store, put, got = _Queue[int](2), 0, []
    for move in moves:
        if move and not store.full:
            store.add(put)
            put += 1
        elif not move and store.ready:
            got.append(store.take())
    store.finish(None)
    while len(got) < put:
        got.append(store.take())
    assert got == list(range(put))


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BlockingBuffer(0)


def test_what_was_put_before_the_end_still_comes_and_then_the_end() -> None:
    buffer = new()
    buffer.put("last")
    buffer.finish()
    assert buffer.get(NOW) == "last"
    for _ in range(2):
        with pytest.raises(Closed):
            buffer.get(NOW)


def test_the_error_comes_after_what_was_put_before_it() -> None:
    buffer = new()
    buffer.put("last")
    buffer.finish(OSError("cable"))
    assert buffer.get(NOW) == "last"
    with pytest.raises(OSError, match="cable"):
        buffer.get(NOW)


def test_the_first_reason_to_finish_counts() -> None:
    buffer = new()
    buffer.finish(OSError("cable"))
    buffer.finish()
    with pytest.raises(OSError, match="cable"):
        buffer.get(NOW)


def test_putting_after_the_end_is_a_bug_of_ours() -> None:
    buffer = new()
    buffer.finish()
    with pytest.raises(RuntimeError, match="after finish"):
        buffer.put("late")


def test_a_taker_who_closed_gets_nothing_more_and_put_says_so() -> None:
    buffer = new()
    buffer.put("unwanted")
    buffer.close()
    assert not buffer.put("unwanted too")
    with pytest.raises(Closed):
        buffer.get(NOW)


def test_an_error_after_the_taker_closed_troubles_nobody() -> None:
    buffer = new()
    buffer.close()
    buffer.finish(OSError("cable"))
    with pytest.raises(Closed):
        buffer.get(NOW)


def test_an_empty_buffer_times_out_and_stays_usable() -> None:
    buffer = new()
    with pytest.raises(TimeoutError):
        buffer.get(NOW)
    buffer.put("then")
    assert buffer.get(NOW) == "then"


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
    assert buffer.get(NOW) == 0
    assert producer.done() is True
    assert buffer.get(NOW) == 1


def test_closing_frees_a_producer_that_waits() -> None:
    buffer: BlockingBuffer[int] = BlockingBuffer(1)
    buffer.put(0)
    producer = Doing(lambda: buffer.put(1))
    buffer.close()
    assert producer.done() is False


def test_the_end_wakes_a_taker_that_waits() -> None:
    buffer = new()
    taker = Doing(lambda: buffer.get(60.0))
    buffer.finish()
    assert taker.done() is Closed


def test_an_item_wakes_a_taker_that_waits() -> None:
    buffer = new()
    taker = Doing(lambda: buffer.get(60.0))
    buffer.put("here")
    assert taker.done() == "here"


def test_a_thousand_items_pass_between_two_threads_in_order() -> None:
    buffer: BlockingBuffer[int] = BlockingBuffer(2)

    def produce() -> None:
        for item in range(1000):
            buffer.put(item)
        buffer.finish()

    producer = Doing(produce)
    assert [buffer.get(SOON) for _ in range(1000)] == list(range(1000))
    with pytest.raises(Closed):
        buffer.get(SOON)
    producer.done()


def rounds(*keys: str) -> _Rounds[str, tuple[str, int]]:
    made: _Rounds[str, tuple[str, int]] = _Rounds()
    for key in keys:
        made.open(key)
    return made


def test_each_source_has_its_turn_however_fast_another_is() -> None:
    latest, served = rounds("fast", "slow"), []
    for index in range(6):
        for _ in range(10):
            latest.put("fast", ("fast", index))
        latest.put("slow", ("slow", index))
        served += [latest.take()[0][0], latest.take()[0][0]]
    assert Counter(served) == {"fast": 6, "slow": 6}


def test_who_has_waited_longest_is_next() -> None:
    latest = rounds("a", "b", "c")
    for key in "abc":
        latest.put(key, (key, 0))
    assert latest.take()[0][0] == "a"
    latest.put("a", ("a", 1))
    assert [latest.take()[0] for _ in range(3)] == [("b", 0), ("c", 0), ("a", 1)]


def test_a_source_that_rests_keeps_its_turn() -> None:
    latest = rounds("a", "b")
    for index in range(3):
        latest.put("b", ("b", index))
        latest.take()
    latest.put("b", ("b", 9))
    latest.put("a", ("a", 0))
    assert latest.take()[0] == ("a", 0)


def test_drops_are_counted_for_each_source_alone() -> None:
    latest = rounds("a", "b")
    for index in range(3):
        latest.put("a", ("a", index))
    latest.put("b", ("b", 0))
    assert latest.take() == (("a", 2), 2)
    assert latest.take() == (("b", 0), 0)
    latest.put("a", ("a", 3))
    assert latest.take() == (("a", 3), 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=120))
def test_what_is_put_is_given_dropped_or_lost_and_never_given_twice(
    moves: list[tuple[str, bool]],
) -> None:
    latest, put, given, dropped = rounds(*"abc"), Counter[str](), [], Counter[str]()
    for key, is_put in moves:
        if is_put:
            latest.put(key, (key, put[key]))
            put[key] += 1
        elif latest.ready:
            item, before = latest.take()
            given.append(item)
            dropped[item[0]] += before
    assert len(given) == len(set(given))
    for key in "abc":
        indices = [index for source, index in given if source == key]
        assert indices == sorted(indices)
        assert len(indices) + dropped[key] + latest.remove(key) == put[key]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=200))
def test_no_source_with_a_frame_waits_for_more_than_one_turn_of_each_other(puts: list[str]) -> None:
    latest, waits = rounds(*"abcd"), Counter[str]()
    for key in puts:
        latest.put(key, (key, 0))
        if waits[key] == 0:
            waits[key] = 1
        if len([k for k in waits if waits[k]]) > 1:
            (served, _), _ = latest.take()
            waits[served] = 0
            for other in "abcd":
                waits[other] += waits[other] > 0
            assert max(waits.values()) <= 1 + 4


def test_a_finished_source_still_gives_its_newest_and_the_end_comes_when_all_have_finished() -> (
    None
):
    latest = rounds("a", "b")
    latest.put("a", ("a", 0))
    latest.finish("a")
    assert not latest.put("a", ("a", 1))
    latest.finish("b")
    assert latest.take()[0] == ("a", 0)
    with pytest.raises(Closed):
        latest.take()


def test_a_removed_source_gives_nothing_and_shows_what_was_lost() -> None:
    latest = rounds("a", "b")
    for index in range(3):
        latest.put("a", ("a", index))
    assert latest.remove("a") == 3
    assert latest.remove("a") == 0
    assert not latest.put("a", ("a", 9))
    assert not latest.ready


def test_a_failure_comes_after_the_items_at_hand() -> None:
    latest = rounds("a", "b")
    latest.put("a", ("a", 0))
    latest.fail(ZeroDivisionError())
    assert not latest.put("b", ("b", 0))
    assert latest.take()[0] == ("a", 0)
    with pytest.raises(ZeroDivisionError):
        latest.take()


def test_a_source_cannot_begin_twice() -> None:
    with pytest.raises(ValueError, match="a is open already"):
        rounds("a", "a")


def test_nothing_is_given_after_closing() -> None:
    buffer: RoundRobinLatestBuffer[str, int] = RoundRobinLatestBuffer()
    buffer.open("a")
    buffer.put("a", 1)
    buffer.close()
    assert not buffer.put("a", 2)
    with pytest.raises(Closed):
        buffer.get(NOW)


def test_a_get_without_an_item_times_out() -> None:
    buffer: RoundRobinLatestBuffer[str, int] = RoundRobinLatestBuffer()
    buffer.open("a")
    with pytest.raises(TimeoutError):
        buffer.get(0.01)


def test_a_source_that_begins_later_wakes_a_taker_that_waits() -> None:
    buffer: RoundRobinLatestBuffer[str, str] = RoundRobinLatestBuffer()
    buffer.open("a")
    got: list[tuple[str, int]] = []
    taker = threading.Thread(target=lambda: got.append(buffer.get(SOON)))
    taker.start()
    buffer.open("b")
    buffer.put("b", "here")
    taker.join(SOON)
    assert got == [("here", 0)]


def test_four_threads_and_a_taker_lose_nothing_uncounted() -> None:
    buffer: RoundRobinLatestBuffer[int, int] = RoundRobinLatestBuffer()
    for source in range(4):
        buffer.open(source)

    def produce(source: int) -> None:
        for index in range(500):
            assert buffer.put(source, index)
        buffer.finish(source)

    threads = [threading.Thread(target=produce, args=(source,)) for source in range(4)]
    for thread in threads:
        thread.start()
    counted: list[int] = []

    def take_all() -> None:
        while True:
            counted.append(1 + buffer.get(SOON)[1])

    with pytest.raises(Closed):
        take_all()
    for thread in threads:
        thread.join()
    assert sum(counted) == 2000
