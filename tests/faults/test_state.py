"""One stream, reader or sink given to two runs; a run that a fork or the program's end cuts off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from filling import filling
from media import make_video, numbered_image
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result
from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.readers.opening import open_reader
from oneglance.streams import SinkError, UsageError, open_stream
from program import lines_of

FRAMES = 5

STREAMS: dict[str, Callable[[Path], object]] = {
    "a video": lambda folder: make_video(folder / "a.mp4", frames=FRAMES),
    "images": lambda folder: [make_image(folder / f"{i}.png") for i in range(FRAMES)],
    "clips": lambda folder: [make_video(folder / f"{i}.mkv", frames=2) for i in range(2)],
}

SINKS = {
    "jsonl:seen.jsonl": None,
    "csv:seen.csv": None,
    "coco:seen.json": None,
    "video:seen.mp4": None,
    "mcap:seen.mcap": "mcap",
    "rerun:seen.rrd": "rerun",
    "parquet:seen": "pyarrow",
}
"""Sinks that write a file or a folder, and the package that each needs."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def make_image(path: Path) -> Path:
    assert cv2.imwrite(str(path), numbered_image(0))
    return path


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_belongs_to_one_run(kind: str, tmp_path: Path, detector: Detector) -> None:
    made = STREAMS[kind](tmp_path)
    stream = open_stream(tmp_path if isinstance(made, list) else str(made))
    first = iter(Pipeline(stream, detector))
    next(first)
    with pytest.raises(UsageError, match="belongs to a run already: open it again"):
        Pipeline(stream, detector)
    assert sum(1 for _ in first) >= 3  # undisturbed
    with pytest.raises(UsageError, match="belongs to a run already: open it again"):
        Pipeline(stream, detector)  # it is closed: that would be a run of no frames


def test_a_reader_belongs_to_one_run(tmp_path: Path, detector: Detector) -> None:
    reader = open_reader(str(make_video(tmp_path / "a.mp4", frames=FRAMES)))
    assert sum(1 for _ in Pipeline(reader, detector)) == FRAMES
    with pytest.raises(UsageError, match="belongs to a run already"):
        next(iter(Pipeline(reader, detector)))


@pytest.mark.parametrize("sink", SINKS)
def test_an_output_that_a_run_has_closed_takes_no_other_run(
    sink: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: Detector
) -> None:
    if (package := SINKS[sink]) is not None:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    clip = make_video(tmp_path / "a.mp4", frames=FRAMES)
    output = SinkChoice.parse(sink).open(SinkContext(sources=("a.mp4",)))
    assert Pipeline(str(clip), detector, sinks=[output]).run().frames == FRAMES
    file = tmp_path / sink.partition(":")[2]
    before = {p: p.read_bytes() for p in [file, *file.glob("*.parquet")] if p.is_file()}
    assert before
    with pytest.raises(SinkError, match="was closed when a run ended: make a new output"):
        Pipeline(str(clip), detector, sinks=[output]).run()
    assert {p: p.read_bytes() for p in before} == before
    if file.is_dir():  # and another process may have it now
        with filling(file):
            pass


def test_an_output_that_is_given_twice_is_refused(tmp_path: Path, detector: Detector) -> None:
    class Kept:
        name = "kept"

        def write(self, result: Result) -> None:
            raise AssertionError

        def close(self) -> None:
            raise AssertionError

    kept = Kept()
    with pytest.raises(UsageError, match="the sink kept is given twice"):
        Pipeline(str(make_video(tmp_path / "a.mp4", frames=1)), detector, sinks=[kept, kept])


def in_child(work: Callable[[], object]) -> str:
    """What ``work`` returns or raises in a forked child, which may not take longer than 30 s."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            said = repr(work())
        except BaseException as error:  # noqa: BLE001 - it is what the parent compares
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_run_cannot_be_gone_on_with_in_a_forked_child(tmp_path: Path, detector: Detector) -> None:
    out = tmp_path / "seen.jsonl"
    clip = make_video(tmp_path / "a.mp4", frames=40)
    output = SinkChoice.parse(f"jsonl:{out}").open(SinkContext(sources=("a.mp4",)))
    results = iter(Pipeline(str(clip), detector, sinks=[output]))
    next(results)
    said = in_child(lambda: sum(1 for _ in results))
    assert said == (
        "UsageError: the run was begun before this process was forked: open it anew in this one"
    )
    assert sum(1 for _ in results) == 39
    assert len(lines_of(out)) == 40


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_stream_cannot_be_gone_on_with_in_a_forked_child(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "a.ts", frames=60)
    frames = iter(open_stream(clip))
    next(frames)  # both would read on at one and the same place in the file
    said = in_child(lambda: sum(1 for _ in frames))
    assert said.startswith(f"UsageError: {clip} was begun before this process was forked")
    assert sum(1 for _ in frames) == 59


@needs_fork
def test_a_stream_that_nobody_played_yet_is_played_by_a_forked_child(tmp_path: Path) -> None:
    stream = open_stream(make_video(tmp_path / "a.mp4", frames=FRAMES))
    assert in_child(lambda: sum(1 for _ in stream)) == str(FRAMES)


def test_a_program_that_ends_in_the_middle_of_a_run_closes_its_outputs(
    tmp_path: Path, model: Path
) -> None:
    clip, out = make_video(tmp_path / "a.mp4", frames=40), tmp_path / "seen.jsonl"
    program = f"""
from oneglance.models import Detector
from oneglance.perception import JsonLinesSink, Pipeline, VideoSink
sinks = [JsonLinesSink({str(out)!r}), VideoSink({str(tmp_path / "seen.mp4")!r})]
results = iter(Pipeline({str(clip)!r}, Detector.load({str(model)!r}, threads=1), sinks=sinks))
for _ in range(3):
    next(results)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines_of(out)) == 3
    with open_stream(tmp_path / "seen.mp4") as played:
        assert sum(1 for _ in played) == 3
