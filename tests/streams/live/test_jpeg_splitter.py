"""JPEGs cut out of whatever stands between them."""

from __future__ import annotations

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import numbered_image
from oneglance.streams.live.jpeg_splitter import JpegSplitter
from scripted_camera import jpeg

PROGRESSIVE = cv2.imencode(
    ".jpg", numbered_image(3), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
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
    splitter, found, at, turn = JpegSplitter(), [], 0, 0
    while at < len(content):
        found += splitter.feed(content[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    assert found == images


def test_an_image_is_given_out_with_its_last_byte() -> None:
    splitter = JpegSplitter()
    assert splitter.feed(jpeg(0)[:-1]) == []
    assert splitter.feed(jpeg(0)[-1:]) == [jpeg(0)]


def test_an_image_that_breaks_off_costs_no_other() -> None:
    found = JpegSplitter().feed(jpeg(0)[:600] + b"\r\n--frame\r\n\r\n" + jpeg(1) + jpeg(2))
    assert found[-2:] == [jpeg(1), jpeg(2)]


@pytest.mark.parametrize("begin", [b"", b"\xff\xd8\xff\xda\0\x02", b"\xff\xd8"])
@pytest.mark.parametrize("junk", [b"y" * 1000, b"\xff" * 1000])
def test_what_never_ends_is_not_held(begin: bytes, junk: bytes) -> None:
    splitter = JpegSplitter(largest=50_000)
    splitter.feed(begin)
    for _ in range(500):
        assert splitter.feed(junk) == []
        assert len(splitter._held) <= 52_000
    assert jpeg(4) in splitter.feed(b"\0\0" + jpeg(4) + jpeg(5))


@given(st.binary(max_size=3000))
def test_no_bytes_are_too_odd(content: bytes) -> None:
    splitter = JpegSplitter(largest=1000)
    for at in range(0, len(content), 7):
        splitter.feed(b"\xff\xd8\xff" + content[at : at + 7])
    assert len(splitter._held) < 20_000
