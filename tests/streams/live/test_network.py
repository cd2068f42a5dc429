"""Streams from real servers on this machine: an RTSP server, an HTTP server, and silent sockets."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path

import pytest

from http_server import http_server
from media import index_of, make_video
from oneglance.streams import (
    ConnectOptions,
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    StreamError,
    UsageError,
    redact,
)
from oneglance.streams.live.browser import SplitStream
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.live.reconnecting import open_with_reconnect
from playing import play_until
from program import Program
from rtsp_server import PASSWORD, USER, RtspServer, rtsp_server
from scripted_camera import jpeg
from silences import sockets_to
from waiting import LONG_S, wait_until, within

ESCAPED = PASSWORD.replace("@", "%40").replace("/", "%2F")

SLACK_S = 1.0
"""How much later than its time-out an answer may come."""


@contextmanager
def silent_host() -> Iterator[str]:
    """Accepts connections and says nothing, ever; gives ``127.0.0.1:PORT``."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    """A port that nobody listens on and nobody else is given meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def fails(url: str, kind: type[StreamError], *, timeout_s: float = 5.0) -> str:
    """What is said when opening ``url`` fails as it should."""
    with pytest.raises(kind) as caught:
        NetworkStream(url, ConnectOptions(timeout_s=timeout_s))
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None  # libav's error quotes the URL
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_a_camera_over_rtsp_is_live_and_its_frames_come_in_order(rtsp: RtspServer) -> None:
    before = time.monotonic()
    with NetworkStream(rtsp.url("live"), ConnectOptions(timeout_s=5)) as stream:
        assert stream.live
        assert stream.frame_count is None
        frames = list(islice(stream, 30))
    after = time.monotonic()
    assert [frame.index for frame in frames] == list(range(30))
    assert {frame.size for frame in frames} == {(64, 48)}
    times_s = [frame.timestamp_s for frame in frames]
    assert before < times_s[0]
    assert times_s[-1] < after
    assert all(earlier < later for earlier, later in pairwise(times_s))
    # 30 frames at 25 a second take 1.16 s; a third of a second of them comes at once.
    assert times_s[-1] - before > 0.6


def test_a_clip_over_rtsp_comes_whole_and_its_end_is_reported(rtsp: RtspServer) -> None:
    with NetworkStream(rtsp.url("clip"), ConnectOptions(timeout_s=5)) as stream:
        frames, message = play_until(SourceBroken, stream)
    assert [index_of(frame.image) for frame in frames] == list(range(25))
    assert {frame.source for frame in frames} == {rtsp.url("clip")}
    assert message == f"{rtsp.url('clip')} was ended by the server after 25 frames"


def test_the_right_password_opens_a_locked_camera_and_is_nowhere_to_be_seen(
    rtsp: RtspServer,
) -> None:
    with NetworkStream(
        rtsp.url("locked", f"{USER}:{ESCAPED}"), ConnectOptions(timeout_s=5)
    ) as stream:
        frame = next(iter(stream))
    assert stream.source == frame.source == f"rtsp://***@{rtsp.host}/locked"


@pytest.mark.parametrize("credentials", ["", f"{USER}:SECRET%21", f"SECRET%21:{ESCAPED}"])
def test_a_wrong_password_is_reported_without_the_password(
    rtsp: RtspServer, credentials: str
) -> None:
    message = fails(rtsp.url("locked", credentials), SourceUnreadable)
    assert "refused us: its user name or password is wrong or missing" in message
    assert not any(secret in message for secret in (USER, "SECRET", ESCAPED, PASSWORD))


def test_a_password_with_signs_of_a_url_in_it_is_refused_with_how_to_write_it(
    rtsp: RtspServer,
) -> None:
    # libav takes "p" for the password and "ss" for the host.
    message = fails(rtsp.url("locked", f"{USER}:{PASSWORD}"), SourceNotFound)
    assert "a password's at sign / : ? # are written %40 %2F %3A %3F %23" in message
    assert redact(message) == message  # the command line redacts once more
    assert not any(secret in message for secret in (USER, "p@ss", "w0rd"))


