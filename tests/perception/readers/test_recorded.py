"""Every frame of one source, in order; what is not said can be measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from live_runs import Camera
from oneglance.perception.readers.recorded import DECODED_AHEAD, RecordedReader
from oneglance.streams import Stream, UsageError, open_stream
from oneglance.streams.buffers import Closed
from oneglance.streams.decoding.planes import DecodedImage
from waiting import LONG_S

MakeVideo = Callable[..., Path]


def reader_of(stream: Stream) -> RecordedReader:
    return RecordedReader(stream, time.monotonic)


def test_every_frame_comes_in_order_and_then_the_end(video: MakeVideo) -> None:
    with closing(reader_of(open_stream(video("drive.mp4", frames=12)))) as reader:
        reader.start(None)
        found = [reader.get(LONG_S) for _ in range(12)]
        with pytest.raises(Closed):
            reader.get(LONG_S)
    assert [captured.frame.index for captured in found] == list(range(12))
    assert all(captured.dropped == 0 for captured in found)


def test_the_time_to_decode_is_the_decoders_own_and_nothing_is_converted(
    video: MakeVideo, conversions: list[DecodedImage]
) -> None:
    with closing(reader_of(open_stream(video("drive.mp4", frames=3)))) as reader:
        reader.start(None)
        captured = reader.get(LONG_S)
        assert captured.decode_s is not None
        assert captured.decode_s == captured.frame.decode_s
        assert not conversions


class Silent(Camera):
    """A source that says nothing of how long it takes."""

    def __init__(self, *, live: bool) -> None:
        super().__init__("silent", before=lambda index: time.sleep(0.005))  # its decoding
        self.live = live


def test_a_recording_that_does_not_say_is_measured_and_a_camera_is_not() -> None:
    for live in (False, True):
        with closing(reader_of(Silent(live=live))) as reader:  # type: ignore[arg-type]
            reader.start(None)
            captured = reader.get(LONG_S)
            # A camera's frame was waited for, and that is no stage.
            assert (captured.decode_s is None) is live
            assert live or (captured.decode_s or 0) >= 0.005


def test_a_slow_taker_keeps_only_a_few_frames_decoded(video: MakeVideo) -> None:
    stream = open_stream(video("drive.mp4", frames=30))
    with closing(reader_of(stream)) as reader:
        reader.start(None)
        first = reader.get(LONG_S)
        assert first.frame.index == 0
        taken = [reader.get(LONG_S).frame.index for _ in range(5)]
        assert taken == [1, 2, 3, 4, 5]
        stats = stream.stats  # type: ignore[attr-defined]
        assert stats.delivered <= 6 + DECODED_AHEAD + 1


def test_a_recording_has_one_source_and_nobody_monitors_it(video: MakeVideo) -> None:
    with closing(reader_of(open_stream(video("drive.mp4", frames=3)))) as reader:
        assert reader.health() == ()
        with pytest.raises(UsageError, match="nothing can be added"):
            reader.add("other.mp4")
        with pytest.raises(UsageError, match="close the pipeline"):
            reader.remove("drive.mp4")
