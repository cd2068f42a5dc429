"""How an HTTP answer ended, and that reading one never fails."""

from __future__ import annotations

import errno

import pytest

from oneglance.streams.live.answers import HttpAnswer
from scripted_camera import says, scripted_camera

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED, SIZED = OK + b"Transfer-Encoding: chunked\r\n\r\n", OK + b"Content-Length: 9\r\n\r\n"
CONTENT = b"video"

ENDINGS: dict[str, tuple[bytes, type[OSError] | None, int | None]] = {
    "last chunk": (CHUNKED + b"5\r\nvideo\r\n0\r\n\r\n", None, None),
    "no last chunk": (CHUNKED + b"5\r\nvideo\r\n", ConnectionResetError, errno.ECONNRESET),
    "half a chunk": (CHUNKED + b"50\r\nvideo", ConnectionResetError, errno.ECONNRESET),
    "no chunk": (CHUNKED + b"5\r\nvideo\r\nzzz\r\n", ConnectionResetError, errno.ECONNRESET),
    "too short": (SIZED + CONTENT, ConnectionResetError, errno.ECONNRESET),
    "whole": (SIZED.replace(b"9", b"5") + CONTENT, None, None),
    "hung up": (OK + b"\r\n" + CONTENT, OSError, errno.EIO),
}


def read(answer: HttpAnswer) -> bytes:
    came = b""
    while piece := answer.read(100):
        came += piece
    assert answer.read(100) == b""
    answer.close()
    return came


@pytest.mark.parametrize("how", ENDINGS)
def test_what_came_is_read_and_the_end_is_known_for_what_it_is(how: str) -> None:
    said, kind, number = ENDINGS[how]
    with scripted_camera(says(said)) as camera:
        answer = HttpAnswer(camera.url, 10)
        assert read(answer) == CONTENT
    assert (type(answer.failure) if answer.failure else None) is kind
    assert (answer.failure.errno if answer.failure else None) == number


def test_silence_ends_it_in_time() -> None:
    with scripted_camera(says(CHUNKED + b"5\r\nvideo\r\n", then_silent=True)) as camera:
        answer = HttpAnswer(camera.url, 0.5)
        assert read(answer) == CONTENT
    assert isinstance(answer.failure, TimeoutError)


def test_what_is_packed_is_left_to_libav() -> None:
    packed = OK + b"Content-Encoding: gzip\r\n\r\n"
    with scripted_camera(says(packed)) as camera, pytest.raises(OSError, match="packed"):
        HttpAnswer(camera.url, 10)
