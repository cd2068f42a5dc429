"""The numbers of an ASF's frames show what is missing between them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from drives import FRAMES, LARGE, RATE, check_lost_sectors, clip, play, wrong
from media import make_video
from oneglance.streams.files.containers.asf import MediaObject, objects_in

_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_PACKET = 3200


def drive(folder: Path, codec: str, **options: str) -> Path:
    filmed = [frame.image for frame in play(clip(folder, "a.mp4", "h264", LARGE)).frames]
    return make_video(
        folder / "a.asf",
        codec=codec,
        images=filmed,
        size=LARGE,
        rate=RATE,
        options={"g": "12", "bf": "0", **options},
    )


def packets(content: bytes) -> list[bytes]:
    begin = content.find(_DATA) + 50
    row = [content[at : at + _PACKET] for at in range(begin, len(content), _PACKET)]
    return [packet for packet in row if packet.startswith(b"\x82\0\0") and len(packet) == _PACKET]


def test_every_frame_begins_once_and_has_a_number(tmp_path: Path) -> None:
    content = drive(tmp_path, "msmpeg4").read_bytes()
    begun = [each for packet in packets(content) for each in objects_in(packet, 1) or []]
    assert [each.number for each in begun] == list(range(1, FRAMES + 1))
    with av.open(str(tmp_path / "a.asf")) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert [each.size for each in begun] == sizes
    assert objects_in(packets(content)[0], 2) == []


@pytest.mark.parametrize(
    "packet", [b"", bytes(_PACKET), b"\x82", b"\x82\0\0\x09\x5d\xff" + b"\xff" * 20]
)
def test_what_is_no_packet_has_no_frames(packet: bytes) -> None:
    assert objects_in(packet, 1) is None


def test_a_number_of_a_byte_comes_round(tmp_path: Path) -> None:
    (first, *_) = objects_in(packets(drive(tmp_path, "msmpeg4").read_bytes())[0], 1) or []
    assert first == MediaObject(1, first.size, 256)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("msmpeg4", {}),
        ("wmv2", {}),
        ("mpeg4", {}),
        ("mpeg4", {"bf": "2"}),
        ("libx264", {}),
        ("libx264", {"bf": "2", "b_strategy": "0", "b-pyramid": "none"}),
        ("libx264", {"bf": "3", "b_strategy": "0", "x264-params": "open-gop=1"}),
    ],
)
@pytest.mark.parametrize("size", [512, 4096])
def test_a_lost_sector_in_the_middle_is_counted_and_no_frame_moves(
    tmp_path: Path, codec: str, options: dict[str, str], size: int
) -> None:
    path = drive(tmp_path, codec, **options)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    # Behind the first frames, from which libav estimates the rate.
    begin, end = places[FRAMES // 4], places[-1]
    assert begin is not None
    assert end is not None
    row = range(begin // size * size + size, end, size)
    check_lost_sectors(path, row, size)


@pytest.mark.parametrize("bf", ["0", "2", "3"])
def test_frames_of_h264_are_shown_in_their_order_from_the_beginning_on(
    tmp_path: Path, bf: str
) -> None:
    found = play(drive(tmp_path, "libx264", bf=bf, b_strategy="0"))
    assert [frame.index for frame in found.frames] == list(range(FRAMES))
    assert [round(frame.timestamp_s * RATE, 3) for frame in found.frames] == list(range(FRAMES))


def test_frames_of_h264_are_shown_with_their_sound(tmp_path: Path) -> None:
    begins = []
    for bf in ("0", "3"):
        path = make_video(tmp_path / f"{bf}.asf", audio_s=0.8, options={"bf": bf})
        found = play(path)
        begins.append(found.frames[0].timestamp_s)
        assert [round(frame.timestamp_s - begins[-1], 3) for frame in found.frames] == [
            round(number / 25, 3) for number in range(25)
        ]
    assert begins[0] == begins[1] >= 0


@pytest.mark.parametrize(("codec", "options"), [("mpeg4", {}), ("libx264", {"bf": "2"})])
def test_what_is_lost_between_the_first_two_frames_is_counted(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    path = drive(tmp_path, codec, **options)
    content, whole = path.read_bytes(), play(path)
    begin = content.find(_DATA) + 50
    held = [objects_in(packet, 1) or [] for packet in packets(content)]
    lost = next(at for at, each in enumerate(held) if each and each[0].number > 1)
    at = begin + lost * _PACKET
    path.write_bytes(content[:at] + bytes(_PACKET) + content[at + _PACKET :])
    found = play(path)
    assert len(found.frames) + found.damaged == found.produced == FRAMES
    assert len(found.frames) < FRAMES
    assert wrong(found, whole.frames) == []


def test_a_recording_that_pauses_lost_nothing(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.asf",
        codec="wmv2",
        frames=12,
        times_s=[Fraction(number, 25) + (number >= 6) * 2 for number in range(12)],
    )
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (12, 0, "")


def test_an_end_that_lies_in_a_hole_is_missed(tmp_path: Path) -> None:
    path = drive(tmp_path, "msmpeg4")
    content = path.read_bytes()
    begin = content.find(_DATA) + 50
    count = len(packets(content))
    at, end = begin + (count - 4) * _PACKET, begin + count * _PACKET
    path.write_bytes(content[:at] + bytes(end - at) + content[end:])
    found = play(path)
    assert len(found.frames) < FRAMES
    assert found.message
    assert found.produced == FRAMES
