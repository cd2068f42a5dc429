"""Headers of real encodes, and of bytes that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.decoding.bitstream import CodedFrame, Refresh, inspector

MakeVideo = Callable[..., Path]


def seen(path: Path, *, leave_out: int | None = None) -> list[CodedFrame]:
    """What every packet of a video says, in decoding order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        see = inspector(context.name, context.extradata, intra_only=context.codec.intra_only)
        return [
            see(memoryview(packet), packet.is_keyframe)
            for number, packet in enumerate(container.demux(stream))
            if packet.size and number != leave_out
        ]


X264 = {"g": "5", "keyint_min": "5", "sc_threshold": "0", "b_strategy": "0"}
X265 = "log-level=none:keyint=5:min-keyint=5:scenecut=0:b-adapt=0:open-gop=0"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize(
    ("codec", "options", "first"),
    [
        ("libx264", {**X264, "bf": "0"}, Refresh.FULL),
        ("libx264", {**X264, "bf": "2"}, Refresh.FULL),
        ("libx265", {"x265-params": f"{X265}:bframes=0"}, Refresh.FULL),
        ("libx265", {"x265-params": f"{X265}:bframes=2"}, Refresh.FULL),
        ("mpeg4", {"g": "5", "bf": "2", "sc_threshold": "1000000000"}, Refresh.OPEN),
    ],
)
def test_key_frames_refresh_and_b_frames_are_no_references(
    video: MakeVideo, name: str, codec: str, options: dict[str, str], first: Refresh
) -> None:
    found = seen(video(name, codec=codec, options=options, frames=15))
    refreshed = [number for number, image in enumerate(found) if image.refresh is not Refresh.NONE]
    assert len(refreshed) >= 3
    assert refreshed[0] == 0
    assert {found[number].refresh for number in refreshed} == {first}
    waits = (
        "bf" in str(options) and "bf': '0" not in str(options) and "bframes=0" not in str(options)
    )
    assert any(not image.is_reference for image in found) == waits
    assert all(image.lost_before == 0 for image in found)


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
@pytest.mark.parametrize("lost", [2, 7])
def test_h264_misses_a_reference_that_is_not_there(video: MakeVideo, name: str, lost: int) -> None:
    found = seen(video(name, options={**X264, "bf": "0"}, frames=15), leave_out=lost)
    assert [number for number, image in enumerate(found) if image.lost_before] == [lost]
    assert found[lost].lost_before == 1


def test_intra_refresh_is_gradual(video: MakeVideo) -> None:
    options = {**X264, "intra-refresh": "1", "bf": "0"}
    found = seen(video("a.mp4", options=options, frames=20, size=(128, 96)))
    gradual = [image for image in found if image.refresh is Refresh.GRADUAL]
    assert gradual
    assert all(image.recovery > 0 for image in gradual)


def test_open_groups_of_h265_have_leading_frames(video: MakeVideo) -> None:
    params = X265.replace("open-gop=0", "open-gop=1") + ":bframes=2"
    found = seen(video("a.mp4", codec="libx265", options={"x265-params": params}, frames=15))
    assert found[0].refresh in (Refresh.FULL, Refresh.OPEN)
    assert any(image.refresh is Refresh.OPEN for image in found)
    assert any(image.leads for image in found)


def test_every_frame_of_a_coding_without_references_refreshes(video: MakeVideo) -> None:
    found = seen(video("a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=3))
    assert [image.refresh for image in found] == [Refresh.FULL] * 3


@given(
    codec=st.sampled_from(["h264", "hevc", "mpeg4", "mpeg2video", "vp9"]),
    extradata=st.binary(max_size=64),
    packets=st.lists(st.binary(max_size=96), max_size=4),
)
def test_bytes_that_are_no_frame_raise_nothing(
    codec: str, extradata: bytes, packets: list[bytes]
) -> None:
    see = inspector(codec, extradata, intra_only=False)
    for packet in packets:
        for start in (
            b"",
            b"\0\0\1\x67",
            b"\0\0\1\x68",
            b"\0\0\1\x65",
            b"\0\0\1\x06",
            b"\0\0\1\x4e\1",
        ):
            assert isinstance(see(memoryview(start + packet), False), CodedFrame)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("length_size", [0, 4])
def test_zeros_inside_a_slice_are_a_hole_and_those_behind_it_are_filling(
    codec: str, length_size: int
) -> None:
    extradata = bytes([1]) + bytes(3) + b"\xff" + bytes(16) + b"\xff" if length_size else b""
    slice_head = b"\x41\x9a" if codec == "h264" else b"\x02\x01\x9a"
    message_head = b"\x06\x05" if codec == "h264" else b"\x4e\x01\x05"

    def is_hole(*units: bytes) -> bool:
        see = inspector(codec, extradata, intra_only=False)
        starts = (len(u).to_bytes(4, "big") if length_size else b"\0\0\0\1" for u in units)
        content = b"".join(start + unit for start, unit in zip(starts, units, strict=True))
        return see(memoryview(content), False).fault == "a hole in its data"

    full = slice_head + bytes(range(1, 200))
    assert not is_hole(full)
    assert not is_hole(full + bytes(100), full)
    assert not is_hole(message_head + bytes(700) + b"\1", full)  # nobody escapes these well
    assert is_hole(full + bytes(4) + full)
    assert is_hole(full, full + bytes(600) + b"\x55")
    assert is_hole(full + bytes(512), full)


@pytest.mark.parametrize(
    ("codec", "first", "last", "expected"),
    [
        ("vp8", 0x90, 0, True),
        ("vp8", 0x81, 0, False),
        ("vp9", 0x82, 0, True),
        ("vp9", 0x84, 0, None),
        ("vp9", 0x84, 0xC1, True),
        ("av1", 0, 0, True),
        ("theora", 0, 0, None),
    ],
)
def test_which_packets_a_frame_must_come_of(
    codec: str, first: int, last: int, expected: bool | None
) -> None:
    see = inspector(codec, None, intra_only=False)
    assert see(memoryview(bytes((first, 0, 0, last))), False).shows is expected


def test_no_bytes_of_any_coding_raise() -> None:
    for codec in ("vp8", "vp9", "av1", "ffv1", "theora", "wmv2"):
        see = inspector(codec, None, intra_only=False)
        for content in (b"", b"\0", b"\x82", b"\xff" * 9, b"\x80" + bytes(40)):
            see(memoryview(content), False)


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
@pytest.mark.parametrize(
    "unit", [bytes([0x68, 0b11100001, 9]), bytes([0x67, 3, 0, 31, 0xFF]), bytes([0x67]) * 9]
)
def test_other_bytes_that_look_like_parameters_change_none(
    video: MakeVideo, name: str, unit: bytes
) -> None:
    file = video(name, options={**X264, "bf": "0"}, frames=15)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        inspect = inspector("h264", stream.codec_context.extradata, intra_only=False)
        for number, packet in enumerate(each for each in container.demux(stream) if each.size):
            found = inspect(memoryview(packet), packet.is_keyframe)
            assert found.refresh is (Refresh.NONE if number % 5 else Refresh.FULL)
            mark = len(unit).to_bytes(4, "big") if name == "a.mp4" else b"\0\0\0\1"
            inspect(memoryview(mark + unit), False)
