"""Finished HLS playlists over HTTP: a hole or a lost end is reported; times are the playlist's."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from http_server import http_server
from media import index_of, make_video
from oneglance.streams import ConnectOptions, SourceBroken, SourceStalled
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.live.reconnecting import open_with_reconnect
from oneglance.streams.outputs import write_file
from playing import play_until
from program import Program

COUNT, RATE, PART = 50, 25, 10
"""Frames of a playlist, frames a second, frames of a segment."""

Build = Callable[..., tuple[Path, list[str]]]

FORMATS = {
    "ts": {},
    "cmaf": {"hls_segment_type": "fmp4"},
    "ranges": {"hls_flags": "single_file"},
    "sound": {},
}


@pytest.fixture(params=FORMATS)
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Builds a playlist of five segments; gives it and its lines."""

    def make(count: int = COUNT) -> tuple[Path, list[str]]:
        path = make_video(
            tmp_path / "a.m3u8",
            frames=count,
            options={"g": str(PART), "bf": "0", "sc_threshold": "0"},
            container_options={
                "hls_time": str(PART / RATE),
                "hls_list_size": "0",
                "hls_playlist_type": "vod",
                **FORMATS[request.param],
            },
            audio_s=count / RATE if request.param == "sound" else 0,
        )
        return path, path.read_text().splitlines()

    return make


def segments(lines: list[str]) -> list[int]:
    return [number for number, line in enumerate(lines) if line and not line.startswith("#")]


def lose(lines: list[str], number: int, address: str) -> None:
    """Have segment ``number`` lie at ``address``."""
    at = segments(lines)[number]
    lines[at] = address
    for tag in range(at - 3, at):
        if lines[tag].startswith("#EXT-X-BYTERANGE"):
            lines[tag] = "#"


def opened(url: str, timeout_s: float = 5) -> NetworkStream:
    return NetworkStream(url, ConnectOptions(timeout_s=timeout_s, stall_s=timeout_s))


def test_a_whole_playlist_plays_whole_and_nothing_is_reported(build: Build, web: str) -> None:
    path, lines = build()
    assert len(segments(lines)) == COUNT // PART
    with opened(f"{web}/file/{path.name}") as stream:
        assert not stream.live
        frames = list(stream)
    assert [frame.timestamp_s for frame in frames] == pytest.approx(
        [frames[0].timestamp_s + index / RATE for index in range(COUNT)], abs=0.002
    )


@pytest.mark.parametrize("lost", [0, 2, 4])
def test_behind_a_redirect_a_segment_that_is_not_there_is_reported_too(
    build: Build, web: str, lost: int
) -> None:
    path, lines = build()
    lose(lines, lost, "gone")
    path.write_text("\n".join(lines))
    with opened(f"{web}/moved/{path.name}") as stream:
        frames, message = play_until(SourceBroken, stream)
    late_s = frames[0].timestamp_s - (PART / RATE if lost == 0 else 0)
    assert 0 <= late_s < 0.1
    assert [index_of(frame.image) for frame in frames] == [
        round((frame.timestamp_s - late_s) * RATE) % 25 for frame in frames
    ]
    assert f"(segment {lost + 1} of 5)" in message


