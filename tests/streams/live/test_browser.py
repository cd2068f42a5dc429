"""The images behind an HTTP address, from servers that break off: no connection is left open."""

from __future__ import annotations

import pytest

from oneglance.streams.live.browser import SplitStream
from scripted_camera import jpeg, says, scripted_camera
from silences import sockets_to
from waiting import LONG_S

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n"


GZIP = ANSWER.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
BROKEN_OFF = {
    "no HTTP": (says(b"no HTTP at all\r\n\r\n"), "BadStatusLine"),
    "refused": (says(b"HTTP/1.1 404 Not Found\r\n\r\n"), "no answer"),
    "odd redirect": (says(b"HTTP/1.1 302 Found\r\nLocation: http://[/\r\n\r\n"), "ValueError"),
    "no image": (says(ANSWER + b"no image"), "no image"),
    "no gzip": (says(GZIP + b"no gzip at all"), "error"),
}
SILENT = {"no answer": says(b"", then_silent=True), "no body": says(ANSWER, then_silent=True)}


@pytest.mark.parametrize("how", BROKEN_OFF)
def test_a_failed_opening_leaves_no_connection(how: str) -> None:
    script, why = BROKEN_OFF[how]
    with scripted_camera(script) as camera:
        # What is caught keeps alive all that it came through, the connection too.
        with pytest.raises(OSError, match=why) as caught:
            SplitStream(camera.url, LONG_S)
        assert camera.connections == 1
        assert sockets_to(camera.url) == set(), caught.value


@pytest.mark.parametrize("where", SILENT)
def test_one_that_is_silent_is_hung_up_on_in_time(where: str) -> None:
    with scripted_camera(SILENT[where]) as camera:
        with pytest.raises(TimeoutError) as caught:
            SplitStream(camera.url, timeout_s=0.2)
        assert sockets_to(camera.url) == set(), caught.value


def test_the_images_come_and_closing_hangs_up() -> None:
    with scripted_camera(says(ANSWER + jpeg(0) + jpeg(1), then_silent=True)) as camera:
        stream = SplitStream(camera.url, LONG_S)
        found = stream.read(1 << 20)
        assert jpeg(0) in found
        assert sockets_to(camera.url)
        stream.close()
        assert sockets_to(camera.url) == set()