def test_a_path_that_an_rtsp_server_does_not_know_is_reported(rtsp: RtspServer) -> None:
    message = fails(rtsp.url("garage"), SourceNotFound)
    assert f"rtsp://{rtsp.host}/garage is not there" in message


def test_an_rtsp_server_that_freezes_is_stalled_within_the_time_out(tmp_path: Path) -> None:
    with (
        rtsp_server(make_video(tmp_path / "a.mp4", frames=2)) as server,
        NetworkStream(server.url("live"), ConnectOptions(timeout_s=LONG_S, stall_s=1)) as stream,
    ):
        frames = iter(stream)
        next(frames)
        server.process.send_signal(signal.SIGSTOP)
        with (
            within(2 + SLACK_S),  # what was on its way, then the time-out
            pytest.raises(SourceStalled, match=r"gave nothing for 1 s, after \d+ frames"),
        ):
            list(frames)


def test_an_rtsp_server_that_dies_is_lost_and_not_an_end(tmp_path: Path) -> None:
    with (
        rtsp_server(make_video(tmp_path / "a.mp4", frames=2)) as server,
        NetworkStream(server.url("live"), ConnectOptions(timeout_s=5)) as stream,
    ):
        frames = iter(stream)
        next(frames)
        server.process.kill()
        with pytest.raises(SourceBroken, match=r"after \d+ frames"):
            list(frames)


def test_a_camera_that_is_never_read_is_let_go_within_a_second(rtsp: RtspServer) -> None:
    stream = NetworkStream(rtsp.url("live"), ConnectOptions(timeout_s=5))
    with within(1):
        stream.close()
    assert list(stream) == []


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_that_says_nothing_is_stalled_within_the_time_out(scheme: str) -> None:
    with silent_host() as host:
        began_s = time.monotonic()
        with within(0.5 + SLACK_S):
            message = fails(f"{scheme}://{host}/x", SourceStalled, timeout_s=0.5)
        assert time.monotonic() - began_s >= 0.5
    assert message == f"{scheme}://{host}/x did not answer within 0.5 s"


@pytest.mark.parametrize("scheme", ["rtsp", "http", "https"])
def test_a_port_without_a_server_is_reported(scheme: str) -> None:
    with closed_port() as host:
        message = fails(f"{scheme}://{host}/x", SourceNotFound)
    assert message == f"{scheme}://{host}/x: nobody listens there (connection refused)"


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_without_a_name_is_reported(scheme: str) -> None:
    message = fails(f"{scheme}://no.such.host.invalid/x", SourceNotFound, timeout_s=20)
    assert message.startswith(f"{scheme}://no.such.host.invalid/x cannot be reached")


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_time_out_of_nothing_is_refused(timeout_s: float) -> None:
    with pytest.raises(UsageError, match="time-out must be above 0 s"):
        NetworkStream(
            "rtsp://127.0.0.1:1/x", ConnectOptions(timeout_s=timeout_s, stall_s=timeout_s)
        )


def test_a_file_behind_http_is_a_recording_with_its_own_times(tmp_path: Path, web: str) -> None:
    make_video(tmp_path / "a.mp4", frames=10)
    with NetworkStream(f"{web}/file/a.mp4", ConnectOptions(timeout_s=5)) as stream:
        assert [stream.live, stream.frame_count, stream.frame_rate] == [False, 10, 25]
        frames = list(stream)
    assert [index_of(frame.image) for frame in frames] == list(range(10))
    assert [frame.timestamp_s for frame in frames] == [index / 25 for index in range(10)]


def test_an_mjpeg_camera_is_live_and_the_server_ending_it_is_reported(web: str) -> None:
    began = time.monotonic()
    with NetworkStream(f"{web}/mjpeg/20", ConnectOptions(timeout_s=5)) as stream:
        assert stream.live
        frames, message = play_until(SourceBroken, stream)
    assert [index_of(frame.image) for frame in frames] == list(range(20))
    assert began < frames[0].timestamp_s
    assert frames[-1].timestamp_s < time.monotonic()
    assert message == f"{web}/mjpeg/20 was lost after 20 frames: the server hung up"


