from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from oneglance.models.tasks import Task
from oneglance.perception.result import Result
from oneglance.perception.sinks import VideoSink, video
from oneglance.perception.sinks.drawing import COLOURS
from oneglance.perception.sinks.video import FRAGMENT_S, LONGEST_SIDE
from oneglance.streams.errors import SinkError
from oneglance.streams.frame import Image
from present import present

Results = Callable[..., Result]


@dataclass(frozen=True)
class Played:
    rate: Fraction | None
    start_s: float
    size: tuple[int, int]
    times_s: list[float]
    images: list[Image]


def play(path: Path) -> Played:
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = list(container.decode(stream))
        return Played(
            rate=stream.average_rate,
            start_s=float((stream.start_time or 0) * (stream.time_base or 0)),
            size=(stream.width, stream.height),
            times_s=[float(frame.time or 0) for frame in frames],
            images=[frame.to_ndarray(format="bgr24") for frame in frames],  # type: ignore[misc]
        )


def plain(width: int, height: int, colour: tuple[int, int, int] = (90, 90, 90)) -> Image:
    return np.full((height, width, 3), colour, np.uint8)


def boxes_of(path: Path) -> list[str]:
    data, place, kinds = path.read_bytes(), 0, []
    while place < len(data):
        kinds.append(data[place + 4 : place + 8].decode())
        place += int.from_bytes(data[place : place + 4], "big")
    return kinds


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25)])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_declared_rate_stays_exactly_that(
    rate: Fraction, suffix: str, tmp_path: Path, result: Results
) -> None:
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, frame_rate=rate)
    for index in range(70):  # more than two fragments
        sink.write(result(float(index / rate)))
    sink.close()
    played = play(path)
    assert played.rate == rate
    assert played.start_s == 0
    assert played.times_s == pytest.approx([float(i / rate) for i in range(70)], abs=1e-9)


def test_a_variable_rate_stays_as_filmed(tmp_path: Path, result: Results) -> None:
    times_s = [0, 0.021, 0.1, 0.13, 0.9, 1.05, 1.9, 2.0, 4.7, 4.75, 4.8]
    sink = VideoSink(tmp_path / "out.mp4", frame_rate=Fraction(30))
    for time_s in times_s:
        sink.write(result(100 + time_s))
    sink.close()
    # 0.1, 0.13, 0.9, … lie in the grid of 30 a second or within a millisecond of it.
    assert play(tmp_path / "out.mp4").times_s == pytest.approx(times_s, abs=1.1e-3)


def test_dropped_frames_leave_a_pause_and_do_not_speed_the_video_up(
    tmp_path: Path, result: Results
) -> None:
    sink = VideoSink(tmp_path / "out.mp4", frame_rate=Fraction(10))
    kept = [0, 1, 2, 13, 14, 15]  # ten frames dropped: one second
    for index in kept:
        sink.write(result(index / 10, index=index))
    sink.close()
    assert play(tmp_path / "out.mp4").times_s == pytest.approx([i / 10 for i in kept])


def test_detections_are_drawn(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path)
    found = [("sign", 0.9, (300, 200, 340, 240), 4)]
    sink.write(result(image=plain(640, 360), found=found))
    sink.close()
    beside = play(path).images[0][215:225, 290:300].astype(int)
    nearest = np.abs(beside - COLOURS[Task.SIGN]).sum(axis=2).min()
    assert nearest < 120  # chroma is halved and coded; the grey around it is 485 away


@pytest.mark.parametrize("colour", [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)])
def test_colours_stay_what_they_are(
    colour: tuple[int, int, int], tmp_path: Path, result: Results
) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    sink.write(result(image=plain(64, 48, colour)))
    sink.close()
    seen = play(tmp_path / "out.mp4").images[0].mean(axis=(0, 1))
    assert seen == pytest.approx(colour, abs=4)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (101, 64), (64, 77)])
def test_odd_sizes_grow_by_repeating_an_edge(
    size: tuple[int, int], tmp_path: Path, result: Results
) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    sink.write(result(image=plain(*size, (200, 200, 200))))
    sink.close()
    played = play(tmp_path / "out.mp4")
    assert played.size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert played.images[0].min() > 190  # no dark row or column was added


