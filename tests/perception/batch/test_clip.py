"""A clip becomes rows, wherever it lies and whatever is wrong with it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import pytest

from http_server import http_server
from media import cut, make_video, numbered_image
from oneglance.models import Detector
from oneglance.perception import Pipeline, Tracker
from oneglance.perception.batch import clip as module
from oneglance.perception.batch.clip import ClipReader, Looked, Settings
from oneglance.perception.batch.events import Split, Unit
from oneglance.perception.batch.listing import Clip, list_clips
from oneglance.perception.batch.schema import ClipRow, detections_schema
from present import present
from s3_server import s3_server

MakeVideo = Callable[..., Path]
SECRET = "hunter2-secret"
NOISE = [numbered_image(number, (1280, 720)) for number in range(4)] * 19
NOISE_SMALL = [numbered_image(number, (640, 360)) for number in range(4)] * 3
LOSSLESS = {"qp": "0", "preset": "ultrafast"}


def read(reader: ClipReader, uri: str | Path) -> tuple[list[dict[str, Any]], ClipRow]:
    """All rows of a clip."""
    (clip,) = list_clips([str(uri)])
    rows, tables = [], reader.read(clip)
    try:
        while True:
            table = next(tables)
            assert table.schema.equals(detections_schema(), check_metadata=True)
            rows += table.to_pylist()
    except StopIteration as end:
        row: ClipRow = end.value
    assert row.detections == len(rows)
    return rows, row


def ended(reader: ClipReader, unit: Unit) -> tuple[list[dict[str, Any]], Looked | Split]:
    """All rows of a unit, and what is known of it."""
    rows, tables = [], reader.look(unit)
    try:
        while True:
            rows += next(tables).to_pylist()
    except StopIteration as end:
        return rows, end.value


@pytest.fixture
def reader(model: Path) -> ClipReader:
    return ClipReader(Settings(model=str(model)))


def test_the_rows_are_what_the_pipeline_finds(
    reader: ClipReader, model: Path, video: MakeVideo
) -> None:
    clip = video("a.mp4", frames=12)
    rows, row = read(reader, clip)
    expected = [
        (
            result.frame.index,
            result.frame.timestamp_s,
            str(result.detections.data["task"][number]),
            float(present(result.detections.confidence)[number]),
            tuple(map(float, result.detections.xyxy[number])),
            None if (track := int(present(result.detections.tracker_id)[number])) < 0 else track,
        )
        for result in Pipeline(
            clip, Detector.load(model, threads=1), tracker=Tracker(frame_rate=25)
        )
        for number in range(len(result.detections))
    ]
    assert len(expected) > 30
    assert [
        (
            *(r[name] for name in ("frame", "timestamp_s", "task", "confidence")),
            tuple(r[side] for side in ("x1", "y1", "x2", "y2")),
            r["track_id"],
        )
        for r in rows
    ] == expected
    assert any(r["track_id"] is None for r in rows)
    assert any(r["track_id"] is not None for r in rows)
    assert {(r["clip"], r["width"], r["height"]) for r in rows} == {(str(clip), 64, 48)}
    assert {len(r["model_sha256"]) for r in rows} == {64}
    assert (row.uri, row.status, row.error, row.frames) == (str(clip), "ok", None, 12)
    assert row.duration == pytest.approx(12 / 25)
    assert row.seconds == pytest.approx(12 / 25)


def test_every_so_many_frames_keep_their_numbers_and_times(model: Path, video: MakeVideo) -> None:
    rows, row = read(ClipReader(Settings(model=str(model), every=5)), video("a.mp4", frames=12))
    assert sorted({r["frame"] for r in rows}) == [0, 5, 10]
    assert sorted({r["timestamp_s"] for r in rows}) == pytest.approx([0, 5 / 25, 10 / 25])
    assert row.frames == 3


def test_a_clip_says_when_it_was_filmed_by_its_name_or_its_container(
    reader: ClipReader, video: MakeVideo, tmp_path: Path
) -> None:
    tagged = tmp_path / "a.mp4"
    with av.open(str(video("made.mp4", frames=3))) as source, av.open(str(tagged), "w") as target:
        target.metadata["creation_time"] = "2026-05-04T05:30:00.000000Z"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    named = tmp_path / "20260504_073000_F.mp4"
    named.write_bytes(tagged.read_bytes())
    for clip, filmed in (
        (tagged, datetime(2026, 5, 4, 5, 30)),
        (named, datetime(2026, 5, 4, 7, 30)),
        (tmp_path / "made.mp4", None),
    ):
        assert read(reader, clip)[1].filmed == filmed


def test_tables_come_in_useful_sizes(
    reader: ClipReader, video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", 10)
    (clip,) = list_clips([str(video("a.mp4", frames=12))])
    assert {table.num_rows for table in reader.read(clip)} == {12}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["front.mp4", "index-last.mp4", "a.mkv", "a.ts"])
def test_an_object_gives_the_same_rows_as_its_file_and_is_read_about_once(
    reader: ClipReader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    options = {"movflags": "faststart"} if name == "front.mp4" else {}
    clip = make_video(
        tmp_path / name,
        size=(1280, 720),
        images=NOISE,
        options={"qp": "0", "preset": "ultrafast"},
        container_options=options,
    )
    assert clip.stat().st_size > (module.BLOCKS + 1) * module.BLOCK
    here, row_here = read(reader, clip)
    with s3_server(monkeypatch, "fleet", [clip], suffix=name) as server:
        there, row_there = read(reader, f"s3://fleet/{name}")
    assert row_there.status == "ok", row_there.error
    assert row_there.uri == f"s3://fleet/{name}"
    assert [{**r, "clip": ""} for r in there] == [{**r, "clip": ""} for r in here]
    assert (row_there.frames, row_there.duration) == (row_here.frames, row_here.duration)
    assert clip.stat().st_size * 0.9 < server.bytes <= 1.2 * clip.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("name", ["front.mp4", "index-last.mp4", "a.mkv"])
def test_the_parts_of_an_object_are_read_about_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "BLOCK", 32 * 2**10)
    clip = make_video(
        tmp_path / name,
        size=(160, 120),
        images=[numbered_image(number % 8, (160, 120)) for number in range(900)],
        options={**LOSSLESS, "g": "10"},
        container_options={"movflags": "faststart"} if name == "front.mp4" else {},
    )
    least = module.LEAST_BLOCKS * module.BLOCK
    assert clip.stat().st_size > 4 * least
    reader = ClipReader(Settings(model=str(model), track=False, split_s=1.0))
    here, _ = read(reader, clip)
    with s3_server(monkeypatch, "fleet", [clip], suffix=name) as server:
        (there,) = list_clips([f"s3://fleet/{name}"])
        _, split = ended(reader, Unit(there))
        assert isinstance(split, Split)
        assert 2 < len(split.parts) <= clip.stat().st_size // least
        rows: list[dict[str, Any]] = []
        for number, part in enumerate(split.parts):
            before = 1 + max((row["frame"] for row in rows), default=-1)
            found, _ = ended(reader, Unit(there, part, number))
            rows += [{**row, "frame": before + row["frame"]} for row in found]
    assert [{**r, "clip": ""} for r in rows] == [{**r, "clip": ""} for r in here]
    assert clip.stat().st_size * 0.9 < server.bytes <= 1.2 * clip.stat().st_size


def test_what_is_copied_whole_is_not_split(
    model: Path, video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 128)
    clip = video("a.mp4", frames=100, options={"g": "10"})
    with s3_server(monkeypatch, "fleet", [clip]):
        (there,) = list_clips(["s3://fleet/a.mp4"])
        for cache in (False, True):
            settings = Settings(model=str(model), split_s=1.0, cache=cache)
            _, looked = ended(ClipReader(settings), Unit(there))
            assert isinstance(looked, Split) != cache


def test_a_web_server_gives_the_same_rows_and_its_secrets_are_nowhere(
    reader: ClipReader, video: MakeVideo, tmp_path: Path
) -> None:
    here, _ = read(reader, video("a.mp4", frames=12))
    with http_server(tmp_path) as (address, _):
        host = address.removeprefix("http://")
        there, row = read(reader, f"http://cam:{SECRET}@{host}/file/a.mp4?token={SECRET}")
        _, gone = read(reader, f"http://cam:{SECRET}@{host}/file/b.mp4?token={SECRET}")
    assert row.status == "ok", row.error
    assert [{**r, "clip": ""} for r in there] == [{**r, "clip": ""} for r in here]
    assert gone.status == "failed"
    assert gone.error_kind == "SourceNotFound"
    assert SECRET not in repr((there, row, gone))


def test_what_is_wrong_with_an_object_is_a_row_with_a_sentence(
    reader: ClipReader, video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    files = [
        tmp_path / "empty.mp4",
        tmp_path / "text.mp4",
        cut(video("cut.mp4", frames=50, container_options={"movflags": "faststart"}), keep=0.6),
        cut(video("headless.mp4", frames=50), keep=0.6),
    ]
    with s3_server(monkeypatch, "fleet", files):
        rows = {
            name: read(reader, f"s3://{name}")[1]
            for name in (
                *(f"fleet/{file.name}" for file in files),
                "fleet/gone.mp4",
                "no-such-bucket/a.mp4",
            )
        }
    partial = rows.pop("fleet/cut.mp4")
    assert partial.status == "partial"
    assert partial.error_kind == "SourceBroken"
    assert 10 < partial.frames < 50
    assert "bytes are missing" in str(partial.error)
    for name, row in rows.items():
        assert row.status == "failed", name
        assert row.error_kind in {"SourceNotFound", "SourceUnreadable"}, row
        assert f"s3://{name}" in str(row.error)
        assert "internal" not in str(row.error)
    assert "empty" in str(rows["fleet/empty.mp4"].error)


def test_a_server_that_is_not_there_is_a_sentence(
    reader: ClipReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    _, row = read(reader, "s3://fleet/a.mp4")
    assert row.error == "s3://fleet/a.mp4 cannot be read: its server does not answer"


def test_what_has_no_length_is_no_recording(reader: ClipReader, tmp_path: Path) -> None:
    with http_server(tmp_path) as (address, _):
        _, row = read(reader, f"{address}/mjpeg/3")
    assert row.status == "failed"
    assert "no length" in str(row.error)


def test_a_broken_and_a_missing_file_are_rows(
    reader: ClipReader, video: MakeVideo, tmp_path: Path
) -> None:
    clip = cut(video("a.mp4", frames=50, container_options={"movflags": "faststart"}), keep=0.6)
    rows, row = read(reader, clip)
    assert row.status == "partial"
    assert {r["frame"] for r in rows} == set(range(row.frames))
    _, gone = read(reader, tmp_path / "gone.mp4")
    assert (gone.status, gone.error_kind, gone.frames) == ("failed", "SourceNotFound", 0)


def test_a_bug_of_ours_is_a_row_that_says_so(
    reader: ClipReader, video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(clip: Clip, **_: object) -> None:
        raise ZeroDivisionError("rtsp://user:hunter2-secret@host")

    monkeypatch.setattr(module, "open_clip", fail)
    _, row = read(reader, video("a.mp4"))
    assert (row.status, row.error_kind) == ("failed", "ZeroDivisionError")
    assert str(row.error).startswith("internal error")
    assert SECRET not in str(row.error)


def test_a_clip_that_is_copied_first_gives_the_same_rows_and_is_read_once(
    model: Path, reader: ClipReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_video(tmp_path / "a.mp4", size=(640, 360), images=NOISE_SMALL, options=LOSSLESS)
    here, _ = read(reader, clip)
    copying = ClipReader(Settings(model=str(model), cache=True))
    monkeypatch.setattr(module, "BLOCK", 100_000)
    beats: list[int] = []
    rows: list[dict[str, Any]] = []
    with s3_server(monkeypatch, "fleet", [clip]) as server:
        (there,) = list_clips(["s3://fleet/a.mp4"])
        for table in copying.read(there, beats.append):
            rows += table.to_pylist()
    assert [{**r, "clip": ""} for r in rows] == [{**r, "clip": ""} for r in here]
    assert beats.count(0) >= clip.stat().st_size // 100_000  # alive, long before the first frame
    assert server.bytes <= 1.01 * clip.stat().st_size


def test_a_disk_that_is_full_of_copies_is_a_row_with_a_sentence(
    model: Path, video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    full = functools.partial(Path("/dev/full").open, "w+b", buffering=0)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full())
    with s3_server(monkeypatch, "fleet", [video("a.mp4")]):
        _, row = read(ClipReader(Settings(model=str(model), cache=True)), "s3://fleet/a.mp4")
    assert row.error_kind == "SourceUnreadable"
    assert "the disk is full" in str(row.error)
    assert "--cache" in str(row.error)
