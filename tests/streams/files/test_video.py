"""Real encodes played back: images, times, turns, colours, ends.

``video("a.mp4", frames=25)`` is one second at 25 frames a second; frame i shows number i.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from media import index_of, make_video, photograph, turn
from oneglance.streams import ConnectOptions, Frame, UsageError
from oneglance.streams.files.video import VideoFile
from present import present
from waiting import LONG_S, wait_until, within

MakeVideo = Callable[..., Path]

CODINGS = [
    ("h264.mp4", "libx264"),
    ("h264.mkv", "libx264"),
    ("h264.mov", "libx264"),
    ("h264.avi", "libx264"),
    ("h265.mp4", "libx265"),
    ("h265.mkv", "libx265"),
    ("mpeg4.avi", "mpeg4"),
    ("mpeg4.mp4", "mpeg4"),
    ("mjpeg.avi", "mjpeg"),
    ("mjpeg.mov", "mjpeg"),
]


def play(file: Path) -> list[Frame]:
    with VideoFile(file) as stream:
        return list(stream)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_as_many_b_frames_in_a_row_as_encoders_make_cost_none(
    tmp_path: Path, name: str, codec: str
) -> None:
    if codec == "libx265" and name == "a.avi":
        pytest.skip("H.265 in AVI is nobody's format")
    deep = {"bf": "16", "b-pyramid": "strict", "b_strategy": "0"}
    x265 = {"x265-params": "bframes=16:b-pyramid=1:b-adapt=0:log-level=none"}
    options = {"g": "60", **(deep if codec == "libx264" else x265)}
    frames = play(make_video(tmp_path / name, codec=codec, frames=40, options=options))
    assert [index_of(frame.image) for frame in frames] == [*range(25), *range(15)]


@pytest.mark.parametrize(("name", "codec"), CODINGS, ids=[name for name, _ in CODINGS])
def test_every_frame_comes_once_and_in_order(video: MakeVideo, name: str, codec: str) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    frames = play(video(name, codec=codec, pix_fmt=pix_fmt, frames=25))
    assert [index_of(frame.image) for frame in frames] == list(range(25))
    assert [frame.index for frame in frames] == list(range(25))
    assert {frame.size for frame in frames} == {(64, 48)}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_carry_the_times_at_which_they_were_filmed(video: MakeVideo, name: str) -> None:
    times_s = [Fraction(ms, 1000) for ms in (0, 40, 200, 240, 1000)]
    frames = play(video(name, frames=5, times_s=times_s))
    assert [frame.timestamp_s for frame in frames] == [0.0, 0.04, 0.2, 0.24, 1.0]
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
def test_a_rate_of_29_97_stays_exactly_30000_over_1001(video: MakeVideo, name: str) -> None:
    with VideoFile(video(name, rate=Fraction(30000, 1001))) as stream:
        assert stream.frame_rate == Fraction(30000, 1001)


@pytest.mark.parametrize(("name", "codec"), CODINGS, ids=[name for name, _ in CODINGS])
@pytest.mark.parametrize("waiting", ["0", "2"])
def test_the_first_frame_is_shown_at_the_start_whatever_frames_wait_for_later_ones(
    video: MakeVideo, name: str, codec: str, waiting: str
) -> None:
    # AVI has decoding times alone: libav shows the first frame of H.264 in it a frame late.
    options = {
        "libx264": {"bf": waiting, "b_strategy": "0"},
        "libx265": {"x265-params": f"log-level=none:bframes={waiting}:b-adapt=0"},
        "mpeg4": {"bf": waiting},
        "mjpeg": {},
    }
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    frames = play(video(name, codec=codec, pix_fmt=pix_fmt, frames=10, options=options[codec]))
    assert [index_of(frame.image) for frame in frames] == list(range(10))
    assert [frame.timestamp_s for frame in frames] == [index / 25 for index in range(10)]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("waiting", ["1", "3"])
def test_times_in_avi_are_those_of_showing_though_it_holds_those_of_decoding(
    video: MakeVideo, codec: str, waiting: str
) -> None:
    frames = play(video("a.avi", codec=codec, frames=25, options={"bf": waiting, "g": "12"}))
    assert [index_of(frame.image) for frame in frames] == list(range(25))
    assert [frame.timestamp_s for frame in frames] == [index / 25 for index in range(25)]


def raw_mjpeg(video: MakeVideo) -> Path:
    return video("a.mjpeg", codec="mjpeg", pix_fmt="yuvj420p", frames=10, rate=20)


def test_a_raw_recording_without_a_rate_has_none_and_its_assumed_times_are_reported(
    video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    with VideoFile(raw_mjpeg(video)) as stream:
        assert stream.frame_rate is None
        frames = list(stream)
    assert [frame.timestamp_s for frame in frames] == [index / 25 for index in range(10)]
    assert "does not say how many frames it has a second: 25 are assumed" in caplog.text


def test_large_images_in_a_row_have_no_rate_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "a.mjpeg"
    images = [cv2.imencode(".jpg", photograph(index, (640, 480)))[1] for index in range(3)]
    file.write_bytes(b"".join(image.tobytes() for image in images))
    slow = VideoFile(file, ConnectOptions(fps=10))
    assert [frame.timestamp_s for frame in slow] == pytest.approx([0, 0.1, 0.2])
    assert caplog.text == ""
    unknown = VideoFile(file)
    assert unknown.frame_rate is None
    assert len(list(unknown)) == 3
    assert "does not say how many frames it has a second: 25 are assumed" in caplog.text


@pytest.mark.parametrize("fps", [20, 29.97])
def test_who_knows_the_rate_of_a_raw_recording_can_say_it(
    video: MakeVideo, fps: float, caplog: pytest.LogCaptureFixture
) -> None:
    with VideoFile(raw_mjpeg(video), ConnectOptions(fps=fps)) as stream:
        assert float(stream.frame_rate or 0) == pytest.approx(fps)
        times_s = [frame.timestamp_s for frame in stream]
    assert times_s == pytest.approx([index / fps for index in range(10)])
    assert not caplog.text


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.hevc", "libx265")])
@pytest.mark.parametrize("waiting", ["0", "2"])
def test_a_raw_recording_is_believed_the_rate_that_its_coding_declares(
    video: MakeVideo, name: str, codec: str, waiting: str
) -> None:
    params = f"log-level=none:bframes={waiting}:b-adapt=0"
    options = {"x265-params": params} if codec == "libx265" else {"bf": waiting}
    path = video(name, codec=codec, options=options, frames=10, rate=20)
    with VideoFile(path, ConnectOptions(fps=50)) as stream:
        assert stream.frame_rate == 20
        frames = list(stream)
    assert [index_of(frame.image) for frame in frames] == list(range(10))
    assert [frame.timestamp_s for frame in frames] == [index / 20 for index in range(10)]


def test_the_cases_of_times_in_the_shared_material(shared: Path) -> None:
    faults = shared / "faults" / "streams"
    if not faults.is_dir():
        pytest.skip("needs shared/faults/streams")
    times_s = [frame.timestamp_s for frame in play(faults / "bframes.avi")]
    assert times_s == [float(Fraction(index, 30)) for index in range(60)]
    packed = play(faults / "fmt_xvid.avi")  # all that there is was coded without a gap
    assert [frame.timestamp_s for frame in packed] == [index / 25 for index in range(18)]
    with VideoFile(faults / "fcamera.hevc") as camera:
        assert camera.frame_rate is None
    with VideoFile(faults / "fcamera.hevc", ConnectOptions(fps=20)) as camera:
        assert [frame.timestamp_s for frame in camera] == [index / 20 for index in range(40)]


def test_ntsc_times_in_mp4_are_exact_to_the_last_bit(video: MakeVideo) -> None:
    frames = play(video("a.mp4", rate=Fraction(30000, 1001), frames=10))
    assert [frame.timestamp_s for frame in frames] == [
        float(Fraction(1001 * i, 30000)) for i in range(10)
    ]


def test_times_count_from_the_start_of_the_file_when_its_clock_does_not(video: MakeVideo) -> None:
    # MPEG-TS clocks of libav begin at 1.4 s.
    frames = play(video("a.ts", frames=3))
    assert [frame.timestamp_s for frame in frames] == [0.0, 0.04, 0.08]


def test_video_that_begins_after_the_sound_keeps_its_distance(tmp_path: Path) -> None:
    # Sound from 0 s on; the first image at 400 ms.
    times_s = [Fraction(ms, 1000) for ms in (400, 440, 480)]
    file = make_video(tmp_path / "late.mkv", frames=3, times_s=times_s, audio_s=1.0)
    assert [frame.timestamp_s for frame in play(file)] == [0.4, 0.44, 0.48]


def test_mp4_declares_its_frames_and_matroska_does_not(video: MakeVideo) -> None:
    with VideoFile(video("a.mp4", frames=7)) as mp4, VideoFile(video("a.mkv", frames=7)) as mkv:
        assert (mp4.frame_count, mkv.frame_count) == (7, None)
        assert not mp4.live


@pytest.mark.parametrize(
    ("degrees", "size", "bright_corner"),
    [
        (0, (64, 48), (0, 0)),
        (90, (48, 64), (0, -1)),
        (180, (64, 48), (-1, -1)),
        (270, (48, 64), (-1, 0)),
    ],
)
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mov", "libx264"), ("a.mp4", "libx265"), ("a.mp4", "mpeg4")]
)
def test_a_video_filmed_sideways_comes_upright(
    tmp_path: Path,
    degrees: int,
    size: tuple[int, int],
    bright_corner: tuple[int, int],
    name: str,
    codec: str,
) -> None:
    # A white patch in the first row and column; turned clockwise by 90° it is at the right end
    # of the first row, by 180° at the end of the last row, by 270° at the start of the last row.
    shown = np.zeros((48, 64, 3), np.uint8)
    shown[:16, :16] = 255
    # Five, as libx265 gives times out of thin air when there are fewer frames than it holds back.
    file = turn(make_video(tmp_path / name, images=[shown] * 5, codec=codec), degrees)
    frame = play(file)[0]
    assert frame.size == size
    corners = {(y, x): int(frame.image[y, x, 0]) for y in (0, -1) for x in (0, -1)}
    assert max(corners, key=lambda at: corners[at]) == bright_corner
    assert corners[bright_corner] > 200
    assert sorted(corners.values())[2] < 60


@pytest.mark.parametrize("matrix", ["ITU709", "ITU601"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_colours_come_back_as_they_were_filmed(tmp_path: Path, matrix: str, full: bool) -> None:
    # Taking one matrix for the other would shift pure green by 18 levels or more in red or blue,
    # taking one range for the other grey 200 by 14.
    colours = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (200, 200, 200)]
    file = tmp_path / "a.mp4"
    wide = 2 if full else 1
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = {"ITU709": 1, "ITU601": 6}[matrix]
        stream.codec_context.color_range = wide
        for index, colour in enumerate(colours):
            plain = av.VideoFrame.from_ndarray(np.full((48, 64, 3), colour, np.uint8), "bgr24")
            coded = plain.reformat(
                format="yuv420p", src_color_range=2, dst_colorspace=matrix, dst_color_range=wide
            )
            coded.pts, coded.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(coded))
        container.mux(stream.encode(None))
    found = [frame.image[24, 32].astype(int) for frame in play(file)]
    np.testing.assert_allclose(found, colours, atol=5)


def test_an_odd_width_gives_contiguous_images(video: MakeVideo) -> None:
    # 70 pixels of 3 bytes fill no whole number of libav's 64-byte lines.
    frame = play(video("a.mp4", size=(70, 50), frames=2))[0]
    assert frame.size == (70, 50)
    assert frame.image.flags.c_contiguous


def test_frames_stay_as_they_are_while_later_ones_are_decoded(video: MakeVideo) -> None:
    with VideoFile(video("a.mp4", frames=10)) as stream:
        frames = iter(stream)
        first = next(frames)
        before = first.image.copy()
        list(frames)
    assert np.array_equal(first.image, before)


def test_a_file_whose_beginning_was_trimmed_by_an_edit_list_ends_cleanly(
    tmp_path: Path, video: MakeVideo
) -> None:
    # Ten of 25 packets lie before time 0: they are decoded, and not shown.
    whole, trimmed = video("whole.mp4", options={"bf": "0"}), tmp_path / "trimmed.mp4"
    with av.open(str(whole)) as source, av.open(str(trimmed), "w") as out:
        out_stream = out.add_stream_from_template(source.streams.video[0])
        shift = round(Fraction(10, 25) / present(source.streams.video[0].time_base))
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts = present(packet.pts) - shift
                packet.dts = present(packet.dts) - shift
                packet.stream = out_stream
                out.mux(packet)
    frames = play(trimmed)
    assert [index_of(frame.image) for frame in frames] == list(range(10, 25))


@pytest.mark.parametrize("audio_s", [0.2, 5.0])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_shorter_or_longer_than_the_video_is_no_fault(
    video: MakeVideo, name: str, audio_s: float
) -> None:
    assert len(play(video(name, audio_s=audio_s))) == 25


def test_leaving_the_loop_early_is_no_fault(video: MakeVideo) -> None:
    with VideoFile(video("a.mp4")) as stream:
        assert next(iter(stream)).index == 0


def test_a_closed_video_ends_at_its_next_frame(video: MakeVideo) -> None:
    with VideoFile(video("a.mp4")) as stream:
        frames = iter(stream)
        next(frames)
        stream.close()
        assert list(frames) == []


def test_closing_twice_and_without_playing_is_allowed(video: MakeVideo) -> None:
    stream = VideoFile(video("a.mp4"))
    stream.close()
    stream.close()
    assert list(stream) == []


def test_playing_twice_is_refused_and_not_taken_for_an_empty_video(video: MakeVideo) -> None:
    with VideoFile(video("a.mp4")) as stream:
        assert len(list(stream)) == 25
        with pytest.raises(UsageError, match="played already"):
            list(stream)


def test_another_thread_may_close_while_frames_are_read(video: MakeVideo) -> None:
    stream, playing, closed = VideoFile(video("a.mp4", frames=100)), threading.Event(), list[bool]()
    counts: list[int] = []

    def play_on() -> None:
        for count, _ in enumerate(stream, 1):
            counts.append(count)
            if count == 10:
                playing.set()
                wait_until(lambda: closed)

    reader = threading.Thread(target=play_on)
    reader.start()
    assert playing.wait(LONG_S)
    with within(0.5):
        stream.close()
    closed.append(True)
    reader.join(LONG_S)
    assert not reader.is_alive()
    assert len(counts) == 10


@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [
        ("udacity_highway_720p.mp4", 38, (1280, 720)),
        ("udacity_lanes_540p.mp4", 221, (960, 540)),
        ("cars_static_432p.mp4", 377, (768, 432)),
        ("dashcam_stop_404p.mp4", 111, (700, 404)),
        ("dashcam_city_540p.mp4", 297, (960, 540)),
    ],
)
def test_real_clips_play_to_their_end_without_an_error(
    clips: Path, name: str, frames: int, size: tuple[int, int]
) -> None:
    played = [(frame.timestamp_s, frame.size) for frame in VideoFile(clips / name)]
    times_s = [time_s for time_s, _ in played]
    assert len(played) == frames
    assert {found for _, found in played} == {size}
    assert times_s == sorted(set(times_s))
    assert times_s[0] < 0.1


@pytest.mark.parametrize("frames", [1, 2, 25])
@pytest.mark.parametrize("name", ["a.ts", "a.m2ts", "a.MTS"])
def test_a_whole_transport_stream_is_whole_however_its_packets_stand(
    video: MakeVideo, name: str, frames: int
) -> None:
    played = play(video(name, frames=frames, options={"bf": "0", "g": "12"}))
    assert [index_of(frame.image) for frame in played] == list(range(frames))
    assert [frame.index for frame in played] == list(range(frames))


def test_an_avi_is_whole_whose_recorder_left_frames_empty_at_its_end(video: MakeVideo) -> None:
    times_s = [Fraction(n, 1000) for n in (0, 40, 80, 200, 240, 500)]
    file = video("a.avi", codec="mjpeg", pix_fmt="yuvj420p", times_s=times_s, frames=6)
    played = play(file)
    assert [frame.timestamp_s for frame in played] == [float(time_s) for time_s in times_s]
