"""An Ogg's pages show what is missing between its frames."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from drives import FRAMES, LARGE, RATE, Played, clip, differs, play
from media import make_video
from oneglance.streams.files.containers.ogg import Page, page_at

_SOUND_RATE = 16000
_SAMPLES = _SOUND_RATE // RATE
_CODING = {"g": "12", "deadline": "realtime", "cpu-used": "8"}


def drive(folder: Path, *, every_page: bool = False, sound: bool = False) -> Path:
    """A moving clip in VP8, the pages of which hold many frames each, or one; FLAC beside it."""
    path, pages = folder / "a.ogg", {"page_duration": "1"} if every_page else {}
    with av.open(str(path), "w", options=pages) as out:
        video = out.add_stream("libvpx", rate=RATE, options=_CODING)
        video.width, video.height, video.pix_fmt = *LARGE, "yuv420p"
        video.bit_rate = 1_500_000
        noise = out.add_stream("flac", rate=_SOUND_RATE, layout="mono") if sound else None
        for number, frame in enumerate(play(clip(folder, "a.mp4", "h264", LARGE)).frames):
            image = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
            image.pts, image.time_base = number, Fraction(1, RATE)
            out.mux(video.encode(image))
            if noise is not None:
                samples = np.random.default_rng(number).integers(-9000, 9000, (1, _SAMPLES))
                heard = av.AudioFrame.from_ndarray(samples.astype(np.int16), "s16", "mono")
                heard.sample_rate, heard.pts = _SOUND_RATE, number * _SAMPLES
                out.mux(noise.encode(heard))
        out.mux(video.encode(None))
        if noise is not None:
            out.mux(noise.encode(None))
    return path


def pages(path: Path) -> Iterator[Page]:
    """Those of the video, which begins first."""
    at, first = 0, None
    with path.open("rb") as content:
        while (page := page_at(content, at)) is not None:
            first = first or page.serial
            if page.serial == first:
                yield page
            at = page.end


def is_accounted_for(found: Played, whole: Played) -> bool:
    return (
        len(found.frames) + found.damaged == found.produced == FRAMES
        and all(
            frame.timestamp_s == pytest.approx(frame.index / RATE)
            and not differs(frame.image, whole.frames[frame.index].image)
            for frame in found.frames
        )
        and bool(found.message) == (len(found.frames) < FRAMES)
    )


@pytest.mark.parametrize("every_page", [False, True])
@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("kind", ["hole", "cut", "overwritten"])
def test_what_is_damaged_in_the_middle_is_counted_and_no_frame_moves(
    tmp_path: Path, kind: str, sound: bool, every_page: bool
) -> None:
    path = drive(tmp_path, every_page=every_page, sound=sound)
    content, whole, chance = path.read_bytes(), play(path), random.Random(1)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    data = [page for page in pages(path) if page.granule]
    for _ in range(12):
        at = chance.randrange(data[1].begin, data[-2].end)
        length = min(chance.choice([1, 40, 600, 3000]), data[-1].begin - at)
        other = {"hole": bytes(length), "cut": b"", "overwritten": chance.randbytes(length)}[kind]
        path.write_bytes(content[:at] + other + content[at + length :])
        assert is_accounted_for(play(path), whole), (at, length)


def test_what_the_pages_show_is_counted_where_the_head_of_the_last_one_is_lost(
    tmp_path: Path,
) -> None:
    path = drive(tmp_path)
    content, whole = path.read_bytes(), play(path)
    *_, before, last = [page for page in pages(path) if page.granule]
    hole = bytes(last.content - before.begin - 1000)
    path.write_bytes(content[: before.begin + 1000] + hole + content[last.content :])
    found = play(path)
    assert found.damaged == len(before.lengths)
    assert len(found.frames) + found.damaged == found.produced == FRAMES - last.starts
    assert all(not differs(each.image, whole.frames[each.index].image) for each in found.frames)
    assert "what follows in the file is missing or damaged" in found.message


@pytest.mark.parametrize("number", [0, 1, -1])
def test_the_first_and_the_last_page_are_missed_too(tmp_path: Path, number: int) -> None:
    path = drive(tmp_path, every_page=True)
    content, whole = path.read_bytes(), play(path)
    page = [page for page in pages(path) if page.granule][number]
    spoilt = bytearray(content)
    spoilt[page.end - 1] ^= 1
    path.write_bytes(spoilt)
    assert is_accounted_for(play(path), whole)


def test_a_hole_longer_than_libav_looks_for_a_page_is_passed_over(tmp_path: Path) -> None:
    path = drive(tmp_path)
    content, whole = path.read_bytes(), play(path)
    begin = [page for page in pages(path) if page.granule][1].begin
    path.write_bytes(content[: begin + 1000] + bytes(200_000) + content[begin + 1000 :])
    found = play(path)
    assert is_accounted_for(found, whole)
    assert found.frames[-1].index == FRAMES - 1


def test_nothing_but_zeros_behind_a_frame_is_an_end_that_is_missing(tmp_path: Path) -> None:
    path = drive(tmp_path, every_page=True)
    half = [page for page in pages(path) if page.granule][FRAMES // 2]
    path.write_bytes(path.read_bytes()[: half.begin + 100] + bytes(100_000))
    found = play(path)
    assert [frame.index for frame in found.frames] == list(range(FRAMES // 2))
    assert "what follows in the file is missing or damaged" in found.message


def test_a_frame_over_several_pages_lacks_none_of_them(tmp_path: Path) -> None:
    noise = np.random.default_rng(2)
    path = make_video(
        tmp_path / "a.ogg",
        codec="libvpx",
        images=[noise.integers(0, 256, (480, 640, 3), np.uint8) for _ in range(4)],
        size=(640, 480),
        options={"g": "1", "qmin": "2", "qmax": "6", "b": "90M"},
    )
    content, whole = path.read_bytes(), play(path)
    whole_first = next(page.begin for page in pages(path) if page.granule)
    parts = [page for page in pages(path) if page.granule is None and page.begin > whole_first]
    assert (len(parts) >= 3, len(whole.frames), whole.message) == (True, 4, "")
    for page in parts:
        for other in (b"", bytes(page.end - page.begin)):
            path.write_bytes(content[: page.begin] + other + content[page.end :])
            found = play(path)
            assert len(found.frames) + found.damaged == found.produced == 4, page
            assert found.message, page
            for frame in found.frames:
                assert not differs(frame.image, whole.frames[frame.index].image), page


def test_oggs_put_together_are_one_after_the_other(tmp_path: Path) -> None:
    path = drive(tmp_path)
    content = path.read_bytes()
    serial = content[14:18]
    with av.open(str(path)) as given, av.open(str(tmp_path / "b.ogg"), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            packet.stream = stream
            if packet.size:
                out.mux(packet)
    other = (tmp_path / "b.ogg").read_bytes()
    assert other[14:18] != serial
    path.write_bytes(content + other)
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (2 * FRAMES, 0, "")
