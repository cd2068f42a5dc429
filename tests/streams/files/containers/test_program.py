"""The packets of an MPEG program stream show what is missing between its frames."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from drives import FRAMES, LARGE, RATE, Played, check_lost_sectors, clip, differs, play
from media import make_video

PACK = b"\0\0\1\xba"
CODINGS = ["h264", "h264 b-frames", "h265", "h265 b-frames", "mpeg2", "mpeg2 b-frames"]


def drive(folder: Path, coding: str, name: str = "a.mpg", **options: str) -> Path:
    if not coding.startswith("mpeg2"):
        return clip(folder, name, coding, LARGE)
    return make_video(
        folder / name,
        codec="mpeg2video",
        images=[frame.image for frame in play(clip(folder, "a.mp4", "h264", LARGE)).frames],
        size=LARGE,
        rate=RATE,
        options={"g": "12", "bf": "2" if "b-frames" in coding else "0", **options},
    )


def from_camera(folder: Path, coding: str) -> Path:
    """As cameras write it: a pack and a time a frame, in packets of a few kilobytes, with sound of
    an unknown kind between."""
    chance, path = random.Random(1), folder / "camera.mpg"
    with av.open(str(drive(folder, coding, "b.mkv"))) as opened:
        stream = opened.streams.video[0]
        units = av.BitStreamFilterContext(
            f"{'hevc' if '265' in coding else 'h264'}_mp4toannexb", stream
        )
        frames = [bytes(out) for packet in opened.demux(stream) for out in units.filter(packet)]
    content = b""
    for number, frame in enumerate(frame for frame in frames if frame):
        at = 90_000 + 3600 * number
        content += pack(at)
        for begin in range(0, len(frame), 5000):
            content += packet_of(0xE0, frame[begin : begin + 5000], None if begin else at)
        content += pack(at) + packet_of(0xC0, chance.randbytes(320), at)
    path.write_bytes(content)
    return path


def pack(at: int) -> bytes:
    clock = 1 << 46 | (at >> 30) << 43 | 1 << 42 | (at >> 15 & 0x7FFF) << 27 | 1 << 26
    clock |= (at & 0x7FFF) << 11 | 1 << 10 | 1
    return PACK + clock.to_bytes(6, "big") + b"\x03\x0d\x43\xfe\xff\xff\xfe\xff\xff\xff"


def packet_of(code: int, content: bytes, at: int | None) -> bytes:
    head = b"\x80\0\0" if at is None else b"\x80\x80\5" + time(at)
    return b"\0\0\1" + bytes([code]) + (len(head + content)).to_bytes(2, "big") + head + content


def time(at: int) -> bytes:
    low, middle, high = (at & 0x7FFF) << 1 | 1, (at >> 15 & 0x7FFF) << 1 | 1, (at >> 30) << 1 | 1
    return bytes([0x20 | high]) + middle.to_bytes(2, "big") + low.to_bytes(2, "big")


def check(found: Played, whole: Played, what: object) -> None:
    assert len(found.frames) + found.damaged == found.produced, what
    assert found.produced == FRAMES or "what follows in the file is missing" in found.message, what
    assert bool(found.message) == (len(found.frames) < FRAMES), what
    for frame in found.frames:
        assert frame.timestamp_s == pytest.approx(frame.index / RATE), what
        assert not differs(frame.image, whole.frames[frame.index].image), what


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [512, 4096])
def test_a_lost_sector_is_counted_and_no_frame_moves(
    tmp_path: Path, coding: str, size: int
) -> None:
    path = drive(tmp_path, coding)
    with av.open(str(path)) as opened:
        *_, end = (packet.pos for packet in opened.demux(video=0) if packet.pos)
    check_lost_sectors(path, range(8192, end - 2 * size, size), size)


@pytest.mark.parametrize(
    ("coding", "camera"),
    [*((coding, False) for coding in CODINGS), ("h264", True), ("h265", True)],
)
def test_what_is_cut_out_is_counted_and_no_frame_moves(
    tmp_path: Path, coding: str, camera: bool
) -> None:
    path = from_camera(tmp_path, coding) if camera else drive(tmp_path, coding)
    content, whole, chance = path.read_bytes(), play(path), random.Random(1)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    for _ in range(14):
        at, length = (
            chance.randrange(9000, len(content) * 4 // 5),
            chance.choice([1, 60, 700, 3000]),
        )
        path.write_bytes(content[:at] + content[at + length :])
        check(play(path), whole, (at, length))


@pytest.mark.parametrize("coding", CODINGS)
def test_a_head_that_is_overwritten_costs_its_frames_and_no_others(
    tmp_path: Path, coding: str
) -> None:
    path = drive(tmp_path, coding)
    content, whole, chance = path.read_bytes(), play(path), random.Random(1)
    packs = [at for at in range(8192, len(content)) if content.startswith(PACK, at)]
    for at in packs[:-2:3]:
        other = chance.randbytes(40)
        path.write_bytes(content[: at + 2] + other + content[at + 2 + len(other) :])
        check(play(path), whole, at)


@pytest.mark.parametrize("coding", CODINGS)
def test_frames_without_a_time_are_shown_when_they_are_due(tmp_path: Path, coding: str) -> None:
    found = play(drive(tmp_path, coding))
    assert [frame.timestamp_s for frame in found.frames] == pytest.approx(
        [number / RATE for number in range(FRAMES)]
    )


def test_a_time_that_is_wrong_moves_no_other(tmp_path: Path) -> None:
    path = from_camera(tmp_path, "h264")
    content, whole = bytearray(path.read_bytes()), play(path)
    at = content.find(time(90_000 + 3600 * 7))
    for other in (time(1 << 30), b"\xff" * 5, time(0)):
        content[at : at + 5] = other
        path.write_bytes(content)
        check(play(path), whole, other)


def written(path: Path, form: str, codec: str) -> Path:
    """By one of libav's writers, with sound beside it."""
    with av.open(str(path), "w", format=form) as out:
        video = out.add_stream(codec, rate=RATE, options=WRITTEN.get(codec, {"g": "12"}))
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = *LARGE, "yuv420p"
        video.bit_rate = 0 if "x26" in codec else 900_000
        sound = out.add_stream("mp2", rate=44100, layout="stereo")
        assert isinstance(sound, av.AudioStream)
        for number, frame in enumerate(play(clip(path.parent, "a.mp4", "h264", LARGE)).frames):
            image = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
            image.pts, image.time_base = number, Fraction(1, RATE)
            out.mux(video.encode(image))
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1764), np.int16), "s16", "stereo")
            heard.sample_rate, heard.pts = 44100, number * 1764
            out.mux(sound.encode(heard))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return path


WRITTEN = {"libx265": {"x265-params": "log-level=none:keyint=12:bframes=2"}}


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
@pytest.mark.parametrize("form", ["mpeg", "vob", "dvd", "svcd"])
def test_what_writers_make_is_whole_also_one_behind_the_other_and_with_room_behind(
    tmp_path: Path, form: str, codec: str
) -> None:
    path = written(tmp_path / "a.mpg", form, codec)
    content = path.read_bytes()
    path.write_bytes(content + content + bytes(100_000))
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (2 * FRAMES, 0, "")


def test_sectors_that_a_video_cd_leaves_empty_are_no_loss(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mpg", "vcd", "mpeg1video")
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    sectors = [content[at : at + 2048] for at in range(0, len(content), 2048)]
    spread = (sector + bytes(2048) * (not number % 3) for number, sector in enumerate(sectors))
    path.write_bytes(b"".join(spread))
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (FRAMES, 0, "")


def test_a_recording_that_pauses_lost_nothing(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mpg",
        frames=12,
        times_s=[Fraction(number, 25) + (number >= 6) * 2 for number in range(12)],
    )
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (12, 0, "")
