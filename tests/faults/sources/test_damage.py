"""Frames lost and damaged on the way: what leans on them is not passed off as whole.

The clips move, so that a frame that leans on a wrong one differs from what was filmed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import pytest
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from drives import (
    CODINGS,
    FRAMES,
    GROUP,
    LARGE,
    RATE,
    clip,
    differs,
    play,
    scenery,
    watch,
    wrong,
    x265,
)
from lossy_rtsp import Film, lossy_rtsp
from media import make_video
from oneglance.streams import ConnectOptions, UsageError, open_stream
from oneglance.streams.decoding import parallel
from oneglance.streams.decoding.accounting import DecodeStats
from oneglance.streams.decoding.options import DecodeOptions
from oneglance.streams.decoding.packets import FrameDecoder
from present import present
from program import Program
from scripted_camera import TS_HEADER, Connection, scripted_camera
from transport import PACKET, begins_frame, is_video, packets, without

every_coding = pytest.mark.parametrize("name", CODINGS)


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a large recording, by several threads, where the coding's name says so."""
    called = getattr(request.node, "callspec", None)
    if called is not None and "threads" in str(called.params.get("name", "")):
        monkeypatch.setattr(parallel, "MANY_PIXELS", 0)
        monkeypatch.setattr(parallel, "cpus", lambda: 4)


@every_coding
def test_a_lost_packet_at_any_place_costs_what_leans_on_it_and_no_frame_is_uncounted(
    tmp_path: Path, name: str
) -> None:
    path = clip(tmp_path, "a.ts", name)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    parts = packets(content)
    places = [index for index, part in enumerate(parts) if is_video(part)]
    first = [index for index in places if begins_frame(parts[index])]
    # Without its first packet the first frame was never there, and nothing follows the last.
    tried = [index for index in places if first[0] < index < first[-1]]
    assert len(tried) > 40
    for index in tried:
        path.write_bytes(without(content, index))
        found = play(path)
        assert wrong(found, whole.frames) == [], index
        assert len(found.frames) + found.damaged == found.produced == FRAMES, index


def test_a_lost_packet_in_which_a_b_frame_begins_is_one_frame_and_not_two(tmp_path: Path) -> None:
    # Without its time it cannot be told from the gap that it leaves.
    path = clip(tmp_path, "a.ts", "h264 b-frames", LARGE)
    content, whole = path.read_bytes(), play(path)
    parts = packets(content)
    _, *places = [index for index, part in enumerate(parts) if begins_frame(part)]
    for index in places[:-1]:
        path.write_bytes(without(content, index))
        found = play(path)
        assert wrong(found, whole.frames) == [], index
        assert len(found.frames) + found.damaged == found.produced == FRAMES, index


