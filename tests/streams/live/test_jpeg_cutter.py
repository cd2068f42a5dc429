"""JPEGs cut out of whatever stands between them."""

from __future__ import annotations

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import picture
from oneglance.streams.live.jpeg_cutter import JpegCutter
from scripted_camera import jpeg

PROGRESSIVE = cv2.imencode(
    ".jpg", picture(3), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
)[1].tobytes()
WITH_THUMBNAIL = (
    jpeg(5)[:2] + b"\xff\xe1" + (len(jpeg(6)) + 2).to_bytes(2, "big") + jpeg(6) + jpeg(5)[2:]
)
IMAGES = [jpeg(0), jpeg(1), PROGRESSIVE, WITH_THUMBNAIL]


@given(
    st.lists(st.sampled_from(IMAGES), min_size=1, max_size=4),
    st.sampled_from(
        [b"", b"\r\n--frame\r\nContent-Length: 7\r\n\r\n", b"\0" * 9, b"\xff\xd8 \xff"]
    ),
    st.lists(st.integers(1, 900), min_size=1, max_size=8),
)
def test_every_image_comes_out_whole_however_its_bytes_come(
    images: list[bytes], between: bytes, sizes: list[int]
) -> None:
    content = between + between.join([*images, b""])
    cutter, found, at, turn = JpegCutter(), [], 0, 0
    while at < len(content):
        found += cutter.feed(content[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    assert found == images


def test_an_image_is_given_out_with_its_last_byte() -> None:
    cutter = JpegCutter()
    assert cutter.feed(jpeg(0)[:-1]) == []
    assert cutter.feed(jpeg(0)[-1:]) == [jpeg(0)]


def test_an_image_that_breaks_off_costs_no_other() -> None:
    found = JpegCutter().feed(jpeg(0)[:600] + b"\r\n--frame\r\n\r\n" + jpeg(1) + jpeg(2))
    assert found[-2:] == [jpeg(1), jpeg(2)]


@pytest.mark.parametrize("begin", [b"", b"\xff\xd8\xff\xda\0\x02", b"\xff\xd8"])
@pytest.mark.parametrize("junk", [b"y" * 1000, b"\xff" * 1000])
def test_what_never_ends_is_not_held(begin: bytes, junk: bytes) -> None:
    cutter = JpegCutter(largest=50_000)
    cutter.feed(begin)
    for _ in range(500):
        assert cutter.feed(junk) == []
        assert len(cutter._held) <= 52_000
    assert jpeg(4) in cutter.feed(b"\0\0" + jpeg(4) + jpeg(5))


@given(st.binary(max_size=3000))
def test_no_bytes_are_too_odd(content: bytes) -> None:
    cutter = JpegCutter(largest=1000)
    for at in range(0, len(content), 7):
        cutter.feed(b"\xff\xd8\xff" + content[at : at + 7])
    assert len(cutter._held) < 20_000
