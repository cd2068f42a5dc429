"""Wrong bytes that neither decoder nor demuxer reports: checksums and layouts show them."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from drives import FRAMES, GROUP, LARGE, RATE, Played, clip, play, scenery, wrong
from media import make_video
from oneglance.streams import Frame
from present import present

_X265 = f"log-level=none:keyint={GROUP}:min-keyint={GROUP}:scenecut=0:pools=none:bframes=0"
_VPX = {
    "g": str(GROUP),
    "deadline": "realtime",
    "cpu-used": "8",
    "auto-alt-ref": "1",
    "lag-in-frames": "10",
}
CODECS = {
    "libvpx": _VPX,
    "libvpx-vp9": _VPX,
    "libsvtav1": {"g": str(GROUP), "preset": "12"},
    "libx265": {"x265-params": f"{_X265}:frame-threads=1", "preset": "ultrafast"},
    "ffv1": {"g": str(GROUP), "level": "3", "slicecrc": "1", "slices": "4"},
    "msmpeg4": {"g": str(GROUP)},
    "wmv2": {"g": str(GROUP)},
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "0")


def filmed(folder: Path, name: str, codec: str, *, loops: int = 1) -> Path:
    shown = [scenery()[20:212, 9 * index : 9 * index + 320].copy() for index in range(FRAMES)]
    with _scheduled_as_before():
        return make_video(
            folder / name,
            codec=codec,
            options=CODECS[codec],
            images=shown * loops,
            size=LARGE,
            rate=RATE,
        )


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """SVT-AV1, where root runs it, makes the thread that calls it a real-time one for good: what
    it spins for later never gets a CPU."""
    if sys.platform != "linux":
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, priority)


def spoilt(path: Path, how: str) -> Iterator[tuple[int, Played]]:
    """The recording with some bytes of one frame wrong, of one frame after the other; which frame
    it is, and what came of it."""
    with av.open(str(path)) as opened:
        frames = [bytes(packet) for packet in opened.demux(video=0) if packet.size]
    content = path.read_bytes()
    for number, frame in enumerate(frames):
        at = content.find(frame)
        if number % 4 != 1 or at < 0 or len(frame) < 40:
            continue
        changed, chance = bytearray(content), random.Random(number)
        begin, size = at + len(frame) // 2, min(len(frame) // 3, 64)
        for place in range(begin, begin + size):
            changed[place] = changed[place] ^ 0xFF if how == "flipped" else chance.randrange(1, 256)
        path.write_bytes(changed)
        yield number, play(path)
    path.write_bytes(content)


def clean(path: Path) -> list[Frame]:
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (FRAMES, 0, "")
    return found.frames


@pytest.mark.parametrize("how", ["flipped", "random"])
@pytest.mark.parametrize(
    ("codec", "name"),
    [(codec, "a.mkv") for codec in CODECS if codec not in ("msmpeg4", "wmv2")]
    + [("ffv1", "a.avi"), ("ffv1", "a.nut"), ("msmpeg4", "a.avi")],
)
def test_wrong_bytes_in_any_frame_smear_none_and_none_is_uncounted(
    tmp_path: Path, codec: str, name: str, how: str
) -> None:
    path = filmed(tmp_path, name, codec)
    whole, tried = clean(path), 0
    for number, found in spoilt(path, how):
        assert wrong(found, whole) == [], number
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number
        assert found.damaged > 0, number
        tried += 1
    assert tried >= 3


def test_wrong_bytes_in_ffv1_cost_their_own_group(tmp_path: Path) -> None:
    path = filmed(tmp_path, "a.mkv", "ffv1")
    for number, found in spoilt(path, "flipped"):
        until = (number // GROUP + 1) * GROUP
        assert [f.index for f in found.frames] == [*range(number), *range(until, FRAMES)]
        assert "frame" in found.message


def test_ffv1_without_checksums_plays(tmp_path: Path) -> None:
    for level in ("1", "3"):
        options = {"level": level, "slicecrc": "0"} if level == "3" else {"level": level}
        path = make_video(tmp_path / "a.mkv", codec="ffv1", frames=5, options=options)
        assert (len(play(path).frames), play(path).message) == (5, "")


def test_a_wrong_checksum_costs_its_cluster_and_no_other(tmp_path: Path) -> None:
    path = filmed(tmp_path, "a.mkv", "libvpx-vp9", loops=14)
    with av.open(str(path)) as opened:
        places = [(present(p.pos), p.size) for p in opened.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    begins = [at for at in range(len(content)) if content[at : at + 4] == b"\x1f\x43\xb6\x75"]
    assert len(begins) > 2
    own = [i for i, (at, _) in enumerate(places) if begins[1] < at < begins[2]]
    at, size = places[own[len(own) // 2]]
    content[at + size // 2] ^= 0xFF
    path.write_bytes(content)
    found = play(path)
    assert [frame.index for frame in found.frames] == [
        index for index in range(14 * FRAMES) if not own[0] <= index <= own[-1]
    ]
    assert found.damaged == len(own)


def test_a_writer_whose_checksums_are_all_wrong_is_not_believed(tmp_path: Path) -> None:
    path = filmed(tmp_path, "a.mkv", "libvpx-vp9")
    content = bytearray(path.read_bytes())
    for at in range(len(content) - 6):
        if content[at : at + 2] == b"\xbf\x84":
            content[at + 2 : at + 6] = b"\1\2\3\4"
    path.write_bytes(content)
    clean(path)


@pytest.mark.parametrize("codec", ["libsvtav1", "libvpx-vp9", "libvpx"])
def test_frames_that_a_decoder_swallows_are_counted_in_mp4_too(tmp_path: Path, codec: str) -> None:
    path = filmed(tmp_path, "a.mp4" if codec != "libvpx" else "a.webm", codec)
    content = path.read_bytes()
    clean(path)
    with av.open(str(path)) as opened:
        places = [(present(p.pos), p.size) for p in opened.demux(video=0) if p.size]
    for number in range(1, FRAMES, 3):
        at, size = places[number]
        changed = bytearray(content)
        changed[at : at + size // 2] = bytes(size // 2)
        path.write_bytes(changed)
        found = play(path)
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number
        assert all(f.index == round(f.timestamp_s * RATE) for f in found.frames), number


HOLE = 4096
"""Bytes that a disk or a download leaves out at once."""


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "h264"),
        ("a.mkv", "h264 b-frames"),
        ("a.mkv", "h265"),
        ("a.mkv", "mpeg4"),
        ("a.webm", "libvpx-vp9"),
        ("a.webm", "libvpx"),
        ("a.avi", "h264"),
        ("a.avi", "mpeg4"),
    ],
)
def test_a_hole_anywhere_in_a_file_costs_no_frame_uncounted(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = filmed(tmp_path, name, codec) if codec in CODECS else clip(tmp_path, name, codec, LARGE)
    whole, content = clean(path), path.read_bytes()
    places = range(2 * HOLE, len(content) - HOLE, HOLE)
    for at in places[:: max(1, len(places) // 16)]:
        path.write_bytes(content[:at] + bytes(HOLE) + content[at + HOLE :])
        found = play(path)
        assert wrong(found, whole) == [], at
        assert len(found.frames) + found.damaged == found.produced == FRAMES, at
        assert found.message, at


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_fragment_that_is_not_there_is_counted_or_said(tmp_path: Path, codec: str) -> None:
    plain = clip(tmp_path, "plain.mp4", codec, LARGE)
    path = tmp_path / "a.mp4"
    with (
        av.open(str(plain)) as source,
        av.open(
            str(path), "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        ) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for loop in range(2):
            source.seek(0)
            for packet in source.demux(video=0):
                if packet.pts is None or packet.dts is None:
                    continue
                ticks = FRAMES * loop * packet.duration if packet.duration else 0
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = stream
                out.mux(packet)
    content = path.read_bytes()
    whole = play(path)
    assert (len(whole.frames), whole.message) == (2 * FRAMES, "")
    moofs = [at for at in range(len(content)) if content[at + 4 : at + 8] == b"moof"]
    assert len(moofs) == 4
    renamed = bytearray(content)
    renamed[moofs[1] + 4 : moofs[1] + 8] = bytes(4)
    for changed in (content[: moofs[1]] + content[moofs[2] :], bytes(renamed)):
        path.write_bytes(changed)
        found = play(path)
        expected = [*range(GROUP), *range(2 * GROUP, 2 * FRAMES)]
        assert [frame.index for frame in found.frames] == expected
        assert (found.damaged, found.produced) == (GROUP, 2 * FRAMES)
    path.write_bytes(content[: moofs[3]] + bytes(8) + content[moofs[3] + 8 :])
    found = play(path)
    assert len(found.frames) == 3 * GROUP
    assert "broke after 36" in found.message
    path.write_bytes(content[: moofs[3]] + b"\xff\xff\xff\xff" + content[moofs[3] + 4 :])
    assert "broke after" in play(path).message


def test_room_that_a_recorder_laid_aside_is_no_hole(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = make_video(tmp_path / "a.mp4", frames=8, container_options=options)
    path.write_bytes(path.read_bytes() + bytes(9000))
    assert (len(play(path).frames), play(path).message) == (8, "")


def test_a_flash_video_that_ends_between_two_frames_is_held_to_its_size(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.flv", frames=12, options={"bf": "0"})
    content = path.read_bytes()
    assert (len(play(path).frames), play(path).message) == (12, "")
    at, tags = 13, []
    while at + 11 < len(content):
        tags.append(at)
        at += int.from_bytes(content[at + 1 : at + 4], "big") + 15
    path.write_bytes(content[: tags[8]])
    found = play(path)
    assert 0 < len(found.frames) < 12
    assert f"({len(content) - tags[8]} bytes are missing: copy it again)" in found.message


@pytest.mark.parametrize("codec", ["libx264", "mjpeg", "mpeg2video", "mpeg4"])
def test_a_wrong_bit_that_no_decoder_finds_is_said_where_a_checksum_shows_it(
    tmp_path: Path, codec: str
) -> None:
    path, chance, unnoticed = _short_clusters(tmp_path, codec), random.Random(7), 0
    content, whole = path.read_bytes(), clean(path)
    for _ in range(24):
        changed, at = bytearray(content), chance.randrange(len(content) // 4, len(content) * 3 // 4)
        changed[at] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        found = play(path)
        assert found.message, at
        assert found.produced == FRAMES, at
        if not found.damaged:
            unnoticed += 1
            assert "are wrong by the file's own checksum" in found.message
            assert len(found.frames) == len(whole)
    assert unnoticed


def _short_clusters(folder: Path, codec: str) -> Path:
    return make_video(
        folder / "a.mkv",
        codec=codec,
        options={"g": str(GROUP)},
        images=[scenery()[20:212, 9 * index : 9 * index + 320].copy() for index in range(FRAMES)],
        size=LARGE,
        rate=RATE,
        container_options={"cluster_time_limit": "300"},
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
    )


@pytest.mark.parametrize("name", [b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b"])
def test_a_wrong_header_is_said(
    tmp_path: Path, name: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = _short_clusters(tmp_path, "mpeg4")
    clean(path)
    assert "its header" not in caplog.text
    changed = bytearray(path.read_bytes())
    element = changed.index(name)
    # What wrote the file; the last byte of the first track's number of its own.
    sign = b"Lavf" if name.startswith(b"\x15") else b"\x73\xc5"
    changed[changed.index(sign, element) + 3] ^= 1
    path.write_bytes(changed)
    assert len(play(path).frames) == FRAMES
    assert "its header is not as it was written, by its own checksum" in caplog.text
