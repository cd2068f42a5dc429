"""Waiting that has an end: for an answer, and for the frames of a source that falls silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from media import numbered_image
from oneglance.streams import ConnectOptions, Frame, SourceBroken, SourceStalled, UsageError
from oneglance.streams.buffers import Closed
from oneglance.streams.errors import Reason
from oneglance.streams.live.cancellation import current_cancellations, is_cancelled
from oneglance.streams.live.threaded import Answer, ThreadedSource, opened_within
from waiting import LONG_S

MakeVideo = Callable[..., Path]


def nothing(found: object) -> None:
    raise AssertionError(f"{found} was discarded")


def test_an_answer_in_time_is_given() -> None:
    assert Answer(lambda: 42, discard=nothing).within(LONG_S) == 42


def test_what_the_work_raises_is_raised_where_it_is_waited_for() -> None:
    def work() -> int:
        raise SourceBroken("cable")

    with pytest.raises(SourceBroken, match="cable"):
        Answer(work, discard=nothing).within(LONG_S)


def test_an_answer_that_comes_too_late_is_discarded_and_nothing_leaks() -> None:
    go, discarded = threading.Event(), threading.Event()
    answer = Answer(lambda: go.wait(LONG_S), discard=lambda found: discarded.set())
    with pytest.raises(TimeoutError):
        answer.within(0.01)
    go.set()
    assert discarded.wait(LONG_S)


def test_who_abandons_an_answer_frees_who_waits_for_it_and_cancels_the_work() -> None:
    begun, cancelled, freed = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        while not is_cancelled():
            threading.Event().wait(0.005)
        cancelled.set()

    answer = Answer(work, discard=lambda found: None)

    def wait() -> None:
        with pytest.raises(Closed):
            answer.within(60.0)
        freed.set()

    threading.Thread(target=wait, daemon=True).start()
    assert begun.wait(LONG_S)
    answer.abandon()
    assert freed.wait(LONG_S)
    assert cancelled.wait(LONG_S)


def test_what_cancels_the_one_who_asks_cancels_the_one_who_works() -> None:
    heard: list[int] = []

    def outer() -> int:
        inner = Answer(lambda: len(current_cancellations()), discard=nothing)
        heard.append(inner.within(LONG_S))
        return len(current_cancellations())

    assert Answer(outer, discard=nothing).within(LONG_S) == 1
    assert heard == [2]


def test_a_container_that_opens_too_late_is_closed(video: MakeVideo) -> None:
    go, opened = threading.Event(), []
    film = video("drive.mp4", frames=3)

    def open_() -> av.container.InputContainer:
        go.wait(LONG_S)
        opened.append(av.open(str(film)))
        return opened[0]

    with pytest.raises(TimeoutError):
        opened_within(0.01, open_)
    go.set()
    deadline = threading.Event()
    for _ in range(1000):
        if opened and not is_open(opened[0]):
            return
        deadline.wait(0.005)
    pytest.fail("the container is open still")


def is_open(container: av.container.InputContainer) -> bool:
    try:
        next(container.demux(), None)
    except (AssertionError, ValueError):  # what PyAV says of a closed one
        return False
    return True


class Scripted(ThreadedSource):
    """Frames as ``script`` gives them, in a container that is real."""

    def __init__(
        self, film: Path, script: Callable[[Scripted], Iterator[int]], **patience_s: float
    ) -> None:
        super().__init__(av.open(str(film)), "scripted", ConnectOptions(**patience_s))  # type: ignore[arg-type]
        self._script = script

    def _frames(self) -> Iterator[Frame]:
        for index in self._script(self):
            yield Frame(numbered_image(index), index, float(index), self.source)


@pytest.fixture
def film(video: MakeVideo) -> Path:
    return video("drive.mp4", frames=3)


def test_frames_come_in_order_and_end(film: Path) -> None:
    stream = Scripted(film, lambda _: iter(range(100)))
    assert [frame.index for frame in stream] == list(range(100))


def test_frames_are_read_by_another_thread(film: Path) -> None:
    names: list[str] = []

    def script(_: Scripted) -> Iterator[int]:
        names.append(threading.current_thread().name)
        yield 0

    assert len(list(Scripted(film, script))) == 1
    assert names == ["oneglance-stream"]


def test_silence_before_the_first_frame_and_after_it_has_patience_of_its_own(film: Path) -> None:
    over = threading.Event()

    def silent_from(count: int) -> Callable[[Scripted], Iterator[int]]:
        def script(_: Scripted) -> Iterator[int]:
            yield from range(count)
            over.wait(LONG_S)

        return script

    for count, patience_s in ((0, 0.4), (1, 0.2)):
        stream = Scripted(film, silent_from(count), timeout_s=0.4, stall_s=0.2)
        seen: list[int] = []
        with pytest.raises(SourceStalled, match=f"gave nothing for {patience_s:g} s") as caught:
            seen.extend(frame.index for frame in stream)
        assert caught.value.reason is Reason.SILENT
        assert seen == list(range(count))
    over.set()


def test_closing_ends_iteration_at_once_whatever_the_source_is_doing(film: Path) -> None:
    over, seen = threading.Event(), threading.Event()

    def script(_: Scripted) -> Iterator[int]:
        yield 0
        over.wait(LONG_S)

    stream = Scripted(film, script, timeout_s=60, stall_s=60)
    ended = threading.Event()

    def play() -> None:
        for _ in stream:
            seen.set()
        ended.set()

    threading.Thread(target=play, daemon=True).start()
    assert seen.wait(LONG_S)
    stream.close()
    assert ended.wait(LONG_S)
    over.set()


def test_what_breaks_in_the_thread_breaks_where_frames_are_taken(film: Path) -> None:
    def script(_: Scripted) -> Iterator[int]:
        yield 0
        raise SourceBroken("cable")

    stream, seen = Scripted(film, script), []  # type: ignore[var-annotated]
    with pytest.raises(SourceBroken, match="cable"):
        seen.extend(frame.index for frame in stream)
    assert seen == [0]


def test_a_source_is_played_once(film: Path) -> None:
    stream = Scripted(film, lambda _: iter(range(3)))
    assert len(list(stream)) == 3
    with pytest.raises(UsageError, match="played already"):
        list(stream)


def test_a_source_that_nobody_plays_is_closed_all_the_same(film: Path) -> None:
    stream = Scripted(film, lambda _: iter(range(3)))
    stream.close()
    assert list(stream) == []
