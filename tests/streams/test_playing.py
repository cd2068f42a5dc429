"""A source's life: played once, closed at any moment, freed once and by the right thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame
from oneglance.streams.playing import PlayedOnce


class Counted(PlayedOnce):
    """Three frames; ``freed_by``: the threads that freed what it holds."""

    source = "counted"

    def __init__(self) -> None:
        super().__init__()
        self.freed_by: list[threading.Thread] = []

    def _frames(self) -> Iterator[Frame]:
        for index in range(3):
            yield Frame(np.zeros((2, 2, 3), np.uint8), index, index / 25, self.source)

    def _free(self) -> None:
        self.freed_by.append(threading.current_thread())


def test_frames_come_once_and_then_all_is_freed() -> None:
    source = Counted()
    assert [frame.index for frame in source] == [0, 1, 2]
    assert len(source.freed_by) == 1
    with pytest.raises(UsageError, match="counted was played already: open it again"):
        next(iter(source))
    source.close()
    assert len(source.freed_by) == 1


def test_one_that_was_closed_before_gives_no_frame() -> None:
    source = Counted()
    source.close()
    source.close()
    assert list(source) == []
    assert len(source.freed_by) == 1


def test_closing_from_another_thread_leaves_freeing_to_the_one_that_iterates() -> None:
    source = Counted()
    frames = iter(source)
    next(frames)
    other = threading.Thread(target=source.close)
    other.start()
    other.join()
    assert source.freed_by == []
    assert list(frames) == []
    assert source.freed_by == [threading.current_thread()]


def test_leaving_a_loop_early_frees_it() -> None:
    with Counted() as source:
        frames = iter(source)
        next(frames)
        frames.close()
        assert len(source.freed_by) == 1
    assert len(source.freed_by) == 1
