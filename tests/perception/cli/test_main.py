"""``oneglance run`` as its users meet it: every option, what it writes, what it prints.

Runs go through the program's own entry point, with a tiny real model and small real videos.
What goes wrong in the world is in ``tests/faults/test_runs.py``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from oneglance.perception.result import STAGES
from program import ROAD, Program, lines_of, start

MakeVideo = Callable[..., Path]


def frames_in(file: Path) -> int:
    with av.open(file) as container:
        return sum(1 for _ in container.decode(video=0))


# -- what comes out ------------------------------------------------------------------------


def test_without_a_source_the_rendered_drive_is_run_by_the_default_model(
    oneglance: Program, small_zoo: Path
) -> None:
    run = oneglance("run", "--max-frames", 2, "--jsonl", "-")
    assert run.code == 0
    assert [line["source"] for line in lines_of(run.out)] == ["rendered:?seed=0"] * 2
    assert "road4-n" in run.err


def test_out_of_the_box_things_are_seen_on_the_rendered_drive(
    oneglance: Program, tmp_path: Path
) -> None:
    film = tmp_path / "out.mp4"
    run = oneglance("run", "--max-frames", 12, "--jsonl", "-", "--video", film)
    assert run.code == 0
    seen = [d for line in lines_of(run.out) for d in line["detections"]]
    assert len(seen) > 12
    assert {d["task"] for d in seen} >= {"car", "sign"}
    assert frames_in(film) == 12


def test_a_line_says_exactly_what_is_documented(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    clip, out = video("a.mp4", frames=4), tmp_path / "out.jsonl"
    assert oneglance("run", clip, "--model", model, "--jsonl", out).code == 0
    lines = lines_of(out)
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert [line["timestamp_s"] for line in lines] == [0.0, 0.04, 0.08, 0.12]
    for line in lines:
        assert list(line) == [
            "source",
            "frame",
            "timestamp_s",
            "dropped",
            "detections",
            "timings_ms",
        ]
        assert (line["source"], line["dropped"]) == (str(clip), 0)
        assert set(line["timings_ms"]) == set(STAGES)
        assert all(isinstance(ms, float) and ms >= 0 for ms in line["timings_ms"].values())
        for seen in line["detections"]:
            assert list(seen) == ["task", "class", "confidence", "xyxy", "track_id"]
            assert len(seen["xyxy"]) == 4
            x1, y1, x2, y2 = seen["xyxy"]
            assert 0 <= x1 < x2 <= 64
            assert 0 <= y1 < y2 <= 48
    # Rows of the model, best first; frame 0 is one frame too young for tracks.
    found = [(d["task"], d["class"], d["confidence"]) for d in lines[3]["detections"]]
    assert found == [("car", "car", 0.9), ("pedestrian", "pedestrian", 0.8), ("sign", "sign", 0.6)]
    ids = [d["track_id"] for d in lines[3]["detections"]]
    assert len(set(ids)) == 3
    assert all(isinstance(number, int) and number > 0 for number in ids)


def test_json_lines_on_standard_output_are_alone_there(
    oneglance: Program, model: Path, video: MakeVideo
) -> None:
    run = oneglance("run", video("a.mp4", frames=6), "--model", model, "--jsonl", "-")
    assert run.code == 0
    assert len(lines_of(run.out)) == 6
    assert "6 frames" in run.err


def test_the_closing_figures_name_frames_drops_rate_and_every_stage(
    oneglance: Program, model: Path, video: MakeVideo
) -> None:
    run = oneglance("run", video("a.mp4", frames=6), "--model", model)
    assert (run.code, run.err) == (0, "")
    assert "seeing · onnxruntime fp32 · recorded · 6 frames · 0 dropped" in run.out
    assert re.search(r"\d fps", run.out)
    assert re.search(r"p50 +p90 +p99", run.out)
    for stage in (*STAGES, "end to end"):
        assert re.search(rf"^{stage} +\d+\.\d\d", run.out, re.MULTILINE), stage


def test_the_summary_file_holds_the_closing_figures(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    out = tmp_path / "summary.json"
    clip = video("a.mp4", frames=6)
    assert oneglance("run", clip, "--model", model, "--json-summary", out).code == 0
    summary = json.loads(out.read_text())
    assert summary["source"] == str(clip)
    assert (summary["frames"], summary["dropped"], summary["mode"]) == (6, 0, "recorded")
    assert (summary["engine"], summary["precision"]) == ("onnxruntime", "fp32")
    assert set(summary["latency_ms"]) == set(STAGES)
    assert set(summary["end_to_end_ms"]) == {"p50", "p90", "p99", "max"}
    assert summary["fps"] > 0


def test_several_sources_run_in_turn_into_one_file(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    clips = [video("a.mp4", frames=3), video("b.mkv", frames=2)]
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    words = ["--model", model, "--jsonl", out, "--json-summary", summary]
    assert oneglance("run", *clips, *words).code == 0
    found = [(Path(line["source"]).name, line["frame"]) for line in lines_of(out)]
    assert found == [("a.mp4", 0), ("a.mp4", 1), ("a.mp4", 2), ("b.mkv", 0), ("b.mkv", 1)]
    assert [one["frames"] for one in json.loads(summary.read_text())] == [3, 2]


def test_the_video_keeps_size_speed_and_number_of_frames(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    clip, out = video("a.mp4", frames=30, rate=Fraction(30000, 1001)), tmp_path / "out.mp4"
    assert oneglance("run", clip, "--model", model, "--video", out).code == 0
    with av.open(out) as made, av.open(clip) as given:
        assert made.streams.video[0].codec_context.name == "h264"
        assert made.streams.video[0].average_rate == given.streams.video[0].average_rate
        times = [[frame.time for frame in film.decode(video=0)] for film in (made, given)]
    assert times[0] == times[1]


def test_the_video_shows_the_boxes(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    # Grey in, so every colour in the image was drawn.
    clip, out = video("a.mp4", frames=5, size=(640, 480)), tmp_path / "out.mp4"
    assert oneglance("run", clip, "--model", model, "--video", out).code == 0
    with av.open(out) as film:
        last = [frame.to_ndarray(format="bgr24") for frame in film.decode(video=0)][-1]
    colourful = (last.max(axis=2).astype(int) - last.min(axis=2)) > 60
    assert 500 < colourful.sum() < last[..., 0].size / 3


# -- options -------------------------------------------------------------------------------


def run_lines(oneglance: Program, *words: object) -> list[dict[str, Any]]:
    run = oneglance("run", *words, "--jsonl", "-")
    assert run.code == 0, run.err
    return lines_of(run.out)


def test_max_frames_ends_a_run(oneglance: Program, model: Path) -> None:
    source = "rendered:?frames=inf&size=320x180"
    assert len(run_lines(oneglance, source, "--model", model, "--max-frames", 3)) == 3


def test_tasks_leave_only_what_was_asked_for(oneglance: Program, model: Path) -> None:
    lines = run_lines(oneglance, ROAD, "--model", model, "--tasks", "sign, car")
    assert {d["task"] for line in lines for d in line["detections"]} == {"car", "sign"}


def test_conf_leaves_out_weaker_boxes(oneglance: Program, model: Path) -> None:
    lines = run_lines(oneglance, ROAD, "--model", model, "--conf", 0.85)
    assert [[d["confidence"] for d in line["detections"]] for line in lines] == [[0.9]] * 5


def test_no_track_gives_no_ids_and_takes_no_time_for_them(oneglance: Program, model: Path) -> None:
    for line in run_lines(oneglance, ROAD, "--model", model, "--no-track"):
        assert [d["track_id"] for d in line["detections"]] == [None] * 3
        assert "track" not in line["timings_ms"]


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_threads_change_nothing_of_what_is_found(
    oneglance: Program, model: Path, threads: int
) -> None:
    found = [
        [line["detections"] for line in run_lines(oneglance, ROAD, "--model", model, *words)]
        for words in ([], ["--threads", threads])
    ]
    assert found[0] == found[1]


@pytest.mark.usefixtures("openvino")
def test_another_engine_finds_the_same_and_is_named_in_the_summary(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "summary.json"
    words = ("--model", model, "--json-summary", out)
    found = [
        [line["detections"] for line in run_lines(oneglance, ROAD, *words, "--engine", engine)]
        for engine in ("onnxruntime", "openvino")
    ]
    assert found[0] == found[1]
    summary = json.loads(out.read_text())
    assert (summary["engine"], summary["precision"]) == ("openvino", "fp32")


def test_a_recording_in_live_mode_shows_age_and_drops(
    oneglance: Program, model: Path, video: MakeVideo
) -> None:
    clip = video("a.mp4", frames=10)
    lines = run_lines(oneglance, clip, "--model", model, "--mode", "live")
    assert len(lines) + sum(line["dropped"] for line in lines) == 10
    assert all(line["age_ms"] >= 0 for line in lines)


def test_a_live_run_with_a_budget_says_so_in_lines_and_summary(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run = oneglance(
        *("run", ROAD, "--model", model, "--mode", "live", "--budget", 60_000),
        *("--jsonl", out, "--json-summary", tmp_path / "summary.json"),
    )
    assert run.code == 0, run.err
    assert {(line["model"], line["every"]) for line in lines_of(out)} == {("seeing", 1)}
    found = json.loads((tmp_path / "summary.json").read_text())["budget"]
    assert (found["budget_ms"], found["over"], found["down"], found["up"]) == (60_000, 0, 0, 0)
    assert [step["every"] for step in found["steps"]] == [1, 2]
    assert "budget 60000 ms: 0 results over it, 0 steps down, 0 up, at the end seeing" in run.out


def test_the_zoo_is_listed_default_first(oneglance: Program, small_zoo: Path) -> None:
    run = oneglance("models")
    assert run.code == 0
    assert re.findall(r"^ *(road4-\w)", run.out, re.MULTILINE) == ["road4-n", "road4-s"]
    assert "64x32" in run.out


def test_every_option_is_explained(oneglance: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = oneglance("run", "--help")
    assert run.code == 0
    for option in (
        *("--model", "--mode", "--tasks", "--conf", "--threads", "--track", "--no-track"),
        *("--jsonl", "--video", "--max-frames", "--json-summary", "--debug"),
        *("--engine", "--precision", "--device", "--budget"),
    ):
        assert re.search(rf"{option}\b", run.out), option
    for command in ("run", "models", "train", "average", "export", "eval"):
        assert oneglance(command, "--help").code == 0


def test_a_command_brings_none_of_what_the_others_need() -> None:
    shown = (
        "import sys; sys.argv = ['oneglance', 'models']\n"
        "from oneglance.perception.cli.app import exit_code\n"
        "assert exit_code() == 0\n"
        "print(*(name for name in sys.modules if name.startswith('oneglance.')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, timeout=60, check=True
    )
    brought = run.stdout.split()
    assert "oneglance.perception.cli.commands.run" in brought
    assert "oneglance.perception.cli.commands.train" not in brought
    assert not [name for name in brought if name.startswith("oneglance.models.training")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_lines_may_go_into_a_named_pipe(oneglance: Program, model: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        assert oneglance("run", ROAD, "--model", model, "--jsonl", pipe).code == 0
        reported, _ = reader.communicate(timeout=10)
    assert len(lines_of(reported)) == 5


@pytest.mark.parametrize("sink", ["jsonl", "jsonl:-", "jsonl:/dev/stdout"])
def test_a_sink_on_standard_output_has_it_for_itself(
    oneglance: Program, model: Path, sink: str
) -> None:
    run = oneglance("run", ROAD, "--model", model, "--sink", sink)
    assert run.code == 0
    assert len(lines_of(run.out)) == 5
    assert "end to end" in run.err


def test_images_are_worked_on_without_opencvs_own_threads(oneglance: Program, model: Path) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        assert oneglance("run", ROAD, "--model", model).code == 0
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


# -- terminals and pipes -------------------------------------------------------------------


def test_a_terminal_gets_a_progress_bar(model: Path) -> None:
    pty = pytest.importorskip("pty", reason="needs POSIX terminals")
    ours, theirs = pty.openpty()
    with start("run", ROAD, "--model", model, stdout=subprocess.DEVNULL, stderr=theirs) as program:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # Linux: the other end is closed
            pass
        os.close(ours)
    assert program.returncode == 0
    assert b"rendered:?seed=0" in shown
    assert re.search(rb"\d/5", shown)


def test_what_is_no_terminal_gets_no_progress_bar(oneglance: Program, model: Path) -> None:
    assert oneglance("run", ROAD, "--model", model).err == ""


def test_a_reader_that_has_seen_enough_ends_the_run_in_peace(model: Path) -> None:
    source = "rendered:?frames=inf&size=320x180"
    program = start(
        *("run", source, source, "--model", model, "--jsonl", "-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert json.loads(program.stdout.readline())["frame"] == 0
    program.stdout.close()  # as `| head -n 1` does
    _, err = program.communicate(timeout=30)
    assert program.returncode == 0
    assert b"error" not in err
    assert b"Traceback" not in err


def test_the_installed_command_is_this_program() -> None:
    command = Path(sys.executable).parent / "oneglance"
    if not command.exists():
        pytest.skip(f"no {command}: oneglance is not installed beside this Python")
    run = subprocess.run(
        [command, "run", "no-such.mp4"], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 2
    assert run.stderr == "error: no file or folder no-such.mp4\n"
