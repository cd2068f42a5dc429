"""Live sources of every kind, from real senders: UDP, HLS, RTSP in all its ways, TLS, odd times."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest

from http_server import http_server
from media import index_of, make_video, numbered_image
from oneglance.streams import (
    ConnectOptions,
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    UsageError,
    open_stream,
)
from oneglance.streams.errors import Reason
from oneglance.streams.files.video import VideoFile
from oneglance.streams.live.connectivity import why_unreachable
from oneglance.streams.live.network import NetworkStream
from playing import play_until
from rtsp_server import PASSWORD, USER, rtsp_server
from scripted_camera import TS_HEADER, Connection, ScriptedCamera, scripted_camera, steady
from waiting import wait_until, within

ESCAPED = PASSWORD.replace("@", "%40").replace("/", "%2F")


def encoding(container: av.container.OutputContainer, over: threading.Event) -> None:
    """Encode the images of ``media`` in real time, 25 a second, until ``over``."""
    stream = container.add_stream("libx264", rate=25, options={"bf": "0", "g": "12"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    start_s, index = time.monotonic(), 0
    while not over.wait(max(0.0, start_s + index / 25 - time.monotonic())):
        frame = av.VideoFrame.from_ndarray(numbered_image(index), format="bgr24")
        frame.pts = index
        container.mux(stream.encode(frame))
        index += 1
    container.mux(stream.encode(None))


@contextmanager
def sender(target: str, kind: str, **options: str) -> Iterator[None]:
    """A live encoder that writes to ``target`` in a thread of its own."""
    over = threading.Event()

    def send() -> None:
        with av.open(target, "w", format=kind, options=options) as container:
            encoding(container, over)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# -- kinds ---------------------------------------------------------------------------------


def test_a_transport_stream_over_udp_is_live() -> None:
    address = f"udp://127.0.0.1:{free_udp_port()}"
    with (
        sender(f"{address}?pkt_size=1316", "mpegts"),
        open_stream(address, ConnectOptions(timeout_s=8, stall_s=8)) as stream,
    ):
        assert stream.live
        frames = list(islice(stream, 40))
    shown = [index_of(frame.image) for frame in frames]
    assert [(b - a) % 25 for a, b in pairwise(shown)] == [1] * 39
    # What came while libav found out what it is comes at once, the rest not before it is sent.
    assert frames[-1].timestamp_s - frames[-20].timestamp_s > 19 / 25 - 0.3


def test_a_udp_port_that_nobody_sends_to_is_stalled_within_the_time_out() -> None:
    stalled = pytest.raises(SourceStalled, match=r"did not answer within 0\.5 s")
    options = ConnectOptions(timeout_s=0.5, stall_s=0.5)
    with within(1.5), stalled:
        open_stream(f"udp://127.0.0.1:{free_udp_port()}", options)


@pytest.mark.slow
def test_a_live_playlist_is_played_at_its_pace_and_not_in_bursts(tmp_path: Path) -> None:
    playlist = tmp_path / "live.m3u8"
    with (
        sender(str(playlist), "hls", hls_time="0.48", hls_list_size="4"),
        http_server(tmp_path) as (address, _),
    ):
        wait_until(lambda: playlist.exists() and playlist.read_text().count(".ts") >= 3)
        with open_stream(
            f"{address}/file/live.m3u8", ConnectOptions(timeout_s=8, stall_s=8)
        ) as stream:
            assert stream.live
            frames = list(islice(stream, 50))
    times_s = [frame.timestamp_s for frame in frames]
    gaps_s = sorted(b - a for a, b in pairwise(times_s))
    assert gaps_s[0] > 0
    assert gaps_s[25] > 1 / 25 - 0.015  # in bursts, most would be near 0
    assert times_s[-1] - times_s[0] > 49 / 25 - 0.3
    shown = [index_of(frame.image) for frame in frames]
    assert [(b - a) % 25 for a, b in pairwise(shown)] == [1] * 49


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_locked_rtsp_camera_opens_over_either_transport_by_either_method(
    transport: str, method: str, tmp_path: Path
) -> None:
    with rtsp_server(make_video(tmp_path / "a.mp4", frames=2), method=method) as server:
        url = server.url("locked", f"{USER}:{ESCAPED}")
        with open_stream(url, ConnectOptions(timeout_s=5, transport=transport)) as stream:
            assert len(list(islice(stream, 5))) == 5


def test_an_unknown_transport_is_reported() -> None:
    with pytest.raises(UsageError, match=r"unknown transport 'quic' \(transports: tcp, udp\)"):
        open_stream("rtsp://127.0.0.1:1/x", ConnectOptions(transport="quic"))


def test_a_camera_behind_tls_is_played(certificate: ssl.SSLContext) -> None:
    camera = ScriptedCamera(steady, tls=certificate)
    try:
        with open_stream(
            camera.url.replace("http:", "https:"), ConnectOptions(timeout_s=5)
        ) as stream:
            assert [index_of(f.image) for f in islice(stream, 5)] == list(range(5))
    finally:
        camera.over.set()
        camera.unplug()


# -- why not -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_a_host_that_does_not_speak_tls_is_reported_as_that(scheme: str) -> None:
    with scripted_camera(steady) as camera, pytest.raises(SourceNotFound) as caught:
        open_stream(f"{scheme}://127.0.0.1:{camera.port}/x", ConnectOptions(timeout_s=5))
    assert caught.value.reason is Reason.TLS
    assert "answers, but not with TLS: is it rtsp:// or http:// without the s?" in str(caught.value)


def test_why_a_host_cannot_be_reached_is_found_out() -> None:
    with scripted_camera(steady) as camera:
        there = f"127.0.0.1:{camera.port}"
        assert why_unreachable(f"http://{there}/x", 2) is Reason.UNKNOWN
        assert why_unreachable(f"https://{there}/x", 2) is Reason.TLS
    assert why_unreachable(f"http://{there}/x", 2) is Reason.REFUSED
    assert why_unreachable("rtsp://no.such.host.invalid/x", 2) is Reason.NOT_FOUND
    assert why_unreachable("rtsp://127.0.0.1:notaport/x", 2) is Reason.UNKNOWN
    assert why_unreachable("udp://", 2) is Reason.UNKNOWN


def test_an_accelerator_that_is_not_known_or_not_there_is_reported(tmp_path: Path) -> None:
    film = make_video(tmp_path / "a.mp4", frames=2)
    with pytest.raises(UsageError, match="unknown accelerator 'abacus'"):
        open_stream(film, ConnectOptions(hwaccel="abacus"))
    known = av.codec.hwaccel.hwdevices_available()
    if "cuda" in known and not Path("/dev/nvidia0").exists():
        with pytest.raises(UsageError, match="no 'cuda' accelerator can be used on this machine"):
            open_stream(film, ConnectOptions(hwaccel="cuda"))


# -- times ---------------------------------------------------------------------------------

_WRAP = 2**33  # of a transport stream's counter of 1/90 000 s
_STEP = 90_000 // 25

TIMES: dict[str, Callable[[int], int]] = {
    "zero": lambda index: 0,
    "negative": lambda index: (index - 10) * _STEP % _WRAP,
    "wrapping": lambda index: (_WRAP - 12 * _STEP + index * _STEP) % _WRAP,
    "jumping back": lambda index: (100 + index if index < 12 else index) * _STEP,
    "jumping ahead": lambda index: (index if index < 12 else 90_000 + index) * _STEP,
    "in pairs": lambda index: index // 2 * 2 * _STEP,
}


def with_times(film: Path, time_of: Callable[[int], int]) -> Path:
    """Rewrite the presentation time of each image of a transport stream without B-frames."""
    content, index = bytearray(film.read_bytes()), 0
    for at in range(0, len(content), 188):
        pes = content.find(b"\0\0\1\xe0", at, at + 188)  # the beginning of an image
        if not content[at + 1] & 0x40 or pes < 0:
            continue
        assert content[pes + 7] & 0xC0 == 0x80  # a presentation time alone
        t = time_of(index)
        content[pes + 9 : pes + 14] = bytes(
            [
                0x21 | (t >> 30 & 7) << 1,
                t >> 22 & 0xFF,
                1 | (t >> 15 & 0x7F) << 1,
                t >> 7 & 0xFF,
                1 | (t & 0x7F) << 1,
            ]
        )
        index += 1
    assert index == 25
    film.write_bytes(content)
    return film


@pytest.mark.parametrize("kind", TIMES)
def test_times_run_forward_whatever_the_source_says(kind: str, tmp_path: Path) -> None:
    film = with_times(make_video(tmp_path / "a.ts", options={"bf": "0"}), TIMES[kind])
    times_s = [frame.timestamp_s for frame in VideoFile(film)]
    assert len(times_s) == 25
    gaps_s = [b - a for a, b in pairwise(times_s)]
    assert min(gaps_s) > 0
    if kind != "jumping ahead":  # which a recording may really do
        assert max(gaps_s) < 0.1

    def play(connection: Connection) -> None:
        connection.raw(film.read_bytes(), header=TS_HEADER)

    with (
        scripted_camera(play) as camera,
        NetworkStream(camera.url, ConnectOptions(timeout_s=5)) as stream,
    ):
        frames, _ = play_until(SourceBroken, stream)
    assert len(frames) == 25
    live_s = [frame.timestamp_s for frame in frames]
    assert all(a < b for a, b in pairwise(live_s))
