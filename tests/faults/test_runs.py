"""Whole runs in a world where files are cut, people press Ctrl-C and we make mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from http_server import http_server
from media import cut
from oneglance.models import Detector
from oneglance.streams import SourceBroken, open_stream
from program import Program, content, lines_of, start
from waiting import ENDED_S, LONG_S, wait_until, within

MakeVideo = Callable[..., Path]

posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def frames_in(file: Path) -> int:
    with av.open(file) as container:
        return sum(1 for _ in container.decode(video=0))


# -- sources -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_truncated_video_gives_every_intact_frame_and_says_where_it_broke(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path, name: str
) -> None:
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    clip = cut(video(name, frames=50, container_options=options), keep=0.6)
    with open_stream(clip) as stream:
        whole = []  # type: ignore[var-annotated]
        with pytest.raises(SourceBroken):
            whole.extend(frame.timestamp_s for frame in stream)
    out, film = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    run = oneglance("run", clip, "--model", model, "--jsonl", out, "--video", film)
    assert run.code == 2
    assert f"{clip} broke after {len(whole)}" in run.message
    assert "the frames before are good" in run.message
    assert 10 < len(whole) < 50
    assert [line["timestamp_s"] for line in lines_of(out)] == [round(t, 6) for t in whole]
    assert frames_in(film) == len(whole)
    assert f"{len(whole)} frames" in run.out  # what was done is reported all the same


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text(folder: Path) -> Path:
    (folder / "text.mp4").write_text("this is no video\n" * 20)
    return folder / "text.mp4"


def without_frames(folder: Path) -> Path:
    path = folder / "nothing.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def without_images(folder: Path) -> Path:
    (folder / "images").mkdir()
    (folder / "images" / "notes.txt").write_text("no image")
    return folder / "images"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "is empty (0 bytes)"),
        (text, "holds text, not video"),
        (without_frames, "has no frames"),
        (without_images, "has no image in it"),
    ],
)
def test_what_is_no_video_is_reported(
    oneglance: Program,
    model: Path,
    tmp_path: Path,
    make: Callable[[Path], Path],
    message: str,
) -> None:
    source = make(tmp_path)
    run = oneglance("run", source, "--model", model)
    assert run.code == 2
    assert str(source) in run.message
    assert message in run.message


def test_images_of_every_shape_and_colour_are_seen(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    images = {
        "dot.png": np.full((1, 1, 3), 90, np.uint8),
        "grey.png": np.full((48, 64), 90, np.uint8),
        "huge.jpg": np.full((6000, 8000, 3), 90, np.uint8),
        "rgba.png": np.full((48, 64, 4), 90, np.uint8),
        "deep.png": np.full((48, 64, 3), 9000, np.uint16),
    }
    for name, image in images.items():
        assert cv2.imwrite(str(folder / name), image)  # type: ignore[call-overload]
    run = oneglance("run", folder, "--model", model, "--jsonl", "-", "--no-track")
    assert run.code == 0
    by_name = {Path(line["source"]).name: line["detections"] for line in lines_of(run.out)}
    assert by_name.keys() == images.keys()
    for name, detections in by_name.items():
        height, width = images[name].shape[:2]  # type: ignore[attr-defined]
        for seen in detections:
            x1, y1, x2, y2 = seen["xyxy"]
            assert 0 <= x1 <= x2 <= width
            assert 0 <= y1 <= y2 <= height
    assert len(by_name["huge.jpg"]) == len(by_name["grey.png"]) == 3


def test_an_image_that_cannot_be_read_costs_only_itself(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))
    (folder / "b.png").write_bytes(b"\x89PNG and then nothing")
    out = tmp_path / "out.jsonl"
    run = oneglance("run", folder, "--model", model, "--jsonl", out)
    assert run.code == 2
    assert f"1 of 3 images of {folder} could not be read (b.png)" in run.err
    assert [(Path(ln["source"]).name, ln["frame"]) for ln in lines_of(out)] == [
        ("a.png", 0),
        ("c.png", 2),
    ]


def test_a_broken_source_does_not_keep_the_others_from_running(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    bad, good = empty(tmp_path), video("good.mp4", frames=4)
    run = oneglance("run", bad, good, "--model", model, "--jsonl", "-")
    assert run.code == 2
    assert "error: " + f"{bad} is empty (0 bytes)" in run.err
    assert [line["source"] for line in lines_of(run.out)] == [str(good)] * 4
    missing = tmp_path / "missing.mp4"
    run = oneglance("run", bad, good, missing, "--model", model)
    assert run.code == 2
    assert "2 of 3 sources failed:" in run.err
    assert f"- {bad} is empty" in run.err
    assert f"- no file or folder {missing}" in run.err
    assert "4 frames" in run.out


def test_a_name_that_is_no_text_is_no_bug(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    clip = os.fsencode(video("a.mp4", frames=2))
    odd = os.fsdecode(clip[:-5] + b"\xff.mp4")
    try:
        Path(os.fsdecode(clip)).rename(odd)
    except OSError:
        pytest.skip("this file system takes no such names")
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    words = ["--model", model, "--jsonl", out, "--json-summary", summary]
    run = oneglance("run", odd, *words)
    assert (run.code, run.err) == (0, "")
    assert len(lines_of(out)) == 2
    assert json.loads(summary.read_text())["frames"] == 2
    assert oneglance("run", odd + ".gone", "--model", model).code == 2


# -- models --------------------------------------------------------------------------------


def test_a_file_that_is_no_model_of_ours_is_reported(
    oneglance: Program, video: MakeVideo, tmp_path: Path
) -> None:
    from onnx_models import build_model

    foreign = build_model(
        tmp_path / "foreign.onnx", np.zeros((1, 3, 6), np.float32), metadata=False
    )
    wrong = tmp_path / "wrong.onnx"
    wrong.write_text("not a model")
    clip = video("a.mp4", frames=2)
    for model, message in {
        foreign: "is an ONNX model but not one of ours",
        wrong: "is not an ONNX model",
        clip: "is not an ONNX model",
    }.items():
        run = oneglance("run", clip, "--model", model)
        assert run.code == 2
        assert f"{model} " in run.message
        assert message in run.message


# -- our own mistakes ----------------------------------------------------------------------


def test_a_bug_of_ours_is_called_one(
    oneglance: Program,
    model: Path,
    video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detect, seen = Detector.detect, []
    nothing: dict[str, object] = {}

    def wrong(self: Detector, image: np.ndarray) -> object:
        seen.append(1)
        return nothing["boxes"] if len(seen) > 3 else detect(self, image)

    monkeypatch.setattr(Detector, "detect", wrong)
    out, film = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    words = ["run", video("a.mp4"), "--model", model, "--threads", 64, "--jsonl", out]
    run = oneglance(*words, "--video", film)
    assert run.code == 1
    assert "internal error: KeyError: 'boxes'" in run.err
    assert "This is a bug in oneglance. Run again with --debug" in run.err
    assert "Traceback" not in run.err
    assert len(lines_of(out)) == frames_in(film) == 3
    seen.clear()
    run = oneglance(*words, "--debug")
    assert run.code == 1
    assert "Traceback" in run.err
    assert 'return nothing["boxes"]' in run.err  # where it happened, in whatever thread


# -- passwords -----------------------------------------------------------------------------

SECRET = "s3cret-p@ss/word"


@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize(
    "where", ["nobody listens", "refused", "gone", "no video", "unsupported", "typo", "output"]
)
def test_no_password_is_ever_printed(
    model: Path, tmp_path: Path, where: str, debug: list[str], oneglance: Program
) -> None:
    with http_server(tmp_path) as (address, _):
        host = address.removeprefix("http://")
        (tmp_path / "text").write_text("no video at all")
        source = {
            "nobody listens": f"rtsp://driver:{SECRET}@127.0.0.1:9/stream",
            "refused": f"http://driver:{SECRET}@{host}/status/401",
            "gone": f"http://driver:{SECRET}@{host}/status/404",
            "no video": f"http://driver:{SECRET}@{host}/file/text",
            "unsupported": f"ftp://driver:{SECRET}@{host}/x",
            "typo": f"rtsp:/driver:{SECRET}@{host}/x",
            "output": "rendered:",
        }[where]
        output = ["--video", f"rtsp://driver:{SECRET}@{host}/x.mp4"] if where == "output" else []
        run = oneglance("run", source, "--model", model, *output, *debug)
    assert run.code == 2
    for part in (SECRET, "s3cret", "word@"):
        assert part not in run.out + run.err


def test_no_password_gets_into_what_is_written(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    video("a.mp4", frames=4)
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    with http_server(tmp_path) as (address, _):
        source = address.replace("http://", "http://driver:s3cret@") + "/file/a.mp4"
        words = ["--model", model, "--jsonl", out, "--json-summary", summary]
        run = oneglance("run", source, *words)
    assert run.code == 0
    assert len(lines_of(out)) == 4
    everything = run.out + run.err + out.read_text() + summary.read_text()
    assert "s3cret" not in everything
    assert "***@127.0.0.1" in out.read_text()


# -- interruptions -------------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_with_valid_files(model: Path, tmp_path: Path, how: int) -> None:
    out, film, summary = (tmp_path / name for name in ("out.jsonl", "out.mp4", "summary.json"))
    program = start(
        *("run", "rendered:?frames=inf&size=320x180", "--model", model, "--jsonl", out),
        *("--video", film, "--json-summary", summary),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: content(out).count(b"\n") > 20, program)
    program.send_signal(how)
    printed, said = program.communicate(timeout=LONG_S)
    assert program.returncode == 130
    assert said.decode() == "interrupted: outputs are closed and valid\n"
    lines = lines_of(out)
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    assert frames_in(film) == len(lines)
    assert abs(json.loads(summary.read_text())["frames"] - len(lines)) <= 1
    assert b"p50" in printed


@posix_only
def test_a_run_that_waits_for_a_silent_camera_can_be_interrupted(
    model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    with http_server(tmp_path) as (address, _):
        program = start(
            *("run", f"{address}/mjpeg/30/silent", "--model", model, "--jsonl", out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        wait_for(lambda: content(out), program)
        with within(ENDED_S):
            program.send_signal(signal.SIGINT)
            program.communicate(timeout=LONG_S)
    assert program.returncode == 130
    assert len(lines_of(out)) >= 1


def wait_for(ready: Callable[[], object], program: subprocess.Popen[Any]) -> None:
    def ready_or_dead() -> object:
        assert program.poll() is None, program.stderr and program.stderr.read()
        return ready()

    wait_until(ready_or_dead)


# -- outputs -------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("option", ["--jsonl", "--json-summary"])
def test_a_full_disk_is_reported(
    oneglance: Program, model: Path, video: MakeVideo, option: str
) -> None:
    run = oneglance("run", video("a.mp4"), "--model", model, option, "/dev/full")
    assert run.code == 2
    assert "cannot write /dev/full: the disk is full" in run.message