@pytest.mark.parametrize(("size", "video"), [((4000, 3000), (3840, 2880)), ((9001, 3), (3840, 2))])
def test_huge_images_are_scaled_down(
    size: tuple[int, int], video: tuple[int, int], tmp_path: Path, result: Results
) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    sink.write(result(image=plain(*size)))
    sink.close()
    assert play(tmp_path / "out.mp4").size == video
    assert max(video) == LONGEST_SIDE


def test_frames_of_another_size_are_fitted_into_the_first(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path)
    sink.write(result(0, image=plain(64, 48, (200, 200, 200))))
    sink.write(result(1, image=plain(48, 96, (200, 200, 200))))
    sink.close()
    played = play(path)
    assert played.size == (64, 48)
    # 48×96 into 64×48: half its size, 24×48, between bars of (64 - 24) / 2 = 20 columns.
    columns = played.images[1].mean(axis=(0, 2))
    assert columns[:16].max() < 20
    assert columns[24:40].min() > 180
    assert columns[48:].max() < 20


def test_times_that_stand_still_or_jump_back_still_play(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, frame_rate=Fraction(25))
    for time_s in (5.0, 5.04, 5.04, 1.0, 1.04):
        sink.write(result(time_s))
    sink.close()
    times_s = play(path).times_s
    assert len(times_s) == 5
    assert times_s == sorted(set(times_s))


def test_a_closed_file_is_a_normal_mp4(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path)
    for index in range(5):
        sink.write(result(index * FRAGMENT_S))
    assert "moof" in boxes_of(path)  # in fragments while it is written
    sink.close()
    assert "moof" not in boxes_of(path)
    assert len(play(path).times_s) == 5


def test_a_run_without_frames_leaves_no_file(tmp_path: Path) -> None:
    VideoSink(tmp_path / "out.mp4").close()
    assert not (tmp_path / "out.mp4").exists()


def test_a_run_without_frames_leaves_an_older_video_alone(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"an older video")
    VideoSink(path).close()
    assert path.read_bytes() == b"an older video"


def test_the_first_frame_replaces_an_older_video(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"x" * 1_000_000)
    sink = VideoSink(path)
    sink.write(result())
    sink.close()
    assert path.stat().st_size < 10_000
    assert len(play(path).times_s) == 1


def test_closing_twice_is_closing_once(tmp_path: Path, result: Results) -> None:
    sink = VideoSink(tmp_path / "out.MP4")
    sink.write(result())
    sink.close()
    sink.close()
    assert len(play(tmp_path / "out.MP4").times_s) == 1


@pytest.mark.parametrize("name", ["out", "out.avi", "out.jsonl"])
def test_a_name_that_is_no_videos_is_refused_before_anything_is_made(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(SinkError, match=r"ends in \.mp4 or \.mov"):
        VideoSink(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [None, Fraction(25), Fraction(999_983, 1000)])
@pytest.mark.parametrize("gap_s", [36 * 60 + 1, 8 * 3600])
def test_after_a_pause_of_hours_frames_are_shown_when_they_were_filmed(
    tmp_path: Path, result: Results, rate: Fraction | None, gap_s: int
) -> None:
    path = tmp_path / "pause.mp4"
    times_s = [0.0, 0.04, 0.08, *(gap_s + step for step in (0.0, 0.04, 0.08, 0.5))]
    sink = VideoSink(path, frame_rate=rate)
    for index, time_s in enumerate(times_s):
        shade = (30 * index, 30 * index, 30 * index)
        sink.write(result(time_s, image=plain(64, 48, shade)))
    sink.close()
    with av.open(str(path)) as container:
        found = [
            (present(f.time), round(float(f.to_ndarray(format="bgr24").mean()) / 30))
            for f in container.decode(video=0)
        ]
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(times_s[-1], abs=1)
    for index, time_s in enumerate(times_s):
        assert min(abs(seen_s - time_s) for seen_s, shade in found if shade == index) < 2e-3
    repeated = [seen_s for seen_s, _ in found if 1 < seen_s < gap_s - 1]
    assert len(found) == len(times_s) + len(repeated)
    assert {shade for seen_s, shade in found if seen_s in repeated} == {2}


def test_an_encoder_that_fails_is_reported_with_the_file(
    tmp_path: Path, result: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(video._ENCODER, "preset", "nosuch")  # libx264 itself refuses that
    path = tmp_path / "seen.mp4"
    sink = VideoSink(path)
    with pytest.raises(SinkError, match=r"cannot write .*seen\.mp4: the video encoder failed"):
        sink.write(result(image=plain(64, 48)))
    sink.close()
    assert not path.exists()
