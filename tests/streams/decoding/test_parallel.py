"""Which recordings are decoded by several threads, and that nothing else comes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media import index_of
from oneglance.streams import open_stream
from oneglance.streams.decoding import parallel
from oneglance.streams.decoding.source import AvSource

MakeVideo = Callable[..., Path]


def threads_of(stream: object) -> int:
    assert isinstance(stream, AvSource)
    return stream._stream.codec_context.thread_count


@pytest.mark.parametrize(
    ("codec", "many_pixels", "cpus", "expected"),
    [
        ("libx265", 64 * 48, 8, 4),
        ("libx265", 64 * 48, 2, 2),
        ("libx265", 64 * 48, 1, 1),
        ("libx265", 64 * 48 + 1, 8, 1),
        ("libx264", 64 * 48, 8, 1),
    ],
)
def test_large_h265_alone_is_decoded_by_several_threads(
    video: MakeVideo,
    monkeypatch: pytest.MonkeyPatch,
    codec: str,
    many_pixels: int,
    cpus: int,
    expected: int,
) -> None:
    monkeypatch.setattr(parallel, "MANY_PIXELS", many_pixels)
    monkeypatch.setattr(parallel, "cpus", lambda: cpus)
    with open_stream(video("a.mp4", codec=codec, frames=5)) as stream:
        assert threads_of(stream) == expected


def test_several_threads_give_the_frames_that_one_gives(
    video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = video("a.mp4", codec="libx265", frames=24)
    one = list(open_stream(file))
    monkeypatch.setattr(parallel, "MANY_PIXELS", 0)
    monkeypatch.setattr(parallel, "cpus", lambda: 4)
    several = list(open_stream(file))
    assert [index_of(frame.image) for frame in several] == [*range(24)]
    for a, b in zip(one, several, strict=True):
        assert (a.index, a.timestamp_s) == (b.index, b.timestamp_s)
        assert np.array_equal(a.image, b.image)
