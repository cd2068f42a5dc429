"""Outputs in a world where disks fill up, readers leave and programs are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import supervision as sv

from mounts import mounted
from oneglance.perception.result import Result
from oneglance.perception.sinks import JsonLinesSink, VideoSink
from oneglance.streams.errors import SinkError
from oneglance.streams.frame import Frame
from program import COMMAND, content, lines_of, start
from waiting import LONG_S, wait_until

SINKS = {"out.jsonl": JsonLinesSink, "out.mp4": VideoSink}

# A program that writes noise until its output breaks: python -c PROGRAM PATH [LARGEST_BYTES]
PROGRAM = """
import sys
from fractions import Fraction
import numpy as np, supervision as sv
from oneglance.perception.result import Result
from oneglance.perception.sinks import JsonLinesSink, VideoSink
from oneglance.streams.errors import SinkError
from oneglance.streams.frame import Frame

if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
path = sys.argv[1]
sink = VideoSink(path, frame_rate=Fraction(10)) if path.endswith(".mp4") else JsonLinesSink(path)
noise = np.random.default_rng(1).integers(0, 255, (9, 96, 128, 3), np.uint8)
nothing = sv.Detections.empty()
try:
    for i in range(5000):
        frame = Frame(noise[i % 9], index=i, timestamp_s=i / 10, source="noise")
        sink.write(Result(frame, nothing, {"decode": 0.001}, None, 0))
    sink.close()
except SinkError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sink.close()
    sys.exit(2)
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def run_until_broken(path: Path | str, *more: str) -> str:
    """What the program says when its output breaks."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 2, run.stderr
    assert len(run.stderr.splitlines()) == 1, run.stderr  # no traceback, no "Exception ignored"
    return run.stderr


def lines_in(path: Path) -> int:
    """How many objects a JSON Lines file holds; fails when any byte is not part of one."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return len([json.loads(line) for line in data.splitlines()])