def test_an_mjpeg_camera_that_falls_silent_is_stalled_within_the_time_out(web: str) -> None:
    # The server plays for 20 / 25 of a second.
    options = ConnectOptions(timeout_s=LONG_S, stall_s=1)
    with (
        NetworkStream(f"{web}/mjpeg/20/silent", options) as stream,
        within(20 / 25 + 1 + SLACK_S),
    ):
        frames, message = play_until(SourceStalled, stream)
    assert len(frames) == 20
    assert message.endswith("gave nothing for 1 s, after 20 frames")


def test_closing_from_another_thread_ends_a_silent_camera_at_once(web: str) -> None:
    stream = NetworkStream(f"{web}/mjpeg/20/silent", ConnectOptions(timeout_s=60, stall_s=60))
    came: list[object] = []
    reader = threading.Thread(target=lambda: came.extend(stream))
    reader.start()
    wait_until(lambda: len(came) == 20)
    with within(1):
        stream.close()
        reader.join(LONG_S)
    assert len(came) == stream.stats.delivered == 20


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        (401, SourceUnreadable, "refused us: its user name or password is wrong or missing"),
        (403, SourceUnreadable, "refused us: its user name or password is wrong or missing"),
        (404, SourceNotFound, "is not there: the host answers, the path is unknown"),
        (400, SourceUnreadable, "cannot be had"),
        (410, SourceUnreadable, "cannot be had"),
        (500, SourceUnreadable, "cannot be had"),
        (503, SourceUnreadable, "cannot be had"),
    ],
)
def test_what_an_http_server_refuses_is_reported_by_its_code(
    web: str, code: int, kind: type[StreamError], sentence: str
) -> None:
    url = web.replace("http://", "http://admin:SECRET@") + f"/status/{code}"
    message = fails(url, kind)
    assert sentence in message
    assert "SECRET" not in message
    assert "admin" not in message


def test_a_page_that_is_no_video_is_reported(tmp_path: Path, web: str) -> None:
    (tmp_path / "index.html").write_text("<html>Please log in.</html>")
    message = fails(f"{web}/file/index.html", SourceUnreadable)
    assert message.endswith("answers, but not with video that can be played")


def test_a_server_that_hangs_up_half_way_gives_every_intact_frame_and_is_reported(
    tmp_path: Path, web: str
) -> None:
    make_video(tmp_path / "a.mp4", options={"bf": "0"}, container_options={"movflags": "faststart"})
    with NetworkStream(f"{web}/cut/a.mp4", ConnectOptions(timeout_s=5)) as stream:
        frames, message = play_until(SourceBroken, stream)
    count = len(frames)
    assert [index_of(frame.image) for frame in frames] == list(range(count))
    assert 8 <= count < 20
    assert f"broke after {count} of 25 frames, at {count / 25:.2f} s" in message
    assert "the server hung up" in message


def test_a_playlist_from_a_stranger_does_not_open_files_of_ours(tmp_path: Path, web: str) -> None:
    ours = make_video(tmp_path / "ours.ts")
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{ours}\n#EXT-X-ENDLIST\n"
    )
    fails(f"{web}/file/list.m3u8", SourceUnreadable)


def test_one_jpeg_behind_http_is_one_frame_and_ends_the_run(
    tmp_path: Path, web: str, model: Path, oneglance: Program
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(7))
    with NetworkStream(f"{web}/once/a.jpg", ConnectOptions(timeout_s=5)) as stream:
        assert not stream.live
        assert [index_of(frame.image) for frame in stream] == [7]
    run = oneglance("run", f"{web}/once/a.jpg", "--model", model, "--jsonl", "-")
    assert (run.code, run.out.count("\n")) == (0, 1)


def test_one_jpeg_of_a_length_that_nobody_declares_is_one_frame(web: str) -> None:
    with open_with_reconnect(f"{web}/unsized") as stream:
        assert [index_of(frame.image) for frame in stream] == [3]


