from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from media import numbered_image
from oneglance.streams.files.jpeg import is_cut_jpeg, is_damaged_jpeg

IMAGE = numbered_image(3, (320, 240))
KINDS = {
    "plain": [],
    "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "fine": [cv2.IMWRITE_JPEG_QUALITY, 100],
}
kinds = pytest.mark.parametrize("kind", KINDS)
END = b"\xff\xd9"


def jpeg(kind: str = "plain", pixels: np.ndarray = IMAGE) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, KINDS[kind])[1].tobytes())


@kinds
@pytest.mark.parametrize("tail", [b"", b"\0" * 99, b"a camera's own notes"])
def test_a_whole_one_is_whole_whatever_follows(kind: str, tail: bytes) -> None:
    assert not is_damaged_jpeg(jpeg(kind) + tail)
    assert not is_damaged_jpeg(jpeg(kind, IMAGE[..., 0]) + tail)


@pytest.mark.parametrize("kind", ["plain", "restarts", "fine"])
def test_one_that_lacks_its_end_marker_alone_is_whole(kind: str) -> None:
    assert not is_damaged_jpeg(jpeg(kind).removesuffix(END))
    assert not is_damaged_jpeg(jpeg(kind).removesuffix(b"\xd9"))


def test_padding_before_the_end_is_no_damage() -> None:
    for filling in (b"\0" * 7, b"\0" * 500):
        assert not is_damaged_jpeg(jpeg().removesuffix(END) + filling + END)


@kinds
@pytest.mark.parametrize("keep", [0.3, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("end", [b"", END], ids=["cut", "cut and closed"])
def test_one_that_was_truncated_is_damaged_with_an_end_marker_too(
    kind: str, keep: float, end: bytes
) -> None:
    whole = jpeg(kind)
    assert is_damaged_jpeg(whole[: int(len(whole) * keep)] + end)


@kinds
@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_one_with_a_hole_of_zeros_is_damaged_though_its_end_is_there(
    kind: str, place: float
) -> None:
    whole = jpeg(kind)
    at = int(place * len(whole))
    assert is_cut_jpeg(memoryview(whole[:at] + bytes(512) + whole[at + 512 :]))
    assert not is_cut_jpeg(memoryview(whole))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_zeros_that_are_codes_of_an_empty_image_are_no_hole(level: int) -> None:
    flat = np.full((480, 640), level, np.uint8)
    whole = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1].tobytes()
    assert bytes(128) in whole
    assert not is_cut_jpeg(memoryview(whole))


@pytest.mark.parametrize("pixels", [IMAGE, IMAGE[..., 0]], ids=["colours", "grey"])
def test_a_progressive_one_that_ends_between_two_scans_is_damaged(pixels: np.ndarray) -> None:
    whole = jpeg("progressive", pixels)
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for scan in scans[1:]:
        assert is_damaged_jpeg(whole[:scan] + END)


@pytest.mark.parametrize("at", [0.4, 0.7, 0.9])
def test_one_with_a_run_of_wrong_bytes_is_damaged(at: float) -> None:
    content = bytearray(jpeg())
    place = int(len(content) * at)
    content[place : place + 64] = bytes(64)
    assert is_damaged_jpeg(bytes(content))


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"BM"])
def test_what_is_no_jpeg_is_no_damaged_one(content: bytes) -> None:
    assert not is_damaged_jpeg(content)


@pytest.mark.parametrize(
    ("name", "damaged"), [("noeoi", False), ("cut_then_eoi", True), ("bitrot", True)]
)
def test_what_people_have_met(shared: Path, name: str, damaged: bool) -> None:
    content = (shared / "faults" / "streams" / "images" / f"{name}.jpg").read_bytes()
    assert is_damaged_jpeg(content) is damaged
