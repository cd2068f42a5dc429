"""Places of frames in the order of showing, of real encodes."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from drives import CODINGS, GROUP, clip
from media import make_video
from oneglance.streams.decoding.times.display_order import Place, holds_frame, places_of
from present import present


def drive(folder: Path, coding: str) -> Path:
    if coding != "mpeg2":
        return clip(folder, "a.mkv", coding)
    return make_video(folder / "a.mkv", codec="mpeg2video", options={"g": "12", "bf": "2"})


def read(path: Path) -> list[tuple[Place, int, bytes]]:
    """Place, time and bytes of each frame, in the order of decoding."""
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        see, _ = present(places_of(stream.codec_context.name, stream.codec_context.extradata))
        return [
            (present(see(memoryview(packet))), present(packet.pts), bytes(packet))
            for packet in opened.demux(stream)
            if packet.size
        ]


@pytest.mark.parametrize(
    ("coding", "step"),
    [
        *((name, 1 if "h265" in name else 2) for name in CODINGS if not name.startswith("mpeg4")),
        ("mpeg2", 1),
    ],
)
def test_numbers_rise_as_frames_are_shown(tmp_path: Path, coding: str, step: int) -> None:
    groups: list[list[tuple[int, int]]] = []
    for place, pts, _ in read(drive(tmp_path, coding)):
        if place.begins:
            groups.append([])
        groups[-1].append((pts, place.number))
    for group in groups:
        numbers = [number for _, number in sorted(group)]
        first = min(numbers)
        assert numbers == [first + step * at for at in range(len(numbers))]


def test_what_begins_is_where_nothing_is_referred_to_before(tmp_path: Path) -> None:
    begins = [place.begins for place, _, _ in read(drive(tmp_path, "h264 b-frames"))]
    assert [number for number, begun in enumerate(begins) if begun] == [0, GROUP]


@pytest.mark.parametrize("coding", ["h264 b-frames", "h265 b-frames", "mpeg2"])
def test_a_rest_holds_no_frame_and_garbage_has_no_place(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "a.ts"  # with start codes
    drive(tmp_path, coding).rename(tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as given, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    codec = {"h264 b-frames": "h264", "h265 b-frames": "hevc", "mpeg2": "mpeg2video"}[coding]
    see, _ = present(places_of(codec, b""))
    for _, _, frame in read(path):
        assert holds_frame(codec, memoryview(frame))
        assert not holds_frame(codec, memoryview(frame)[-20:])
        for length in range(0, 40, 3):
            see(memoryview(frame)[:length])
    for garbage in (b"", b"\0\0\1", b"\0\0\1\x41", bytes(100), b"\xff" * 100):
        assert see(memoryview(garbage)) is None


def test_other_codings_are_not_known() -> None:
    assert places_of("vp9", None) is None
