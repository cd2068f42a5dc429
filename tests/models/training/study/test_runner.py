"""A whole small study: real trainings, real exports, stopped, broken and gone on with."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("onnxslim", reason="needs the 'train' extra")

from oneglance.models.tasks import Task
from oneglance.models.training.study.arms import StudyOptions
from oneglance.models.training.study.results import ArmResult, Failure
from oneglance.models.training.study.runner import (
    duration,
    measure_seconds_per_image,
    open_study,
    run,
)
from oneglance.streams.errors import DataError
from oneglance.streams.output_folder import OutputFolder

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves


def options(**how: Any) -> StudyOptions:
    small: dict[str, Any] = {"epochs": 1, "seeds": (0,), "size": (160, 96), "batch": 4}
    return StudyOptions(**small | {"questions": (2,)} | how)


class Log:
    """The lines reported; a line that names ``stop_at`` is where somebody presses Ctrl-C."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.lines: list[str] = []
        self._stop_at = stop_at

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self._stop_at is not None and f" {self._stop_at}:" in line:
            raise KeyboardInterrupt


def test_boxes_are_counted_by_task_in_what_is_trained_on(
    data: Path, base: Path, tmp_path: Path
) -> None:
    (facts,) = open_study([data], base=base, out=tmp_path, options=options()).sets
    files = (data.parent / "labels" / "train").iterdir()
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert sum(facts.boxes.values()) == len(lines) > 0
    # names: pedestrian, car, sign, light, in this order.
    assert facts.boxes[Task.SIGN] == sum(line.startswith("2 ") for line in lines)


def claimed(out: Path, arm: str) -> Path:
    """An arm's folder of a study that was begun before."""
    OutputFolder(out, "study").claim()
    folder = out / "arms" / arm
    OutputFolder(folder, "train").claim()
    return folder


def assert_is_whole(outcome: object) -> None:
    assert isinstance(outcome, ArmResult)
    assert outcome.minutes is not None
    assert {score.task for score in outcome.scores} <= set(Task)
    assert all(score.draws.shape == (1000,) for score in outcome.scores)


