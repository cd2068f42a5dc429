"""What is live and what is not: one place decides."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import pytest

from http_server import http_server
from live_runs import Camera, quick
from media import make_video
from oneglance.perception import Live, Mode
from oneglance.perception.readers.frame_reader import Source
from oneglance.perception.readers.multi_source import MultiSourceReader
from oneglance.perception.readers.opening import open_reader, run_together
from oneglance.perception.readers.recorded import RecordedReader
from oneglance.streams import ConnectOptions, SourceNotFound, SourceStalled, UsageError
from oneglance.streams.buffers import Closed
from scripted_camera import Connection, scripted_camera, steady
from waiting import LONG_S

MakeVideo = Callable[..., Path]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode.AUTO, RecordedReader),
        (Mode.RECORDED, RecordedReader),
        (Mode.LIVE, MultiSourceReader),
        (Live(), MultiSourceReader),
    ],
)
def test_a_file_is_recorded_unless_live_is_asked_for(
    mode: Mode | Live, expected: type, video: MakeVideo
) -> None:
    with closing(open_reader(video("drive.mp4", frames=3), mode)) as reader:
        assert isinstance(reader, expected)
        assert reader.live is (expected is MultiSourceReader)
        assert reader.frame_rate == Fraction(25)
        assert reader.frame_count == 3
        assert reader.name.endswith("drive.mp4")


def test_a_stream_that_calls_itself_live_is_live_unless_it_shall_be_recorded() -> None:
    with closing(open_reader(Camera("front"))) as reader:
        assert reader.live
    with closing(open_reader(Camera("front"), Mode.RECORDED)) as reader:
        assert not reader.live


def test_a_camera_that_must_be_there_now_fails_at_once_and_one_that_may_come_later_does_not() -> (
    None
):
    with scripted_camera(steady) as camera:
        camera.unplug()
        with pytest.raises(SourceNotFound, match="nobody listens"):
            open_reader(camera.url)
        with closing(open_reader(camera.url, Mode.LIVE)) as reader:
            assert reader.name == camera.url


def test_the_connection_that_answered_is_the_one_that_is_played() -> None:
    connections: list[int] = []

    def counted(connection: Connection) -> None:
        connections.append(connection.number)
        connection.play()

    with scripted_camera(counted) as camera, closing(open_reader(camera.url)) as reader:
        reader.start(None)
        assert reader.get(8.0).frame.index == 0
    assert len(connections) == 1


def test_connect_options_reach_the_source_in_every_mode() -> None:
    connect = ConnectOptions(timeout_s=0.3, stall_s=0.3)
    with scripted_camera(Connection.silence) as camera:
        for mode in (Mode.AUTO, Mode.RECORDED):
            with pytest.raises(SourceStalled, match=r"did not answer within 0\.3 s"):
                open_reader(camera.url, mode, connect=connect)


@pytest.mark.parametrize("source", [[], ()])
def test_no_source_at_all_is_refused(source: list[Source]) -> None:
    with pytest.raises(UsageError, match="several sources run live"):
        open_reader(source)


def test_several_recordings_do_not_run_at_once() -> None:
    with pytest.raises(UsageError, match="recordings run one after the other"):
        open_reader([Camera("a"), Camera("b")], Mode.RECORDED)


def test_when_one_of_several_cannot_be_opened_the_others_are_closed() -> None:
    class Closing(Camera):
        def __init__(self) -> None:
            super().__init__("front")
            self.was_closed = threading.Event()

        def close(self) -> None:
            super().close()
            self.was_closed.set()

    front = Closing()
    with pytest.raises(SourceNotFound):
        open_reader([front, "no-such-file.mp4"], quick())  # type: ignore[list-item]
    assert front.was_closed.is_set()


ADDRESSES = [
    (["rtsp://a/x"], Mode.LIVE, False),  # alone
    (["rtsp://a/x", "rtsp://b/x"], Mode.AUTO, True),
    (["rtsp://a/x", "0"], Mode.AUTO, True),
    (["rtsp://a/x", "http://b/x"], Mode.AUTO, False),  # may be a file
    (["rtsp://a/x", "drive.mp4"], Mode.AUTO, False),
    (["a.mp4", "b.mp4"], Mode.LIVE, True),
    (["rtsp://a/x", "rtsp://b/x"], Mode.RECORDED, False),
]


@pytest.mark.parametrize(("sources", "mode", "expected"), ADDRESSES)
def test_several_run_at_once_when_asked_or_when_all_are_live_by_their_addresses(
    sources: list[str], mode: Mode, expected: bool
) -> None:
    assert run_together(sources, mode) is expected


def test_what_has_no_length_is_played_by_its_own_times_where_it_shall_be_recorded(
    tmp_path: Path,
) -> None:
    make_video(tmp_path / "drive.ts", frames=10)
    with (
        http_server(tmp_path) as (web, _),
        closing(open_reader(f"{web}/chunked/drive.ts", Mode.RECORDED)) as reader,
    ):
        reader.start(None)
        times = [reader.get(LONG_S).frame.timestamp_s for _ in range(10)]
        with pytest.raises(Closed):
            reader.get(LONG_S)
    assert [round(time_s * 25) for time_s in times] == list(range(10))