def frames_in(path: Path, *, cut: bool = False) -> int:
    """Frames that decode. ``cut``: the file may end in the middle of one."""
    frames = 0
    with av.open(path) as container:
        try:
            for _ in container.decode(video=0):
                frames += 1
        except av.error.InvalidDataError:
            if not cut:
                raise
    return frames


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB."""
    with mounted(tmp_path / "disk", "size=400k") as folder:
        yield folder


@pytest.mark.parametrize("name", SINKS)
def test_a_missing_folder_is_reported_before_any_work(name: str, tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / name
    with pytest.raises(SinkError, match=r"there is no folder .*such; create it first") as caught:
        SINKS[name](path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", SINKS)
def test_a_folder_is_not_written_to(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SinkError, match="it is a folder; name a file in it"):
        SINKS[name](tmp_path / name)


@pytest.mark.parametrize("name", SINKS)
def test_a_file_taken_for_a_folder_is_reported(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="file is not a folder"):
        SINKS[name](tmp_path / "file" / name)


@pytest.mark.parametrize("name", SINKS)
@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="POSIX permissions")
def test_a_place_without_permission_is_reported(name: str, tmp_path: Path) -> None:
    SINKS[name](tmp_path / name).close()  # whatever is imported on first use is imported as root
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(SinkError, match="permission denied; choose a place you may write to"):
            SINKS[name](closed / name)
    finally:
        if is_root:
            os.seteuid(0)


@linux_only
def test_a_video_is_not_written_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(SinkError, match="needs a regular file"):
        VideoSink(tmp_path / "pipe.mp4")


@linux_only
def test_json_lines_stop_at_a_full_disk() -> None:
    message = run_until_broken("/dev/full")
    assert message.startswith(
        "SinkError: cannot write /dev/full: the disk is full; free some space"
    )


def test_json_lines_on_a_full_disk_are_whole(small_disk: Path) -> None:
    path = small_disk / "out.jsonl"
    message = run_until_broken(path)
    assert f"cannot write {path}: the disk is full" in message
    assert lines_in(path) > 1000


@linux_only
@pytest.mark.parametrize("room", [1, 102, 103, 1000, 1028, 12_345])
def test_json_lines_truncate_a_half_written_line(room: int, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert "largest size a file may have" in run_until_broken(path, str(room))
    # Frames 0 to 9 make lines of 103 bytes, as '{"source":"noise","frame":0,"timestamp_s":0.0,
    # "dropped":0,"detections":[],"timings_ms":{"decode":1.0}}' is 102 long; later ones more.
    written = path.read_bytes()
    assert written.count(b"\n") == (room // 103 if room <= 1030 else lines_in(path))
    assert written == b"" or written.endswith(b"}\n")
    assert room - len(written) < 108  # less than a line is missing


def test_a_reader_that_leaves_ends_the_run_in_one_sentence() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    assert program.stderr is not None
    assert json.loads(program.stdout.readline())["frame"] == 0
    program.stdout.close()  # as `| head -n 1` does
    message = program.stderr.read().decode()
    program.stderr.close()
    assert message == "ReaderGone: standard output was closed by its reader\n"
    assert program.wait(timeout=30) == 2


def test_a_killed_runs_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    kill_when(lambda: len(content(path)) > 20_000, path)
    assert lines_in(path) > 190  # 20 000 bytes of lines of 98 to 103 bytes


def test_a_killed_runs_video_plays_up_to_its_last_fragment(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    kill_when(lambda: len(content(path)) > 500_000, path)
    # A frame of noise is some 15 kB: of thirty, the last second of ten may be missing. What was
    # being written when the run was killed is no whole frame, and players stop there.
    assert frames_in(path, cut=True) >= 20


def test_a_video_on_a_full_disk_plays_up_to_its_last_fragment(small_disk: Path) -> None:
    path = small_disk / "out.mp4"
    message = run_until_broken(path)
    assert f"cannot write {path}: the disk is full" in message
    assert "What is there plays" in message
    assert frames_in(path) >= 10


@linux_only
def test_a_video_that_ran_out_of_room_holds_whole_fragments(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    assert "What is there plays" in run_until_broken(path, "700000")
    frames = frames_in(path)
    assert frames >= 20
    assert frames % 10 == 0  # ten frames a second, fragments of one second


@linux_only
def test_a_video_too_short_to_play_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    assert "Too little was written to keep" in run_until_broken(path, "5000")
    assert not path.exists()


@linux_only
def test_a_disk_that_fills_up_while_a_video_is_closed_leaves_its_fragments(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    finish_with_room(whole, None)
    size = whole.stat().st_size
    # Anywhere in the index that closing appends, the last byte included.
    for missing in (1, 10, 100, 400):
        path = tmp_path / "out.mp4"
        with pytest.raises(SinkError, match="What is there plays"):
            finish_with_room(path, size - missing)
        assert frames_in(path) == frames_in(whole)


def kill_when(ready: Callable[[], bool], path: Path) -> None:
    """Start the program, kill it as soon as ``ready``."""
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)])
    try:
        while not ready():
            assert program.poll() is None, "ended before it could be killed"
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait(timeout=10)


def finish_with_room(path: Path, largest_bytes: int | None) -> None:
    """Write a video of 25 frames of noise, with room for so many bytes while it is closed."""
    import resource

    noise = np.random.default_rng(1).integers(0, 255, (25, 96, 128, 3), np.uint8)
    sink = VideoSink(path, frame_rate=Fraction(10))
    for index, image in enumerate(noise):
        frame = Frame(image, index=index, timestamp_s=index / 10, source="noise")
        sink.write(Result(frame, sv.Detections.empty(), {}, None, 0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, before[1]))
    try:
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@linux_only
def test_a_live_run_does_not_wait_for_who_reads_its_results_slowly_and_counts_them(
    tmp_path: Path, model: Path
) -> None:
    import fcntl

    pipe, summary, seen = tmp_path / "pipe", tmp_path / "summary.json", tmp_path / "seen.jsonl"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    words = ("rendered:?frames=80&size=96x64&fps=60", "--model", model, "--mode", "live")
    outputs = ("--jsonl", pipe, "--sink", f"jsonl:{seen}", "--json-summary", summary)
    process = start("run", *words, *outputs, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = []
    for line in process.stderr:  # nobody reads: a few results fit into the pipe, some more wait
        said.append(line)
        if b"is behind" in line:
            break
    os.set_blocking(reading, True)
    with os.fdopen(reading, "rb") as results:
        lines = results.read().splitlines()
    with process:  # closes what it says
        assert process.wait(LONG_S) == 0, said
    report = json.loads(summary.read_text())
    slow, quick = report["sinks"]
    assert (slow["sink"], quick["sink"]) == ("jsonl", "jsonl#2")
    assert slow["behind"] > 0
    assert len(lines) + slow["behind"] == report["frames"]
    assert quick["behind"] == 0
    assert len(lines_of(seen)) == report["frames"]
    indices = [json.loads(line)["frame"] for line in lines]
    assert indices == sorted(indices)


@linux_only
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit")
def test_why_a_run_ended_matters_more_than_a_summary_that_cannot_be_written_either(
    model: Path, tmp_path: Path
) -> None:
    words = [
        "run",
        "rendered:?frames=20",
        "--model",
        str(model),
        "--jsonl",
        str(tmp_path / "out.jsonl"),
    ]
    words += ["--json-summary", str(tmp_path / "summary.json")]
    ended = subprocess.run(
        ["prlimit", "--fsize=300", *COMMAND, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    _, _, error = ended.stderr.rpartition("error: ")
    assert error.startswith(f"cannot write {tmp_path / 'out.jsonl'}: it has grown to the largest")
    assert f"an output failed too: cannot write {tmp_path / 'summary.json'}" in ended.stderr


@linux_only
def test_the_summary_is_kept_from_other_runs_until_it_is_written(
    tmp_path: Path, model: Path
) -> None:
    summary, seen = tmp_path / "summary.json", tmp_path / "seen.jsonl"
    words = ("rendered:?frames=90&size=96x64&fps=30", "--model", model, "--mode", "live")
    with start("run", *words, "--jsonl", seen, "--json-summary", summary) as process:
        wait_until(lambda: seen.exists() and seen.stat().st_size > 0)
        with pytest.raises(SinkError, match="another run writes to it"):
            JsonLinesSink(summary)
        assert process.wait(LONG_S) == 0
    assert json.loads(summary.read_text())["frames"] > 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["seen.jsonl", "summary.json"]
