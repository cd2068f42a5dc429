"""Addresses without a length that give the same again: recordings, which end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path

import pytest

from http_server import http_server
from media import KINDS, index_of, make_video, numbered_image
from oneglance.streams.errors import Reason, SourceBroken
from oneglance.streams.live import repetition
from oneglance.streams.live.backoff import Backoff
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.live.reconnecting import open_with_reconnect
from oneglance.streams.live.states import Event, State
from oneglance.streams.options import ConnectOptions
from program import Program
from scripted_camera import TS_HEADER, Connection, scripted_camera

PATIENT = ConnectOptions(timeout_s=20, stall_s=20, backoff=Backoff(first_s=0.01, ceiling_s=0.01))
INTRA = {"bf": "0", "g": "8", "rc-lookahead": "0", "mbtree": "0", "threads": "1"}
LONG = 80
assert LONG > repetition.SURE


def plays(*contents: bytes, header: bytes = TS_HEADER) -> Callable[[Connection], None]:
    """One of ``contents`` for each connection; the last one again and again."""

    def play(connection: Connection) -> None:
        connection.raw(contents[min(connection.number, len(contents) - 1)], header=header)

    return play


def shown(url: str, options: ConnectOptions = PATIENT) -> tuple[list[int], list[Event]]:
    events: list[Event] = []
    with open_with_reconnect(url, options, on_event=events.append) as stream:
        indexes = [(frame.index, index_of(frame.image)) for frame in stream]
        status = stream.status()
    assert [index for index, _ in indexes] == list(range(len(indexes)))
    assert (status.received, status.corrupt) == (len(indexes), 0)
    return [image for _, image in indexes], events


def counted(*parts: range) -> list[int]:
    return [index % KINDS for index in chain(*parts)]


def film(path: Path, frames: int) -> bytes:
    return make_video(path, frames=frames, options=INTRA).read_bytes()


@pytest.mark.parametrize("frames", [2, 20, LONG])
@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.h264"])
def test_a_recording_of_no_length_is_played_once(tmp_path: Path, name: str, frames: int) -> None:
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    make_video(tmp_path / name, frames=frames, codec=codec, options={"bf": "0"})
    with http_server(tmp_path) as (web, _):
        images, events = shown(f"{web}/unsized/{name}")
    assert images == counted(range(frames))
    assert (events[-1].after, events[-1].reason) == (State.CLOSED, Reason.ENDED)


def test_a_run_of_one_ends_by_itself(tmp_path: Path, model: Path, oneglance: Program) -> None:
    make_video(tmp_path / "a.ts", frames=20)
    with http_server(tmp_path) as (web, _):
        run = oneglance("run", f"{web}/unsized/a.ts", "--model", model, "--json-summary", "-")
    assert run.code == 0, run.err


def test_in_chunks_it_is_played_once_too(tmp_path: Path) -> None:
    content = film(tmp_path / "a.ts", LONG)
    pieces = [content[at : at + 7000] for at in range(0, len(content), 7000)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    header = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nTransfer-Encoding: chunked\r\n\r\n"
    with scripted_camera(plays(body, header=header)) as camera:
        assert shown(camera.url)[0] == counted(range(LONG))


def test_what_was_cut_the_first_time_comes_the_second_and_nothing_twice(tmp_path: Path) -> None:
    content = film(tmp_path / "a.ts", LONG)
    part = content[: len(content) * 4 // 5]
    with (
        scripted_camera(plays(part, content)) as camera,
        open_with_reconnect(camera.url, PATIENT) as stream,
    ):
        images = [index_of(frame.image) for frame in stream]
        status = stream.status()
    assert camera.connections == 3
    assert images == counted(range(LONG))
    assert status.corrupt <= 1  # the last packet of the part is one in part


def test_less_of_the_same_is_left_out_and_asked_for_again(tmp_path: Path) -> None:
    content = film(tmp_path / "a.ts", LONG)
    part = content[: len(content) * 4 // 5]
    with (
        scripted_camera(plays(content, part, content)) as camera,
        open_with_reconnect(camera.url, PATIENT) as stream,
    ):
        images = [index_of(frame.image) for frame in stream]
        status = stream.status()
    assert camera.connections == 3
    assert images == counted(range(LONG))
    assert status.corrupt <= 1  # the last packet of the part is one in part


@pytest.mark.parametrize("same", [10, LONG])
def test_a_camera_that_begins_alike_plays_on(tmp_path: Path, same: int) -> None:
    first = film(tmp_path / "a.ts", same)
    second = film(tmp_path / "b.ts", same + 30)
    with (
        scripted_camera(plays(first, second, second[-188:])) as camera,
        open_with_reconnect(camera.url, PATIENT) as stream,
    ):
        images = [index_of(f.image) for f in islice(stream, same + 30)]
    assert images == counted(range(same + 30))


def test_a_camera_that_differs_after_a_while_loses_nothing(tmp_path: Path) -> None:
    alike = [numbered_image(index) for index in range(30)]
    other = [numbered_image(index) for index in range(1, 25)]
    make_video(tmp_path / "a.ts", images=alike, options=INTRA)
    make_video(tmp_path / "b.ts", images=alike[:20] + other, options=INTRA)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.ts", "b.ts"))
    with (
        scripted_camera(plays(first, second)) as camera,
        open_with_reconnect(camera.url, PATIENT) as stream,
    ):
        images = [index_of(f.image) for f in stream]
    assert images == counted(range(30), range(20), range(1, 25))


def test_the_same_that_comes_slowly_is_no_silence(tmp_path: Path) -> None:
    content = film(tmp_path / "a.ts", LONG)
    beginning = len(content) * 3 // 4

    def play(connection: Connection) -> None:
        connection.raw(content[:beginning], header=TS_HEADER)
        for at in range(beginning, len(content), 1000):
            if connection.number:
                connection.wait(0.2)
            connection.raw(content[at : at + 1000])

    impatient = ConnectOptions(timeout_s=20, stall_s=1, backoff=PATIENT.backoff)
    with scripted_camera(play) as camera:
        images, _ = shown(camera.url, impatient)
        assert camera.connections == 2
    assert images == counted(range(LONG))


def test_of_a_connection_that_is_too_long_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetition, "MOST_PACKETS", 60)
    content = film(tmp_path / "a.ts", LONG)
    with (
        scripted_camera(plays(content)) as camera,
        open_with_reconnect(camera.url, PATIENT) as stream,
    ):
        images = [index_of(frame.image) for frame in islice(stream, 2 * LONG)]
    assert images == counted(range(LONG), range(LONG))


def test_a_connection_of_its_own_ends_as_the_server_ends_it(tmp_path: Path) -> None:
    content = film(tmp_path / "a.ts", 20)
    with scripted_camera(plays(content)) as camera:
        for _ in range(2):
            with NetworkStream(camera.url, PATIENT) as stream, pytest.raises(SourceBroken):
                list(stream)