@pytest.mark.slow
@pytest.mark.timeout(600)  # two trainings, three exports: on a busy machine minutes
def test_a_study_that_was_stopped_goes_on_and_one_that_failed_is_tried_again(
    data: Path, base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = open_study([data], base=base, out=tmp_path, options=options())
    assert [arm.name for arm in study.arms] == ["untrained", "one.s0", "one-scratch.s0"]
    in_the_way = claimed(tmp_path, "untrained") / "model.onnx"
    in_the_way.mkdir()
    log = Log(stop_at="one-scratch.s0")
    with pytest.raises(KeyboardInterrupt):
        run(study, say=log)
    assert log.lines[0].startswith("[1/3] untrained: scored as it is; how long all takes")
    assert log.lines[1].startswith("untrained failed: cannot write")
    assert log.lines[3].endswith("left for all")
    page = (tmp_path / "report.md").read_text()
    assert "Not complete: 1 of 3 arms are there" in page
    assert "`untrained` is missing (failed: cannot write" in page
    assert "`one-scratch.s0` is missing (not run yet)" in page
    trained = tmp_path / "arms" / "one.s0" / "model.pt"
    stamp = trained.stat().st_mtime_ns

    in_the_way.rmdir()
    capfd.readouterr()
    log = Log()
    report = run(study, say=log)
    assert capfd.readouterr().out == ""  # ultralytics' bars are not shown
    assert [line.split(":")[0] for line in log.lines] == ["[1/3] untrained", "[3/3] one-scratch.s0"]
    assert trained.stat().st_mtime_ns == stamp
    assert not re.search("Not complete|Holes:", report.read_text())

    assert_is_whole(study.outcomes()["one.s0"])
    assert not (tmp_path / "arms" / "one.s0" / "weights").exists()
    facts = json.loads((tmp_path / "report.json").read_text())
    assert [arm["status"] for arm in facts["arms"]] == ["done"] * 3
    rows = facts["answers"]["2"]["from_scratch"]
    assert {row["what"] for row in rows} == {task.value for task in Task}
    assert run(study, say=log) == report  # nothing left to do
    assert len(log.lines) == 2

    (trained.parent / "result.json").unlink()  # as other sets to score on do
    again = Log()
    run(study, say=again)
    assert again.lines == ["[2/3] one.s0: is trained, to be scored; nothing is left to train"]
    assert trained.stat().st_mtime_ns == stamp

    other = open_study([data], base=base, out=tmp_path, options=options(epochs=2))
    with pytest.raises(DataError, match=r"made another way \(different epochs\): give another"):
        run(other, say=log)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_single_task_models_teach_the_one_network_of_their_seed(
    data: Path, base: Path, tmp_path: Path
) -> None:
    # Signs and cars only: three trainings. What needs no teacher is taken for done.
    asked = open_study([data], base=base, out=tmp_path, options=options(questions=(11,)))
    arms = {arm.name: arm for arm in asked.arms}
    tasks = (Task.CAR, Task.SIGN)
    teachers = tuple(f"{task}.s0" for task in tasks)
    taught = replace(arms["one-born-again.s0"], tasks=tasks, teachers=teachers)
    missing = replace(asked, arms=(taught,))
    with pytest.raises(DataError, match=r"1 of 1 arms failed \(one-born-again.s0\)"):
        run(missing, say=Log())
    assert "its teacher car.s0 is not trained" in (tmp_path / "report.md").read_text()
    study = replace(asked, arms=(*(arms[name] for name in teachers), taught))
    run(study, say=Log())
    assert_is_whole(study.outcomes()["one-born-again.s0"])
    reported = json.loads((study.folder(taught) / "recipe.json").read_text())
    assert len(reported["run"]["teachers_sha256"]) == 2
    assert json.loads((study.folder(taught) / "arm.json").read_text())["teachers"] == [*teachers]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_time_of_an_image_is_measured_by_training_some(
    data: Path, base: Path, tmp_path: Path
) -> None:
    study = open_study([data], base=base, out=tmp_path / "out", options=options())
    started = time.monotonic()
    seconds = measure_seconds_per_image(study)
    # All images of this small set are shown in the epoch that is timed.
    assert 0 < seconds * study.sets[0].train < time.monotonic() - started
    assert not (tmp_path / "out").exists()


def test_arms_that_all_fail_are_all_reported_and_the_report_is_written(
    data: Path, base: Path, tmp_path: Path
) -> None:
    study = open_study([data], base=base, out=tmp_path, options=options())
    for arm in study.arms:  # each holds a training made another way, or a folder in the way
        claimed(tmp_path, arm.name)
        if arm.epochs:
            (study.folder(arm) / "recipe.json").write_text('{"run": {}}')
            (study.folder(arm) / "model.pt").write_text("")
        else:
            (study.folder(arm) / "model.onnx").mkdir()
    log = Log()
    with pytest.raises(DataError, match=r"3 of 3 arms failed .*run again to try them again"):
        run(study, say=log)
    assert all(isinstance(outcome, Failure) for outcome in study.outcomes().values())
    assert "No answer" in (tmp_path / "report.md").read_text()


def test_images_that_are_trained_on_are_not_scored_on(make_set: Any, base: Path) -> None:
    sign = "2 0.5 0.5 0.2 0.2"
    twice = make_set("twice", train={"a": sign, "b": sign}, val={"v": sign})
    same = make_set("same", train={"c": sign})
    same.write_text(same.read_text() + "val: images/train\n")
    study = open_study([twice, same], base=base, out=Path("unused"), options=options())
    assert [(s.name, s.train, s.val) for s in study.sets] == [("twice", 2, 1), ("same", 1, 0)]
    assert not Path("unused").exists()


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "1 min"), (5300, "88 min"), (5500, "1.5 h"), (36000, "10.0 h")]
)
def test_durations_are_in_the_unit_people_say(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_program_shows_the_plan_and_touches_nothing(
    data: Path, base: Path, tmp_path: Path, oneglance: Any
) -> None:
    out = tmp_path / "out"
    words = ("study", data, "--base", base, "--out", out, "--seeds", "3", "--questions", "2")
    outcome = oneglance(*words, "--plan", "--seconds-per-image", "2", "--epochs", "30")
    assert (outcome.code, outcome.err) == (0, "")
    lines = [line.split() for line in outcome.out.splitlines()]
    images = str(len(list((data.parent / "images" / "train").iterdir())))
    assert lines[2][:6] == ["one.s3", "2", images, "30", "416x256", "all"]
    # Two arms of 30 epochs at 2 s an image.
    assert f"about {2 * 2 * 30 * int(images) / 60:.0f} min left at 2.000 s" in outcome.out
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--seeds", "a"), "--seeds is a list of numbers, like 0,1, not 'a'"),
        (
            ("--questions", "0"),
            "the study's questions are 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, not 0",
        ),
        (("--share", "2"), "above 0 and at most 1, not 2.0"),
        (("--size", "100x64"), "multiples of 32"),
    ],
)
def test_the_program_refuses_what_cannot_be_studied(
    data: Path, base: Path, tmp_path: Path, oneglance: Any, words: tuple[str, ...], sentence: str
) -> None:
    outcome = oneglance("study", data, "--base", base, "--out", tmp_path / "out", *words)
    assert outcome.code == 2
    assert sentence in " ".join(outcome.err.split())
