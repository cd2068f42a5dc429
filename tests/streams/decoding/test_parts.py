"""The parts of a recording give its frames: each once, with their pixels and times."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import pytest

from media import cut
from oneglance.streams.decoding.parts import Part, PartPackets, SeenPart, why_inexact
from oneglance.streams.errors import StreamError
from oneglance.streams.files.layout import Wrong
from oneglance.streams.files.matroska import ClusterChecks
from oneglance.streams.files.video import VideoFile
from oneglance.streams.frame import Frame

MakeVideo = Callable[..., Path]

B_FRAMES = "keyint=12:bframes=3:b-adapt=0:scenecut=0"
H264_OPEN = {"codec": "libx264", "options": {"x264-params": f"{B_FRAMES}:open-gop=1"}}
H264_CLOSED = {"codec": "libx264", "options": {"x264-params": B_FRAMES}}
H265_OPEN = {
    "codec": "libx265",
    "options": {"x265-params": f"log-level=none:{B_FRAMES}:open-gop=1"},
}
H265_CLOSED = {
    "codec": "libx265",
    "options": {"x265-params": f"log-level=none:{B_FRAMES}:open-gop=0"},
}
MPEG4 = {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}}

CODINGS = {
    "h264-open": H264_OPEN,
    "h264-closed": H264_CLOSED,
    "h265-open": H265_OPEN,
    "h265-closed": H265_CLOSED,
    "mpeg4": MPEG4,
}


def seen_of(frames: Iterable[Frame]) -> list[tuple[float, int]]:
    """When each frame is shown, and what its pixels are."""
    return [(frame.timestamp_s, zlib.crc32(frame.image.tobytes())) for frame in frames]


def parts_of(file: Path, limit_s: float = 1.0) -> list[Part]:
    with VideoFile(file) as stream:
        return stream.parts(stream.cuts_s(limit_s))


def played(file: Path, parts: Iterable[Part]) -> tuple[list[list[Frame]], list[SeenPart]]:
    """The frames of each part, and what was seen of it."""
    frames, seen = [], []
    for part in parts:
        with VideoFile(file) as stream:
            seen.append(stream.confine(part))
            frames.append(list(stream))
    return frames, seen


def holds(file: Path) -> None:
    """The parts of ``file`` give what it gives."""
    parts = parts_of(file)
    frames, seen = played(file, parts)
    assert len(parts) > 2
    assert why_inexact(parts, seen) == ""
    with VideoFile(file) as stream:
        assert [each for part in frames for each in seen_of(part)] == seen_of(stream)
    assert all([frame.index for frame in part] == list(range(len(part))) for part in frames)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("coding", CODINGS)
def test_parts_give_the_frames_of_the_whole(video: MakeVideo, coding: str, suffix: str) -> None:
    holds(video(f"a.{suffix}", frames=100, **CODINGS[coding]))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("coding", ["h264-open", "h265-open", "mpeg4"])
def test_what_leads_a_key_frame_belongs_to_the_part_before(
    video: MakeVideo, coding: str, suffix: str
) -> None:
    file = video(f"a.{suffix}", frames=100, **CODINGS[coding])
    parts = parts_of(file)
    frames, seen = played(file, parts)
    assert all(each.led for each in seen[1:])
    assert [each.leads_next for each in seen[:-1]] == [each.led for each in seen[1:]]
    with av.open(str(file)) as container:
        unit = container.streams.video[0].time_base
    assert unit is not None
    for part, given in zip(parts, frames, strict=True):
        times = [Fraction(frame.timestamp_s).limit_denominator(100_000) for frame in given]
        assert all(time_s >= (part.begin or 0) * unit for time_s in times)
        assert part.end is None or all(time_s < part.end * unit for time_s in times)


def test_a_part_is_found_where_seeking_lands_before_its_key_frame(video: MakeVideo) -> None:
    file = video("a.mp4", frames=100, **H264_OPEN)
    part = parts_of(file)[-1]
    assert part.begin is not None
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        began_at: list[int | None] = []

        class Imprecise:
            """A container whose seeking lands at the beginning."""

            format = container.format

            def seek(self, _offset: int, **_how: object) -> None:
                container.seek(0, stream=stream)

            def demux(self, stream: av.VideoStream) -> Iterator[av.Packet[av.VideoStream]]:
                for packet in container.demux(stream):
                    began_at.append(packet.pts)
                    yield packet

        packets = PartPackets(cast("av.container.InputContainer", Imprecise()), stream, part)
        first = next(packets.demux(stream))
        assert (began_at[0], first.pts) == (0, part.begin)
        assert packets.seen.own == 1


def test_sound_fragments_and_variable_rates_are_no_matter(video: MakeVideo) -> None:
    holds(video("sound.mp4", frames=100, audio_s=4.0, **H264_OPEN))
    holds(video("sound.mkv", frames=100, audio_s=5.0, **H265_OPEN))
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    holds(video("fragments.mp4", frames=100, container_options=fragments, **H264_OPEN))
    uneven = [Fraction(40 * number + 13 * (number % 3), 1000) for number in range(100)]
    for suffix in ("mp4", "mkv"):
        holds(video(f"uneven.{suffix}", frames=100, times_s=uneven, **H264_OPEN))


def test_frames_before_a_part_are_counted_where_the_container_counts(video: MakeVideo) -> None:
    for name, coding in CODINGS.items():
        file = video(f"{name}.mp4", frames=100, **coding)
        parts = parts_of(file)
        frames, _ = played(file, parts)
        before = [sum(map(len, frames[:number])) for number in range(len(parts))]
        assert [part.before for part in parts] == before
    assert {part.before for part in parts_of(video("a.mkv", frames=100, **MPEG4))} == {0, None}


def test_frames_that_an_edit_list_hides_are_not_counted(clips: Path) -> None:
    file = clips / "highway_rain_360p.mp4"  # its first nine
    parts = parts_of(file, 10.0)
    assert len(parts) > 2
    frames, seen = played(file, parts)
    assert why_inexact(parts, seen) == ""
    with VideoFile(file) as stream:
        assert sum(map(len, frames)) == len(list(stream)) == (stream.frame_count or 0) - 9


def test_what_cannot_be_played_in_parts_has_none(video: MakeVideo) -> None:
    assert parts_of(video("short.mp4", frames=25, **MPEG4)) == []
    assert parts_of(video("one-key.mp4", frames=100, codec="libx264", options={"g": "999"})) == []
    assert parts_of(video("a.ts", frames=100, **H264_CLOSED)) == []
    assert parts_of(video("a.avi", frames=100, **MPEG4)) == []
    assert parts_of(video("motion.mkv", frames=100, codec="mjpeg", pix_fmt="yuvj420p")) == []
    whole = video("cut.mp4", frames=100, container_options={"movflags": "faststart"}, **H264_OPEN)
    assert parts_of(cut(whole, keep=0.8)) == []


def overwrite(file: Path, at: float, size: int) -> None:
    """Damage a file, so far into it."""
    content = bytearray(file.read_bytes())
    begin = round(len(content) * at)
    content[begin : begin + size] = bytes((7 * each + 1) % 256 for each in range(size))
    file.write_bytes(content)


@pytest.mark.parametrize("coding", ["h264-open", "mpeg4"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_damage_is_a_reason_to_play_the_whole(video: MakeVideo, suffix: str, coding: str) -> None:
    file = video(f"a.{suffix}", frames=100, **CODINGS[coding])
    intact, doubts = file.read_bytes(), 0
    for number in range(1, 12):
        file.write_bytes(intact)
        overwrite(file, number / 13, 60 * number)
        whole, broke = [], False
        try:
            with VideoFile(file) as stream:
                whole = seen_of(stream)
        except StreamError:
            broke = True
        try:
            parts = parts_of(file)
            frames, seen = played(file, parts)
        except StreamError:
            continue
        if not parts:
            continue
        doubt = why_inexact(parts, seen)
        doubts += bool(doubt)
        assert doubt or not broke
        assert doubt or [each for part in frames for each in seen_of(part)] == whole
    assert doubts > 3


@pytest.mark.parametrize("coding", ["h264-closed", "mpeg4"])
def test_a_frame_that_is_wrongly_called_a_key_frame_is_no_place_to_cut(
    video: MakeVideo, tmp_path: Path, coding: str
) -> None:
    options = {"g": "30", "sc_threshold": "1000000000"}
    made = video("made.mp4", frames=60, codec=CODINGS[coding]["codec"], options=options)
    file = tmp_path / "a.mp4"
    times: list[tuple[int, bool]] = []
    with av.open(str(made)) as source, av.open(str(file), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size and packet.pts is not None:
                times.append((packet.pts, packet.is_keyframe))
                packet.is_keyframe, packet.stream = True, stream
                target.mux(packet)
    keys = {pts for pts, is_key in times if is_key}
    assert {part.begin for part in parts_of(file, 0.5)} - {None} <= keys
    wrong = sorted(pts for pts, is_key in times if not is_key)[20]
    parts = [Part(None, wrong), Part(wrong, None)]
    _, seen = played(file, parts)
    assert why_inexact(parts, seen)


def test_neighbours_that_decode_other_pixels_are_noticed() -> None:
    one = SeenPart(frames=5, fed=5, own=5, past=[1, 2, 3])
    other = SeenPart(frames=5, fed=5, own=5, first=[1, 2, 4])
    parts = [Part(None, 10), Part(10, None)]
    assert "part 2 does not begin with the frames" in why_inexact(parts, [one, other])
    other.first = [1, 2, 3]
    assert why_inexact(parts, [one, other]) == ""
    other.led = 1
    assert "do not count the frames between them alike" in why_inexact(parts, [one, other])
    other.led, one.declared = 0, 11
    assert "as the container declares" in why_inexact(parts, [one, other])
    one.declared = 10
    assert "does not count" in why_inexact([parts[0], Part(10, None, 4)], [one, other])
    one.fed = 6
    assert "6 packets, 5 frames" in why_inexact(parts, [one, other])


def test_what_lies_before_and_behind_a_part_is_not_looked_at(
    video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = video("a.mkv", frames=80, **H264_CLOSED)
    looked: list[tuple[int, int]] = []
    look = ClusterChecks.look

    def seen(checks: ClusterChecks, begin: int | None, end: int | None) -> Wrong:
        looked.append((begin or 0, file.stat().st_size if end is None else end))
        return look(checks, begin, end)

    monkeypatch.setattr(ClusterChecks, "look", seen)
    parts = parts_of(file)
    played(file, parts[1:2])
    size = file.stat().st_size
    assert len(parts) > 2
    assert looked
    assert min(begin for begin, _ in looked) > size * 0.15
    assert max(end for _, end in looked) < size * 0.9