@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.mkv"])
def test_a_finished_file_from_a_server_without_parts_is_played_once(
    tmp_path: Path, web: str, model: Path, oneglance: Program, name: str
) -> None:
    movflags = {"movflags": "faststart"} if name == "a.mp4" else {}
    make_video(tmp_path / name, frames=20, container_options=movflags)
    with NetworkStream(f"{web}/once/{name}", ConnectOptions(timeout_s=5)) as stream:
        assert not stream.live
        frames = list(stream)
    assert [index_of(frame.image) for frame in frames] == list(range(20))
    assert [frame.timestamp_s for frame in frames] == pytest.approx([n / 25 for n in range(20)])
    run = oneglance("run", f"{web}/once/{name}", "--model", model, "--jsonl", "-")
    assert (run.code, run.out.count("\n")) == (0, 20)


def test_a_finished_file_that_breaks_off_is_reported(tmp_path: Path, web: str) -> None:
    make_video(tmp_path / "a.ts", options={"bf": "0"})
    with NetworkStream(f"{web}/cut/a.ts", ConnectOptions(timeout_s=5)) as stream:
        frames, message = play_until(SourceBroken, stream)
    assert 0 < len(frames) < 25
    assert "the server hung up" in message


def test_a_redirect_without_end_is_reported(web: str) -> None:
    message = fails(f"{web}/loop?token=SECRET", SourceUnreadable)
    assert message == f"{web}/loop?token=*** redirects from one address to the next, without end"


def test_a_proxy_that_is_dead_is_named_and_not_the_camera(
    web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as host:
        monkeypatch.setenv("http_proxy", f"http://driver:SECRET@{host}")
        monkeypatch.delenv("no_proxy", raising=False)
        message = fails(f"{web}/mjpeg/5", SourceNotFound)
        assert f"{web}/mjpeg/5 cannot be reached: the proxy that http_proxy names cannot" in message
        assert message.endswith(f"(asked through the proxy http://***@{host})")
        assert "SECRET" not in message
        assert redact(message) == message
        monkeypatch.setenv("no_proxy", "example.org,127.0.0.1")
        NetworkStream(f"{web}/mjpeg/5", ConnectOptions(timeout_s=5)).close()


def test_what_a_proxy_answers_is_reported_as_such(
    web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", web)
    monkeypatch.delenv("no_proxy", raising=False)
    message = fails("http://camera.invalid/status", SourceUnreadable)
    assert message.endswith(f"(asked through the proxy {web})")


@pytest.mark.parametrize("kind", ["after", "untyped", "long", "short", "gzip"])
def test_a_camera_that_browsers_play_plays_here(web: str, kind: str) -> None:
    with NetworkStream(f"{web}/odd/{kind}/20", ConnectOptions(timeout_s=5)) as stream:
        assert stream.live
        frames, _ = play_until(SourceBroken, stream)
    # libav plays the first image before it stumbles; then they begin anew.
    found = [index_of(frame.image) for frame in frames]
    assert found[-20:] == list(range(20))
    assert len(found) <= 22
    left_out = stream.stats.left_out  # images that libav truncates before it stumbles
    assert [frame.index for frame in frames] == list(range(left_out, left_out + len(frames)))


def test_closing_ends_a_camera_that_only_browsers_play_at_once(web: str) -> None:
    stream = NetworkStream(f"{web}/odd/after/5000", ConnectOptions(timeout_s=60))
    ended = threading.Event()

    def play() -> None:
        for _ in stream:
            pass
        ended.set()

    threading.Thread(target=play, daemon=True).start()
    wait_until(lambda: stream.stats.delivered >= 3)
    stream.close()
    assert ended.wait(SLACK_S)


def test_a_camera_that_only_browsers_play_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Held here, so that nobody closes a connection by forgetting it.
    opened: list[SplitStream] = []
    make = SplitStream.__init__

    def noted(self: SplitStream, url: str, timeout_s: float) -> None:
        make(self, url, timeout_s)
        opened.append(self)

    monkeypatch.setattr(SplitStream, "__init__", noted)
    with http_server(tmp_path) as (alone, _):  # nobody else is connected to it
        with NetworkStream(f"{alone}/odd/after/5000") as stream:
            frames = iter(stream)  # held: leaving a loop closes the stream
            while not opened:
                next(frames)
            assert sockets_to(alone)
        wait_until(lambda: sockets_to(alone) == set())
