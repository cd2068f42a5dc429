"""libav on real sockets, cancelled while it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import av
import pytest
from av.container import core

from oneglance.streams.live.cancellation import cancelled_by, current_cancellations, is_cancelled
from oneglance.streams.live.threaded import Answer
from silences import silent, sockets_to
from waiting import LONG_S, wait_until, within


class Opener:
    """Opens ``url`` in a thread that heeds ``halts``; ``ended_s``: when that came to an end."""

    def __init__(self, url: str, *halts: threading.Event, timeout_s: float = LONG_S) -> None:
        self.ended_s = 0.0
        self.began_s = time.monotonic()
        self.thread = threading.Thread(target=self._open, args=(url, halts, timeout_s), daemon=True)
        self.thread.start()

    def _open(self, url: str, halts: tuple[threading.Event, ...], timeout_s: float) -> None:
        with cancelled_by(*halts), pytest.raises(av.error.FFmpegError):
            av.open(url, timeout=timeout_s)
        self.ended_s = time.monotonic()


@pytest.mark.parametrize("first", [True, False], ids=["before", "meanwhile"])
def test_a_call_ends_when_its_thread_is_cancelled(first: bool) -> None:
    halt = threading.Event()
    with silent("http") as url:
        if first:
            halt.set()
        opener = Opener(url, halt)
        if not first:
            wait_until(lambda: sockets_to(url))
            assert opener.thread.is_alive()
        with within(1):
            halt.set()
            opener.thread.join(LONG_S)


def test_a_call_to_the_same_host_by_a_thread_that_was_not_cancelled_waits_for_its_time_out() -> (
    None
):
    halt = threading.Event()
    with silent("http") as url:
        reported = Opener(url, halt)
        others = [Opener(url, timeout_s=0.8), Opener(url, threading.Event(), timeout_s=0.8)]
        halt.set()
        for opener in (reported, *others):
            opener.thread.join(LONG_S)
    assert 0 < reported.ended_s < min(other.ended_s for other in others)
    assert all(other.ended_s - other.began_s >= 0.8 for other in others)


def test_a_thread_that_was_cancelled_sees_every_time_out_pass_and_again_at_each_look() -> None:
    halt = threading.Event()
    with cancelled_by(halt):
        before_s = time.monotonic()
        assert before_s <= core.time.monotonic() <= time.monotonic()  # type: ignore[attr-defined]
        halt.set()
        looks_s = [core.time.monotonic() for _ in range(3)]  # type: ignore[attr-defined]
    assert looks_s[0] - before_s > threading.TIMEOUT_MAX
    assert looks_s[2] - looks_s[1] > threading.TIMEOUT_MAX
    assert before_s <= core.time.monotonic() <= time.monotonic()  # type: ignore[attr-defined]


def test_a_thread_obeys_its_own_tokens_and_no_others() -> None:
    outer, inner = threading.Event(), threading.Event()
    assert current_cancellations() == ()
    with cancelled_by(outer):
        with cancelled_by(inner):
            assert current_cancellations() == (outer, inner)
            assert not is_cancelled()
            outer.set()
            assert is_cancelled()
        assert current_cancellations() == (outer,)
    assert not is_cancelled()


def test_an_answer_that_nobody_wants_ends_the_one_that_its_work_waits_for() -> None:
    ended: list[str] = []

    def work(name: str, wait: Callable[[], object]) -> None:
        try:
            wait()
        finally:
            ended.append(name)

    with silent("rtsp") as url:

        def opened() -> object:
            inner = Answer(
                lambda: work("inner", lambda: av.open(url, timeout=LONG_S)), discard=lambda _: None
            )
            return inner.within(LONG_S)

        outer = Answer(lambda: work("outer", opened), discard=lambda _: None)
        wait_until(lambda: sockets_to(url))
        assert ended == []
        outer.abandon()
        wait_until(lambda: ended == ["inner", "outer"], within_s=1)
