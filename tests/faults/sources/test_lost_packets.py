"""Packets lost on the way from a camera: what depends on them is not passed off as intact.

libav conceals most of it without a word, and its H.265 decoder all of it.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from drives import FRAMES, GROUP, LARGE, Played, clip, differs, play, watch
from lossy_rtsp import Film, lossy_rtsp
from oneglance.streams import ConnectOptions, Frame, open_stream
from rtsp_server import rtsp_server
from silences import our_threads, sockets_to
from transport import PACKET
from waiting import wait_until

PATIENT = ConnectOptions(timeout_s=30, stall_s=30)


def smeared(found: Played, whole: list[Frame]) -> list[int]:
    """Frames that were passed off as intact, and are others than those that were sent."""
    return [f.index for f in found.frames if differs(f.image, whole[f.index % FRAMES].image)]


def every_place(film: Film) -> tuple[list[tuple[int, int]], set[tuple[int, int]], int]:
    """The packets of a group of frames, by frame and number; what is lost, one packet of each
    group and every group another one; and how many frames that takes."""
    places = [(f, k) for f in range(GROUP) for k in range(len(film.payloads(f)))]
    lost = {(GROUP * (turn + 1) + f, k) for turn, (f, k) in enumerate(places)}
    return places, lost, FRAMES * (len(places) // 2 + 2)


def is_lost(lost: set[tuple[int, int]], frame: int, packet: int) -> bool:
    return (frame, packet) in lost


@pytest.mark.parametrize(
    "name", ["h264", "h264 b-frames", "h265", "h265 open groups", "mpeg4", "mpeg4 b-frames"]
)
def test_an_rtp_packet_lost_at_any_place_smears_no_frame_and_none_is_uncounted(
    tmp_path: Path, name: str
) -> None:
    path = clip(tmp_path, "a.mp4", name, LARGE)
    whole, film = play(path).frames, Film.of(path)
    places, lost, sent = every_place(film)
    with lossy_rtsp(film, sent, partial(is_lost, lost), rate=400) as url:
        found, _ = watch(open_stream(url, PATIENT))
    assert len(places) > 30
    assert smeared(found, whole) == []
    assert found.produced == len(found.frames) + found.damaged == sent
    # What the loss left intact is delivered, not everything up to the next key frame thrown away.
    intact = sent - sum(GROUP - f for f, _ in places)
    assert len(found.frames) > 0.9 * intact


@pytest.mark.parametrize("late", [0, 5, -1])
@pytest.mark.parametrize("name", ["h264", "h265", "mpeg4"])
def test_a_farewell_never_overtakes_the_last_datagrams(
    tmp_path: Path, name: str, late: int
) -> None:
    path = clip(tmp_path, "a.mp4", name, LARGE)
    whole, film = play(path).frames, Film.of(path)
    options = replace(PATIENT, transport="udp")
    # All at once: most of it waits unread when the farewell comes.
    with lossy_rtsp(film, FRAMES, lambda _, __: False, rate=10_000, farewell=late) as url:
        found, _ = watch(open_stream(url, options))
    assert smeared(found, whole) == []
    assert (len(found.frames), found.damaged, found.produced) == (FRAMES, 0, FRAMES)


@pytest.mark.parametrize("name", ["h264", "h265", "mpeg4"])
def test_a_datagram_lost_at_any_place_smears_no_frame_and_none_is_uncounted(
    tmp_path: Path, name: str
) -> None:
    path = clip(tmp_path, "a.mp4", name, LARGE)
    whole, film = play(path).frames, Film.of(path)
    _, lost, sent = every_place(film)
    options = replace(PATIENT, transport="udp")
    with lossy_rtsp(film, sent, partial(is_lost, lost), rate=200, farewell=0) as url:
        found, _ = watch(open_stream(url, options))
    assert smeared(found, whole) == []
    assert found.produced == len(found.frames) + found.damaged == sent


@pytest.mark.parametrize("until", [36, 60, 84, 101])
@pytest.mark.parametrize("name", ["h264", "h265", "mpeg4"])
def test_an_outage_costs_what_depends_on_it_and_shifts_no_index(
    tmp_path: Path, name: str, until: int
) -> None:
    path, sent = clip(tmp_path, "a.mp4", name, LARGE), 6 * FRAMES
    whole, film = play(path).frames, Film.of(path)
    with lossy_rtsp(film, sent, lambda frame, _: 30 <= frame < until, rate=400) as url:
        found, _ = watch(open_stream(url, PATIENT))
    assert smeared(found, whole) == []
    clean = -(-until // GROUP) * GROUP
    assert [frame.index for frame in found.frames] == [*range(30), *range(clean, sent)]
    assert (found.damaged, found.produced) == (clean - 30, sent)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("name", ["h264", "h265", "mpeg4"])
def test_packets_lost_from_a_real_server_cost_what_depends_on_them(
    tmp_path: Path, name: str, transport: str
) -> None:
    options = replace(PATIENT, transport=transport)
    path = clip(tmp_path, "a.mp4", name, LARGE)
    whole = play(path).frames
    for lost, until in (((4, 1), GROUP), ((8, 0), GROUP), ((14, 0), FRAMES)):
        with rtsp_server(path, codec=name, loses=[lost]) as server:
            found, _ = watch(open_stream(server.url("clip"), options))
        assert smeared(found, whole) == [], lost
        expected = [*range(lost[0]), *range(until, FRAMES)]
        assert [frame.index for frame in found.frames] == expected, lost
        assert found.damaged == until - lost[0], lost
        assert found.produced == FRAMES, lost


def test_of_several_cameras_only_the_one_that_loses_packets_has_damaged_frames(
    tmp_path: Path,
) -> None:
    path = clip(tmp_path, "a.mp4", "h265", LARGE)
    film, sent = Film.of(path), 4 * FRAMES
    found: dict[int, Played] = {}
    with ExitStack() as stack:
        losing: list[set[tuple[int, int]]] = [set(), {(GROUP + 3, 0)}, set()]
        urls = [
            stack.enter_context(lossy_rtsp(film, sent, partial(is_lost, lost))) for lost in losing
        ]

        def see(number: int) -> None:
            found[number] = watch(open_stream(urls[number], PATIENT))[0]

        threads = [threading.Thread(target=see, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[number].damaged for number in range(3)] == [0, GROUP - 3, 0]
    assert [found[number].produced for number in range(3)] == [sent] * 3


_DATAGRAM = 7 * PACKET


@pytest.mark.parametrize("name", ["h264", "h265", "mpeg4"])
def test_datagrams_of_a_transport_stream_that_are_lost_smear_no_frame_and_shift_no_index(
    tmp_path: Path, name: str
) -> None:
    path = clip(tmp_path, "a.ts", name, LARGE, loops=16)
    whole, content = play(path).frames[:FRAMES], path.read_bytes()
    datagrams = [content[at : at + _DATAGRAM] for at in range(0, len(content), _DATAGRAM)]
    url, lost = f"udp://127.0.0.1:{free_port()}", set(range(60, len(datagrams) - 60, 17))

    def send() -> None:
        wait_until(lambda: bool(sockets_to(url)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            for number, datagram in enumerate(datagrams):
                if number not in lost:
                    sender.send(datagram)
                time.sleep(0.001)  # slower than a small buffer fills

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    found, _ = watch(open_stream(url, ConnectOptions(timeout_s=30, stall_s=2)))
    thread.join()
    assert smeared(found, whole) == []
    assert len(found.frames) > FRAMES
    assert found.damaged > len(lost)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not our_threads(), our_threads, within_s=5)


@pytest.mark.usefixtures("nothing_is_left")
def test_losses_are_noticed_behind_a_redirect(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.mp4", "h265", LARGE)
    film, sent = Film.of(path), 2 * FRAMES
    with lossy_rtsp(film, sent, lambda f, k: (f, k) == (15, 0), moved=True) as url:
        found, _ = watch(open_stream(url, PATIENT))
    assert (found.produced, found.damaged) == (sent, FRAMES - 15)


@pytest.mark.usefixtures("nothing_is_left")
def test_losses_are_noticed_within_tls(tmp_path: Path, certificate: ssl.SSLContext) -> None:
    path = clip(tmp_path, "a.mp4", "h265", LARGE)
    film, sent = Film.of(path), 2 * FRAMES
    with lossy_rtsp(film, sent, lambda f, k: (f, k) == (15, 0), tls=certificate) as url:
        found, _ = watch(open_stream(url, PATIENT))
    assert (found.produced, found.damaged) == (sent, FRAMES - 15)
