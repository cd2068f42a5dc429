"""What is wrong on the command line of ``oneglance run``, and what it leaves alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from oneglance.perception.cli import app
from program import ROAD, Program

MISTAKES = {
    "tasks": (["--tasks", "pedestrain"], "unknown task 'pedestrain'; did you mean 'pedestrian'?"),
    "no task": (["--tasks", ""], "unknown task ''"),
    "model": (["--model", "raod4-n"], "no model named 'raod4-n'; did you mean road4-n"),
    "model file": (["--model", "no/such.onnx"], "no model file no/such.onnx"),
    "conf": ([ROAD, "--conf", "1.5"], "confidence must be between 0 and 1, not 1.5"),
    "no number": ([ROAD, "--conf", "nan"], "confidence must be between 0 and 1, not nan"),
    "threads": ([ROAD, "--threads", "0"], "threads must be at least 1, not 0"),
    "engine": ([ROAD, "--engine", "onxruntime"], "unknown engine 'onxruntime'; did you mean 'onn"),
    "precision": ([ROAD, "--precision", "bf16"], "engine onnxruntime does not compute in bf16"),
    "device": ([ROAD, "--device", "cdua"], "unknown device 'cdua'; did you mean 'cuda'?"),
    "no device": ([ROAD, "--device", "coreml"], "device coreml cannot be used: this ONNX Runtime"),
    "its engine": ([ROAD, "--device", "npu"], "onnxruntime does not run on npu (it does on cpu,"),
    "budget": ([ROAD, "--budget", "50"], "a budget is for live runs"),
    "no budget": ([ROAD, "--mode", "live", "--budget", "0"], "milliseconds above 0, not 0"),
    "small budget": ([ROAD, "--mode", "live", "--budget", "1e-6"], "1e-06 ms cannot be held"),
    "share": ([ROAD, "--sink-share", "2"], "must be above 0 and at most 1, like 0.02, not 2"),
    "frames": (["--max-frames", "0"], "--max-frames must be at least 1, not 0"),
    "scheme": (["gopher://host/x"], "cannot play gopher://host/x: 'gopher://' is not supported"),
    "rendered": (["rendered:?sed=7"], "rendered: unknown option 'sed=7'"),
    "missing": (["no-such.mp4"], "no file or folder no-such.mp4"),
    "camera": (["93"], "no camera /dev/video93"),
    "format": ([ROAD, "--video", "out.wmv"], "cannot write out.wmv: a video's name ends in .mp4"),
    "folder": ([ROAD, "--jsonl", "no/out.jsonl"], "there is no folder no; create it first"),
    "video folder": ([ROAD, "--video", "no/out.mp4"], "there is no folder no; create it first"),
    "summary": ([ROAD, "--json-summary", "no/s.json"], "there is no folder no; create it first"),
    "a folder": ([ROAD, "--jsonl", "zoo"], "cannot write zoo: it is a folder; name a file in it"),
    "two outputs": ([ROAD, "--jsonl", "a", "--json-summary", "a"], "a is given for two outputs"),
    "two sources": ([ROAD, ROAD, "--video", "a.mp4"], "--video takes one source"),
    "itself": (["zoo/zoo.json", "--jsonl", "zoo/zoo.json"], "writing there would destroy it"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_reported_in_one_sentence(
    oneglance: Program,
    small_zoo: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(small_zoo.parent)
    before = sorted(small_zoo.parent.rglob("*"))
    run = oneglance("run", *words)
    assert run.code == 2
    assert message in run.message
    assert run.out == ""
    assert sorted(small_zoo.parent.rglob("*")) == before  # nothing is left lying about


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["run", "--modle", "x"], "--model"),
        (["run", "--mode", "lively"], "'--mode'"),
        (["run", "--max-frames", "many"], "'--max-frames'"),
        (["walk"], "'walk'"),
        (["train", "data.yaml"], "'--base'"),
    ],
)
def test_a_word_the_command_line_does_not_know_is_a_mistake(
    oneglance: Program, words: list[str], named: str
) -> None:
    run = oneglance(*words)
    assert run.code == 2
    assert run.out == ""
    assert "Usage: oneglance" in run.err
    assert "Traceback" not in run.err
    assert named in run.err


def test_an_old_output_survives_a_mistake(
    oneglance: Program, small_zoo: Path, tmp_path: Path
) -> None:
    names = ("out.jsonl", "out.mp4", "summary.json")
    outputs = [tmp_path / name for name in names]
    for output in outputs:
        output.write_text("precious")
    options = zip(("--jsonl", "--video", "--json-summary"), outputs, strict=True)
    words = [word for option in options for word in option]
    assert oneglance("run", "no-such.mp4", *words).code == 2
    assert oneglance("run", ROAD, "--model", "road5", *words).code == 2
    for word in ("--jsonl", "--video", "--json-summary"):  # one of the three cannot be written
        others = [w for w in words if w not in (word, words[words.index(word) + 1])]
        bad = tmp_path / "no" / "such.mp4"
        assert oneglance("run", ROAD, *others, word, bad).code == 2
    others = [w for w in words if w not in ("--video", outputs[1])]
    assert oneglance("run", ROAD, *others, "--video", tmp_path / "out.wmv").code == 2
    assert [output.read_text() for output in outputs] == ["precious"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "zoo"])


@pytest.mark.parametrize("other", ["--jsonl=-", "--json-summary=-", "--sink=csv", "--sink=jsonl:-"])
def test_standard_output_is_given_to_one_output_alone(
    oneglance: Program, model: Path, other: str
) -> None:
    run = oneglance("run", ROAD, "--model", model, "--sink", "jsonl", other)
    assert (run.code, run.message) == (2, "standard output is given for two outputs")


def test_debug_shows_where_a_mistake_was_found(oneglance: Program) -> None:
    run = oneglance("run", "no-such.mp4", "--debug")
    assert run.code == 2
    assert "Traceback" in run.err
    assert "error: no file or folder no-such.mp4" in run.err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("Exception caught: std::bad_alloc"),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bad allocation"),
        ValueError("OpenCV(4.12.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed"),
    ],
)
def test_too_little_memory_is_no_bug_of_ours(
    oneglance: Program, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(app, "_program", lambda _: lambda **_: fail())
    ended = oneglance("models")
    assert ended.code == 2
    assert ended.message.startswith("there is not enough memory: raise the limit")


@pytest.mark.parametrize("words", ["can't start new thread", os.strerror(errno.EAGAIN)])
def test_no_more_threads_are_no_bug_of_ours(
    oneglance: Program, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(app, "_program", lambda _: lambda **_: fail())
    ended = oneglance("models")
    assert (ended.code, ended.message) == (2, app.NO_THREAD)