@pytest.mark.parametrize("lost", range(COUNT // PART))
def test_a_segment_that_is_not_there_is_reported_and_the_times_stay_those_of_the_playlist(
    build: Build, web: str, lost: int
) -> None:
    path, lines = build()
    lose(lines, lost, "gone")
    path.write_text("\n".join(lines))
    with opened(f"{web}/file/{path.name}") as stream:
        frames, message = play_until(SourceBroken, stream)
    late_s = frames[0].timestamp_s - (PART / RATE if lost == 0 else 0)
    assert 0 <= late_s < 0.1  # sound begins before its video
    for frame in frames:
        shown = round((frame.timestamp_s - late_s) * RATE)
        assert shown // PART != lost
        assert index_of(frame.image) == shown % 25
    begin_s, end_s = lost * PART / RATE, (lost + 1) * PART / RATE
    assert PART * 4 - 3 <= len(frames) <= PART * 4
    assert f"{begin_s:.2f} to {end_s:.2f} s (segment {lost + 1} of 5)" in message
    assert re.search(r"0\.40 of 2\.00 s are missing( or damaged)? \(about 10 frames\)", message)


def test_a_segment_that_breaks_off_is_reported(build: Build, web: str) -> None:
    path, lines = build()
    name = lines[segments(lines)[2]]
    if lines[segments(lines)[2] - 1].startswith("#EXT-X-BYTERANGE"):
        pytest.skip("a part of a file has no end of its own")
    lose(lines, 2, f"/cut/{name}")
    path.write_text("\n".join(lines))
    with opened(f"{web}/file/{path.name}") as stream:
        frames, message = play_until(SourceBroken, stream)
    assert PART * 4 <= len(frames) < COUNT
    assert "to 1.20 s (segment 3 of 5)" in message
    assert frames[-1].timestamp_s - frames[0].timestamp_s == pytest.approx(1.96, abs=0.002)


@pytest.mark.parametrize("cut", [0, 2, 4])
def test_a_segment_that_lies_there_halved_is_reported(
    tmp_path: Path, build: Build, web: str, cut: int
) -> None:
    path, lines = build()
    at = segments(lines)[cut]
    if lines[at - 1].startswith("#EXT-X-BYTERANGE"):
        count, first = lines[at - 1].removeprefix("#EXT-X-BYTERANGE:").split("@")
        lines[at - 1] = f"#EXT-X-BYTERANGE:{int(count) // 2}@{first}"
        path.write_text("\n".join(lines))
    else:
        half = tmp_path / lines[at]
        half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    with opened(f"{web}/file/{path.name}") as stream:
        frames, message = play_until(SourceBroken, stream)
    assert PART * 4 - 2 <= len(frames) < COUNT
    assert f"to {(cut + 1) * PART / RATE:.2f} s (segment {cut + 1} of 5)" in message


def test_two_segments_that_are_halved_cost_no_other(tmp_path: Path, build: Build, web: str) -> None:
    path, lines = build()
    at = segments(lines)
    if len({lines[each] for each in at}) == 1:
        pytest.skip("a part of a file has no end of its own")
    for number in (1, 3):
        half = tmp_path / lines[at[number]]
        half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    with opened(f"{web}/file/{path.name}") as stream:
        frames, message = play_until(SourceBroken, stream)
    late_s = frames[0].timestamp_s
    for frame in frames:
        assert index_of(frame.image) == round((frame.timestamp_s - late_s) * RATE) % 25
    assert 3 * PART <= len(frames) < 5 * PART
    assert "(segment 2 of 5)" in message
    assert "(segment 4 of 5)" in message


@pytest.mark.slow
@pytest.mark.parametrize("lost", [1, 4])
def test_a_segment_that_hangs_is_given_up_and_reported(build: Build, web: str, lost: int) -> None:
    path, lines = build()
    lose(lines, lost, "/silent")
    path.write_text("\n".join(lines))
    with opened(f"{web}/file/{path.name}", timeout_s=4) as stream:
        frames, message = play_until(SourceBroken, stream)
    assert PART * 4 - 3 <= len(frames) <= PART * 4
    assert f"(segment {lost + 1} of 5)" in message


@pytest.mark.slow
def test_where_all_the_rest_hangs_the_silence_says_how_much_is_missing(
    tmp_path: Path, web: str
) -> None:
    path = make_video(
        tmp_path / "a.m3u8",
        frames=COUNT,
        options={"g": str(PART), "bf": "0"},
        container_options={"hls_time": "0.4", "hls_list_size": "0"},
    )
    lines = path.read_text().splitlines()
    for number in range(2, 5):
        lose(lines, number, "/silent")
    path.write_text("\n".join(lines))
    with opened(f"{web}/file/{path.name}", timeout_s=1) as stream:
        _, message = play_until(SourceStalled, stream)
    assert "gave nothing for 1 s" in message
    assert re.search(r"1\.\d\d of 2\.00 s are missing", message)
    assert re.search(r"to 2\.00 s \(segments \d to 5 of 5\)", message)


@pytest.mark.slow
def test_only_the_largest_rendition_is_fetched_and_the_others_are_named(
    tmp_path: Path, web: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, size in (("small", (64, 48)), ("large", (128, 96))):
        make_video(
            tmp_path / f"{name}.m3u8",
            frames=COUNT,
            size=size,
            options={"g": str(PART), "bf": "0"},
            container_options={"hls_time": "0.4", "hls_list_size": "0"},
        )
    master = tmp_path / "master.m3u8"
    master.write_text(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=64x48\nsmall.m3u8\n"
        '#EXT-X-STREAM-INF:CODECS="avc1.4d,mp4a",BANDWIDTH=900000,RESOLUTION=128x96\nlarge.m3u8\n'
    )
    (tmp_path / "large3.ts").unlink()
    (tmp_path / "small2.ts").unlink()
    with caplog.at_level(logging.INFO), opened(f"{web}/file/master.m3u8") as stream:
        frames, message = play_until(SourceBroken, stream)
    assert {frame.size for frame in frames} == {(128, 96)}
    assert "0.40 of 2.00 s are missing" in message
    assert "(segment 4 of 5)" in message
    assert "playing 128x96 (900 kbit/s) of a playlist that offers 64x48 (300 kbit/s)" in caplog.text


@pytest.mark.slow
def test_a_playlist_that_is_not_whole_ends_a_run_with_code_2(
    tmp_path: Path, web: str, model: Path, oneglance: Program
) -> None:
    path = make_video(
        tmp_path / "a.m3u8",
        frames=COUNT,
        options={"g": str(PART), "bf": "0"},
        container_options={"hls_time": "0.4", "hls_list_size": "0"},
    )
    (tmp_path / "a4.ts").unlink()
    run = oneglance("run", f"{web}/file/{path.name}?token=S3CRET", "--model", model)
    assert run.code == 2
    assert "0.40 of 2.00 s are missing" in run.message
    assert "S3CRET" not in run.out + run.err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["part{}", "part{}.jpg", "part{}.php", "{}"])
def test_segments_may_be_called_anything(tmp_path: Path, web: str, name: str) -> None:
    path = make_video(
        tmp_path / "a.m3u8",
        frames=COUNT,
        options={"g": str(PART), "bf": "0"},
        container_options={"hls_time": "0.4", "hls_list_size": "0"},
    )
    text = path.read_text()
    for number in range(5):
        (tmp_path / f"a{number}.ts").rename(tmp_path / name.format(number))
        text = text.replace(f"a{number}.ts", name.format(number))
    path.write_text(text)
    with opened(f"{web}/file/{path.name}") as stream:
        assert len(list(stream)) == COUNT


@pytest.mark.parametrize(
    ("name", "count", "place"),
    [
        ("vod", 180, None),
        ("noext", 180, None),
        ("jpgext", 180, None),
        ("miss_last", 150, "5.00 to 6.00 s (segment 6 of 6)"),
        ("miss_mid", 150, "2.00 to 3.00 s (segment 3 of 6)"),
        ("half_mid", 162, "to 3.00 s (segment 3 of 6)"),
    ],
)
def test_playlists_that_people_reported_are_whole_or_reported(
    shared: Path, name: str, count: int, place: str | None
) -> None:
    folder = shared / "faults" / "streams" / "hls"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    with http_server(folder) as (web, _), opened(f"{web}/file/{name}.m3u8") as stream:
        if place is None:
            assert len(list(stream)) == count
            return
        frames, message = play_until(SourceBroken, stream)
    assert count <= len(frames) < count + 3
    assert place in message
    assert frames[-1].timestamp_s == pytest.approx(5.967, abs=0.001) or name == "miss_last"


def test_a_broadcast_that_ends_is_played_once_and_not_again_as_a_recording(
    build: Build, web: str
) -> None:
    path, lines = build()
    begun = [line for line in lines if not line.startswith(("#EXT-X-PLAYLIST-TYPE", "#EXT-X-END"))]
    third = segments(begun)[2]
    path.write_text("\n".join(begun[: third + 1]) + "\n")

    def end() -> None:
        write_file(path, "\n".join([*begun, "#EXT-X-ENDLIST"]) + "\n")

    ending = threading.Timer(0.5, end)
    ending.start()
    with open_with_reconnect(f"{web}/file/a.m3u8", ConnectOptions(timeout_s=10)) as stream:
        frames = list(stream)
    ending.join()
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert all(index_of(frame.image) == frame.index % 25 for frame in frames)