@pytest.mark.parametrize("name", [name for name, coding in CODINGS.items() if coding.noticed])
@pytest.mark.parametrize("container", ["a.mp4", "a.mkv"])
def test_changed_bytes_in_any_frame_cost_what_leans_on_it(
    tmp_path: Path, name: str, container: str
) -> None:
    # Of a small image, wrong bytes may by chance decode to as many blocks as it has.
    path = clip(tmp_path, container, name, LARGE)
    content, whole = path.read_bytes(), play(path)
    with av.open(str(path)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.size]
        places = [(present(packet.pos), packet.size) for packet in packets]
    for number, (at, size) in enumerate(places):
        spoilt, chance = bytearray(content), random.Random(number)
        for _ in range(6):
            spoilt[at + size // 3 + chance.randrange(size // 2)] ^= 0xFF
        path.write_bytes(spoilt)
        found = play(path)
        assert wrong(found, whole.frames) == [], number
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number


@pytest.mark.parametrize("name", ["h264", "h264 b-frames", "h265", "mpeg4"])
def test_an_outage_of_any_length_in_a_transport_stream_is_counted(
    tmp_path: Path, name: str
) -> None:
    path, until = clip(tmp_path, "a.ts", name, LARGE, loops=18), 400
    parts = packets(path.read_bytes())
    begins = [index for index, part in enumerate(parts) if begins_frame(part)]
    shown = play(path).frames
    path.write_bytes(b"".join(parts[: begins[30] + 1] + parts[begins[until] + 1 :]))
    found = play(path)
    assert found.produced == len(found.frames) + found.damaged == 18 * FRAMES
    clean = -(-until // GROUP) * GROUP
    came = [frame.index for frame in found.frames]
    early = [index for index in came if index < until]  # B-frames come in another order
    assert (came[:28], came[len(early) :]) == (list(range(28)), list(range(clean, 18 * FRAMES)))
    assert len(early) <= 30
    assert [f.index for f in found.frames if differs(f.image, shown[f.index].image)] == []


@pytest.mark.parametrize(("passes", "counted"), [(1.0, True), (0.0, False)])
def test_of_a_live_source_an_outage_is_one_if_it_was_silent_as_long(
    tmp_path: Path, passes: float, counted: bool
) -> None:
    path = clip(tmp_path, "a.ts", "h264", loops=8)
    parts = packets(path.read_bytes())
    begins = [index for index, part in enumerate(parts) if begins_frame(part)]
    # What comes next is a key frame, as of another recording put behind it, but for its tables.
    path.write_bytes(b"".join(parts[: begins[30] + 1] + parts[begins[120] :]))
    now_s, stats = [0.0], DecodeStats()

    class Arriving:
        """A container whose packets take as long to come as their times are apart."""

        def __init__(self, container: InputContainer) -> None:
            self.format, self._container = container.format, container

        def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
            for packet in self._container.demux(stream):
                if packet.dts is not None:
                    now_s[0] = passes * float(packet.dts * present(stream.time_base))
                yield packet

    with av.open(str(path)) as opened:
        options = DecodeOptions(joins=True, clock=lambda: now_s[0])
        container = cast("InputContainer", Arriving(opened))
        decoder = FrameDecoder(container, opened.streams.video[0], stats, options)
        last = [got.index for got in decoder][-1]
    assert (last == 8 * FRAMES - 1) is counted


@pytest.mark.parametrize("name", [name for name in CODINGS if "mpeg4" not in name])
@pytest.mark.parametrize("between", ["", "pause"])
def test_transport_streams_put_together_lose_no_frame(
    tmp_path: Path, name: str, between: str
) -> None:
    # Counters and clocks start anew; after a pause of other packets as well.
    path = clip(tmp_path, "a.ts", name)
    one = path.read_bytes()
    path.write_bytes(one + (one[:188] * 3 if between else b"") + one)
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (2 * FRAMES, 0, "")
    assert [frame.index for frame in found.frames] == list(range(2 * FRAMES))


@pytest.mark.parametrize("name", ["h264", "h265", "mpeg4"])
@pytest.mark.parametrize("place", [0, 5, FRAMES - 1])
def test_a_frame_that_the_recorder_left_empty_is_one_damaged_frame_in_every_coding(
    tmp_path: Path, name: str, place: int
) -> None:
    path = clip(tmp_path, "a.mp4", name)
    emptied(path, place)
    found = play(path)
    assert found.produced == FRAMES
    assert len(found.frames) + found.damaged == FRAMES
    until = (place // GROUP + 1) * GROUP
    assert [frame.index for frame in found.frames] == [*range(place), *range(until, FRAMES)]
    assert f"at index {place}, {place / RATE:.2f} s" in found.message


@pytest.mark.parametrize("container", ["a.avi", "a.mkv", "a.mp4"])
def test_an_image_that_was_cut_is_one_damaged_frame(tmp_path: Path, container: str) -> None:
    def images(change: Callable[[int, bytes], bytes]) -> Path:
        path = tmp_path / container
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mjpeg", rate=RATE, width=LARGE[0], height=LARGE[1])
            stream.pix_fmt = "yuvj420p"
            for index in range(5):
                shown = scenery()[20:212, 9 * index : 9 * index + 320]
                content = cv2.imencode(".jpg", shown)[1].tobytes()
                packet = av.Packet(change(index, content))
                packet.stream, packet.pts, packet.dts = stream, index, index
                packet.time_base = Fraction(1, RATE)
                packet.is_keyframe = True
                out.mux(packet)
        return path

    for share in (0.3, 0.7, 0.97):

        def third_truncated(index: int, jpeg: bytes, share: float = share) -> bytes:
            return jpeg[: int(share * len(jpeg))] if index == 2 else jpeg

        cut = play(images(third_truncated))
        assert [frame.index for frame in cut.frames] == [0, 1, 3, 4]
        assert "1 frame is damaged and was left out at index 2" in cut.message
    # Some cameras write no end marker, some fill up.
    for whole in (lambda _, jpeg: jpeg[:-2], lambda _, jpeg: jpeg + bytes(9000)):
        found = play(images(whole))
        assert (len(found.frames), found.message) == (5, "")


def emptied(path: Path, place: int) -> None:
    """Leave an mp4's sample empty; its only chunk closes up."""
    with av.open(str(path)) as opened:
        sample = [packet for packet in opened.demux(video=0) if packet.size][place]
    content = path.read_bytes()
    begin, after = present(sample.pos), content.index(b"moov") - 4
    end = begin + sample.size
    moved = bytearray(content[:begin] + content[end:after] + bytes(sample.size) + content[after:])
    at = moved.index(b"stsz") + 16 + 4 * place
    moved[at : at + 4] = bytes(4)
    path.write_bytes(moved)


@pytest.mark.parametrize("container", ["a.mp4", "a.ts", "a.mkv"])
def test_h265_with_hashes_of_its_images_is_held_to_them(tmp_path: Path, container: str) -> None:
    how = x265("bframes=0:hash=1")
    shown = [scenery()[20:212, 9 * index : 9 * index + 320].copy() for index in range(FRAMES)]
    path = make_video(
        tmp_path / container,
        codec=how.codec,
        options=how.options,
        images=shown,
        size=LARGE,
        rate=RATE,
    )
    whole = play(path)
    assert (len(whole.frames), whole.damaged, whole.message) == (FRAMES, 0, "")
    if container == "a.ts":
        return
    spoil(path, packet=15)
    found = play(path)
    assert [frame.index for frame in found.frames] == list(range(15))
    assert found.damaged == FRAMES - 15


@pytest.mark.parametrize("name", ["h264", "h264 b-frames", "mpeg4"])
def test_damaged_frames_are_marked_or_kept_on_request_and_counted_all_the_same(
    tmp_path: Path, name: str
) -> None:
    path = clip(tmp_path, "a.mp4", name, LARGE)
    spoil(path, packet=5)
    skipped = play(path)
    marked = play(path, ConnectOptions(damaged="mark"))
    kept = play(path, ConnectOptions(damaged="keep"))
    assert [frame.index for frame in marked.frames] == list(range(FRAMES))
    assert [frame.index for frame in kept.frames] == list(range(FRAMES))
    whole = [frame.index for frame in marked.frames if not frame.damaged]
    assert whole == [frame.index for frame in skipped.frames]
    assert not any(frame.damaged for frame in kept.frames)
    assert skipped.damaged == marked.damaged == kept.damaged == FRAMES - len(whole) > 0
    assert (
        f"{FRAMES - len(whole)} of them and the {len(whole)} others were delivered" in kept.message
    )


def spoil(path: Path, *, packet: int) -> None:
    """Invert some bytes in the middle of a packet."""
    with av.open(str(path)) as opened:
        found = [found for found in opened.demux(video=0) if found.size][packet]
    content = bytearray(path.read_bytes())
    middle = present(found.pos) + found.size // 2
    for at in range(middle, middle + 20):
        content[at] ^= 0xFF
    path.write_bytes(content)


def test_another_choice_for_damaged_frames_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown choice 'drop' .*skip, mark, keep"):
        ConnectOptions(damaged="drop")


def test_json_lines_show_which_frames_are_marked(
    tmp_path: Path, model: Path, oneglance: Program
) -> None:
    path, lines = clip(tmp_path, "a.mp4", "h264", LARGE), tmp_path / "a.jsonl"
    spoil(path, packet=15)
    run = oneglance("run", path, "--model", model, "--damaged", "mark", "--jsonl", lines)
    assert run.code == 2
    assert "9 frames are damaged, the first at index 15, 0.60 s" in run.err.replace("\n", " ")
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["frame"] for line in found] == list(range(FRAMES))
    assert [line.get("damaged", False) for line in found] == [False] * 15 + [True] * 9


def test_intra_refresh_heals_without_a_key_frame(tmp_path: Path) -> None:
    # One key frame at the start; from then on a column of intra blocks wanders across.
    shown = [scenery()[20:212, 9 * i : 9 * i + 320].copy() for i in range(48)]
    options = {"intra-refresh": "1", "g": "8", "bf": "0", "preset": "veryfast"}
    path = make_video(tmp_path / "a.mp4", images=shown, size=LARGE, options=options)
    whole = play(path)
    assert (len(whole.frames), whole.message) == (48, "")
    spoil(path, packet=12)
    found = play(path)
    assert wrong(found, whole.frames) == []
    assert [frame.index for frame in found.frames[:12]] == list(range(12))
    assert 2 <= found.damaged <= 24
    assert found.frames[-1].index == 47


@pytest.mark.parametrize("seed", range(3))
def test_over_lossy_rtsp_every_frame_is_delivered_or_damaged_and_none_is_smeared(
    tmp_path: Path, seed: int
) -> None:
    path = clip(tmp_path, "a.mp4", "h264", LARGE)
    whole, sent, chance = play(path).frames, 5 * FRAMES, random.Random(seed)
    lost = {(frame, packet) for frame in range(FRAMES, 4 * FRAMES) for packet in range(40)}
    lost = {place for place in sorted(lost) if chance.random() < 1 / 60}
    with lossy_rtsp(Film.of(path), sent, lambda frame, packet: (frame, packet) in lost) as url:
        found, _ = watch(open_stream(url, ConnectOptions(timeout_s=20, stall_s=20)))
    assert [
        frame.index
        for frame in found.frames
        if differs(frame.image, whole[frame.index % FRAMES].image)
    ] == []
    assert found.produced == len(found.frames) + found.damaged == sent
    assert found.damaged > 0


@pytest.mark.parametrize("name", ["h264", "h265", "mpeg4"])
def test_over_a_lossy_transport_stream_no_frame_is_smeared(tmp_path: Path, name: str) -> None:
    path = clip(tmp_path, "a.ts", name, LARGE)
    content, whole, chance = path.read_bytes(), play(path).frames, random.Random(5)
    parts = packets(content)
    kept = [part for part in parts[40:-40] if not is_video(part) or chance.random() > 1 / 150]
    lossy = b"".join([*parts[:40], *kept, *parts[-40:]])

    def live(connection: Connection) -> None:
        for at in range(0, len(lossy), 50 * PACKET):
            connection.raw(lossy[at : at + 50 * PACKET], header=TS_HEADER)
            connection.wait(0.01)

    with scripted_camera(live) as camera:
        found, _ = watch(open_stream(camera.url, ConnectOptions(timeout_s=20, stall_s=20)))
    assert [f.index for f in found.frames if differs(f.image, whole[f.index].image)] == []
    assert found.produced == len(found.frames) + found.damaged
    assert 0 < found.damaged < FRAMES


def test_the_cases_of_the_shared_material(shared: Path) -> None:
    faults = shared / "faults" / "streams"
    if not faults.is_dir():
        pytest.skip("needs shared/faults/streams")
    for name in ("drive_lost1_h264.ts", "drive_lost1_hevc.ts", "drive_zero_hevc.mp4"):
        found = play(faults / name)
        assert [frame.index for frame in found.frames] == [*range(30), *range(90, 120)], name
        assert found.damaged == 60
        assert "60 frames are damaged and were left out, the first at index 30" in found.message
    flipped = play(faults / "drive_flip_h264.mp4")
    assert [frame.index for frame in flipped.frames] == [*range(30), *range(90, 120)]
    assert (len(play(faults / "restart.ts").frames), play(faults / "restart.ts").message) == (
        40,
        "",
    )
    for name in ("zero_mid_h264.mp4", "zero_mid_mjpeg.mp4"):
        assert (
            "1 frame is damaged and was left out at index 12, 0.40 s" in play(faults / name).message
        )
