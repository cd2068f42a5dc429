"""Answers of images in parts (MJPEG) that end: a recording has ended, a camera goes on."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import chain, islice

import pytest

from media import index_of
from oneglance.streams import Frame, SourceBroken
from oneglance.streams.errors import Reason
from oneglance.streams.live import repetition
from oneglance.streams.live.backoff import Backoff
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.live.reconnecting import open_with_reconnect
from oneglance.streams.live.states import Event, State
from oneglance.streams.options import ConnectOptions
from playing import play_until
from program import Program
from scripted_camera import Connection, jpeg, scripted_camera

QUICK = ConnectOptions(timeout_s=20, stall_s=20, backoff=Backoff(first_s=0.01, ceiling_s=0.01))
FRAMES = 6
CLOSED = b"--b--\r\n"


def parts(indexes: range, *, typed: bool = True, sized: bool = True) -> bytes:
    content = b""
    for index in indexes:
        image = jpeg(index)
        head = b"--b\r\n" + b"Content-Type: image/jpeg\r\n" * typed
        content += head + b"Content-Length: %d\r\n" % len(image) * sized
        content += b"\r\n" + image + b"\r\n"
    return content


def head(*more: bytes, boundary: bytes = b"b") -> bytes:
    kind = b"Content-Type: multipart/x-mixed-replace; boundary=" + boundary
    return b"\r\n".join([b"HTTP/1.1 200 OK", kind, *more, b"", b""])


def hung_up(content: bytes) -> bytes:
    return head() + content


def of_a_length(content: bytes) -> bytes:
    return head(b"Content-Length: %d" % len(content)) + content


def in_chunks(content: bytes, *, last: bool = True) -> bytes:
    pieces = [content[at : at + 3000] for at in range(0, len(content), 3000)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head(b"Transfer-Encoding: chunked") + body + b"0\r\n\r\n" * last


def gives(*answers: bytes) -> Callable[[Connection], None]:
    """One of them for each connection; the last one again and again."""

    def play(connection: Connection) -> None:
        connection.raw(answers[min(connection.number, len(answers) - 1)], header=b"")

    return play


def images(frames: list[Frame]) -> list[int]:
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return [index_of(frame.image) for frame in frames]


ENDED = {
    "length": of_a_length(parts(range(FRAMES))),
    "length, closed": of_a_length(parts(range(FRAMES)) + CLOSED),
    "chunks": in_chunks(parts(range(FRAMES))),
    "chunks, closed": in_chunks(parts(range(FRAMES)) + CLOSED),
    "parts of no length": in_chunks(parts(range(FRAMES), sized=False) + CLOSED),
    "parts of no length, not closed": in_chunks(parts(range(FRAMES), sized=False)),
    "parts of no type": in_chunks(parts(range(FRAMES), typed=False)),
    "parts of no type, closed": hung_up(parts(range(FRAMES), typed=False) + CLOSED),
}


@pytest.mark.parametrize("how", ENDED)
def test_a_recording_in_parts_is_played_once(how: str) -> None:
    events: list[Event] = []
    with (
        scripted_camera(gives(ENDED[how])) as camera,
        open_with_reconnect(camera.url, QUICK, on_event=events.append) as stream,
    ):
        assert images(list(stream)) == list(range(FRAMES))
        status = stream.status()
    assert (events[-1].after, events[-1].reason) == (State.CLOSED, Reason.ENDED)
    assert (status.received, status.corrupt) == (FRAMES, 0)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("boundary", [b"b", b"--b", b'"b"'])
def test_one_that_ends_by_its_closing_boundary_alone_is_played_once_too(
    boundary: bytes, sized: bool, packed: bool
) -> None:
    """The first answer is read by libav, which does not show that: what comes again is held back
    until the second one shows it."""
    body = parts(range(FRAMES), sized=sized) + CLOSED
    content = head(b"Content-Encoding: gzip", boundary=boundary) + gzip.compress(body)
    content = content if packed else head(boundary=boundary) + body
    with scripted_camera(gives(content)) as camera, open_with_reconnect(camera.url, QUICK) as film:
        assert images(list(film)) == list(range(FRAMES))
        assert film.status().received == FRAMES
        assert camera.connections == 2


@pytest.mark.parametrize("limit", ["HELD_S", "MOST_HELD"])
def test_nothing_is_held_back_for_long(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, limit, 0)
    content = hung_up(parts(range(FRAMES)) + CLOSED)
    with scripted_camera(gives(content)) as camera, open_with_reconnect(camera.url, QUICK) as film:
        assert images(list(film)) == [*range(FRAMES)] * 2


def test_a_run_of_one_ends_by_itself(model: str, oneglance: Program) -> None:
    with scripted_camera(gives(of_a_length(parts(range(FRAMES)) + CLOSED))) as camera:
        run = oneglance("run", camera.url, "--model", model, "--json-summary", "-")
    assert run.code == 0, run.err


def test_one_that_breaks_off_at_the_same_place_is_broken() -> None:
    cut = in_chunks(parts(range(FRAMES)), last=False)
    with scripted_camera(gives(cut)) as camera, open_with_reconnect(camera.url, QUICK) as stream:
        frames, message = play_until(SourceBroken, stream)
    assert images(frames) == list(range(FRAMES))
    assert "ends too early, after 6 frames" in message


@pytest.mark.parametrize("answer", [of_a_length, in_chunks, hung_up])
@pytest.mark.parametrize("close", [CLOSED, b""])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_camera_that_ends_its_answers_and_gives_new_images_goes_on(
    answer: Callable[[bytes], bytes], close: bytes, step: int
) -> None:
    runs = [range(first, first + step) for first in range(0, 8 * step, step)]
    with (
        scripted_camera(gives(*(answer(parts(run) + close) for run in runs))) as camera,
        open_with_reconnect(camera.url, QUICK) as stream,
    ):
        frames = list(islice(stream, 8 * step))
    assert images(frames) == [index % 25 for index in chain(*runs)]


@pytest.mark.parametrize("answer", [of_a_length, in_chunks])
def test_one_whose_answers_begin_alike_loses_nothing(answer: Callable[[bytes], bytes]) -> None:
    first, other = parts(range(4)), parts(range(3)) + parts(range(9, 12))
    with (
        scripted_camera(
            gives(answer(first), answer(other), answer(parts(range(12, 20))))
        ) as camera,
        open_with_reconnect(camera.url, QUICK) as stream,
    ):
        frames = list(islice(stream, 4 + 6 + 8))
    assert images(frames) == [*range(4), *range(3), *range(9, 12), *range(12, 20)]


@pytest.mark.parametrize("count", [1, 4])
def test_one_that_sees_the_same_all_the_time_goes_on(count: int) -> None:
    answer = of_a_length(parts(range(3, 4)) * count + CLOSED)
    with scripted_camera(gives(answer)) as camera, open_with_reconnect(camera.url, QUICK) as stream:
        assert images(list(islice(stream, 5 * count))) == [3] * 5 * count


def test_one_that_hangs_up_and_gives_the_same_goes_on() -> None:
    answer = hung_up(parts(range(FRAMES)))
    with scripted_camera(gives(answer)) as camera, open_with_reconnect(camera.url, QUICK) as stream:
        assert images(list(islice(stream, 5 * FRAMES))) == [*range(FRAMES)] * 5


@pytest.mark.parametrize("how", ENDED)
def test_as_a_recording_it_ends_where_its_answer_does(how: str) -> None:
    with scripted_camera(gives(ENDED[how])) as camera, NetworkStream(camera.url, QUICK) as stream:
        stream.record()
        assert images(list(stream)) == list(range(FRAMES))


def test_as_a_recording_it_is_broken_where_the_server_hangs_up() -> None:
    with (
        scripted_camera(gives(hung_up(parts(range(FRAMES))))) as camera,
        NetworkStream(camera.url, QUICK) as stream,
    ):
        stream.record()
        frames, message = play_until(SourceBroken, stream)
    assert images(frames) == list(range(FRAMES))
    assert message.endswith("was lost after 6 frames: the server hung up")
