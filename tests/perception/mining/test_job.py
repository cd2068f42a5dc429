"""From results and clips to a data set that trains, by the command that people run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from media import index_of, numbered_image
from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.merging import merge, partial_tasks
from oneglance.perception.mining.job import MineOptions, mine
from oneglance.streams.errors import SinkError
from program import Program, lines_of

MakeVideo = Callable[..., Path]

CAR: dict[str, Any] = {"task": "car", "class": "car", "confidence": 0.9, "track_id": 1}
CAR["xyxy"] = [4.0, 4.0, 30.0, 40.0]
UNSURE: dict[str, Any] = {"task": "sign", "class": "sign_danger", "confidence": 0.26}
UNSURE |= {"track_id": None, "xyxy": [40.0, 4.0, 60.0, 20.0]}


def write_lines(file: Path, source: object, boxes: dict[int, list[dict[str, Any]]]) -> Path:
    """JSON Lines of a run at 25 frames a second."""
    lines = [
        {"source": str(source), "frame": n, "timestamp_s": n / 25, "detections": found}
        for n, found in boxes.items()
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


@pytest.fixture
def drive(video: MakeVideo) -> Path:
    """Two seconds and a half."""
    return video("drive.mp4", frames=64)


@pytest.fixture
def results(drive: Path, tmp_path: Path) -> Path:
    """A car that is not seen in frame 10, and a sign that is uncertain in frame 50."""
    boxes = {n: [CAR] if n != 10 else [] for n in range(64)}
    boxes[50] = [CAR, UNSURE]
    return write_lines(tmp_path / "drive.jsonl", drive, boxes)


def test_a_flicker_and_an_uncertain_sign_become_a_data_set(
    oneglance: Program, results: Path, drive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mined"
    run = oneglance("mine", results, "--out", out, "--no-conditions")
    assert run.code == 0, run.err
    assert "2 frames of 1 clips" in run.out
    assert "1 flicker" in run.out
    assert "1 uncertain" in run.out
    picked = {line["frame"]: line for line in lines_of(out / "picked.jsonl")}
    assert {n: list(line["reasons"]) for n, line in picked.items()} == {
        10: ["flicker"],
        50: ["uncertain"],
    }
    for number, line in picked.items():
        image = cv2.imread(str(out / line["image"]))
        assert image is not None
        assert index_of(image) == index_of(numbered_image(number))
        assert (line["source"], line["size"]) == (str(drive), [64, 48])
        assert line["timestamp_s"] == pytest.approx(number / 25)
    page = (out / "index.html").read_text()
    assert all(line["image"] in page for line in picked.values())


def test_the_set_is_what_training_and_audit_read(
    oneglance: Program, results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mined"
    assert oneglance("mine", results, "--out", out).code == 0
    found = read_dataset(out / "data.yaml")
    assert found.partial_tasks == found.labelled_tasks == {Task.CAR}
    labels = {image.stem: found.read_labels(image) for image in found.images("train")}
    assert not any(each.problems for each in labels.values())
    assert labels["drive_000010"].boxes == ()
    (box,) = labels["drive_000050"].boxes  # the sign is not sure enough to be a label
    assert found.names[box.class_id] == "car"
    assert box.x * 64 == pytest.approx(17, abs=1e-3)
    assert box.width * 64 == pytest.approx(26, abs=1e-3)
    audit = oneglance("audit", out / "data.yaml", "--strict")
    assert audit.code == 0, audit.err
    car = [each for each in FOUR_TASKS if each.task is Task.CAR]
    merge([found], car, tmp_path / "merged")
    assert set(partial_tasks(tmp_path / "merged").values()) == {frozenset({Task.CAR})}


def test_what_was_picked_goes_on_to_a_tool_for_labelling(
    oneglance: Program, results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mined"
    assert oneglance("mine", results, "--out", out).code == 0
    words = ("convert", out / "picked.jsonl", "--to", "cvat", "--out", tmp_path / "cvat")
    assert oneglance(*words).code == 0
    xml = (tmp_path / "cvat" / "annotations.xml").read_text()
    assert 'name="images/train/drive_000050.jpg"' in xml
    assert "sign_danger" in xml  # for the person to decide
    back = ("convert", tmp_path / "cvat" / "annotations.xml", "--to", "yolo")
    assert oneglance(*back, "--out", tmp_path / "yolo").code == 0
    (line,) = (out / "labels/train/drive_000050.txt").read_text().splitlines()
    again = (tmp_path / "yolo/labels/train/drive_000050.txt").read_text().splitlines()
    assert line in again
    assert len(again) == 2


def test_two_runs_disagree_and_a_model_that_looks_now_disagrees_too(
    oneglance: Program, drive: Path, model: Path, tmp_path: Path
) -> None:
    quiet = write_lines(tmp_path / "quiet.jsonl", drive, {n: [] for n in range(64)})
    loud = write_lines(tmp_path / "loud.jsonl", drive, {n: [] for n in range(64)} | {30: [CAR]})
    out = tmp_path / "mined"
    run = oneglance("mine", quiet, "--against", loud, "--out", out, "--no-conditions")
    assert run.code == 0, run.err
    assert [(line["frame"], list(line["reasons"])) for line in lines_of(out / "picked.jsonl")] == [
        (30, ["disagreement"])
    ]
    out = tmp_path / "looked-now"
    run = oneglance("mine", quiet, "--model", model, "--out", out, "--no-conditions")
    assert run.code == 0, run.err
    lines = lines_of(out / "picked.jsonl")
    assert [line["frame"] for line in lines] == [0, 25, 50]
    assert all(line["reasons"]["disagreement"] > 1 for line in lines)


def test_the_output_of_a_batch_run_is_mined(
    oneglance: Program, model: Path, drive: Path, video: MakeVideo, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra batch")
    other, batch = video("other.mp4", frames=30), tmp_path / "batch"
    words = ("batch", drive, other, "--model", model, "--workers", 1, "--every", 2)
    assert oneglance(*words, "--out", batch).code == 0
    quiet = write_lines(tmp_path / "quiet.jsonl", drive, {0: []})
    quiet.write_text(quiet.read_text() + quiet.read_text().replace(str(drive), str(other)))
    out = tmp_path / "mined"
    run = oneglance(
        "mine", batch, "--against", quiet, "--out", out, "--frames", 2, "--no-conditions"
    )
    assert run.code == 0, run.err
    lines = lines_of(out / "picked.jsonl")
    assert {line["source"] for line in lines} == {str(drive), str(other)}
    assert all(line["frame"] % 2 == 0 and len(line["detections"]) == 3 for line in lines)
    assert all(line["detections"][0]["track_id"] is not None for line in lines if line["frame"])


def test_frames_that_look_the_same_are_one(
    oneglance: Program, video: MakeVideo, tmp_path: Path
) -> None:
    parked = video("parked.mp4", frames=75, images=[numbered_image(0)] * 75)
    results = write_lines(tmp_path / "a.jsonl", parked, {n: [UNSURE] for n in range(75)})
    out = tmp_path / "mined"
    assert oneglance("mine", results, "--out", out).code == 0
    assert len(lines_of(out / "picked.jsonl")) == 1


def test_a_clip_whose_address_was_hidden_is_found_by_its_name(
    oneglance: Program, results: Path, drive: Path, tmp_path: Path
) -> None:
    hidden = "https://***@host/drive.mp4?sig=***"
    results.write_text(results.read_text().replace(str(drive), hidden))
    words = ("mine", results, "--out", tmp_path / "mined")
    run = oneglance(*words)
    assert run.code == 2
    assert "hides credentials" in run.message
    assert "--clips" in run.message
    assert not (tmp_path / "mined").exists()
    assert oneglance(*words, "--clips", tmp_path / "*.mp4").code == 0
    sources = {line["source"] for line in lines_of(tmp_path / "mined" / "picked.jsonl")}
    assert sources == {hidden}


def test_a_clip_that_is_gone_costs_the_others_nothing(
    oneglance: Program, results: Path, tmp_path: Path
) -> None:
    gone = write_lines(tmp_path / "gone.jsonl", "gone.mp4", {n: [UNSURE] for n in range(9)})
    results.write_text(results.read_text() + gone.read_text())
    run = oneglance("mine", results, "--out", tmp_path / "mined")
    assert run.code == 0, run.err
    assert "could not be read: 1 of 2 (gone.mp4" in run.out
    assert oneglance("mine", results, "--out", tmp_path / "one", "--frames", 1).code == 0
    assert len(lines_of(tmp_path / "one" / "picked.jsonl")) == 1
    assert len(list((tmp_path / "one" / "images" / "train").iterdir())) == 1


def test_labels_that_somebody_corrected_are_not_written_over(
    oneglance: Program, results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mined"
    assert oneglance("mine", results, "--out", out).code == 0
    (out / "labels" / "train" / "drive_000050.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    assert "already holds frames" in oneglance("mine", results, "--out", out).message
    assert (out / "labels" / "train" / "drive_000050.txt").read_text() == "1 0.5 0.5 0.1 0.1\n"
    (out / "data.yaml").unlink()  # as a run that was killed leaves it
    assert oneglance("mine", results, "--out", out).code == 0
    assert (out / "data.yaml").exists()


def test_what_cannot_be_mined_is_one_sentence_and_touches_nothing(
    oneglance: Program, results: Path, drive: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "mined")
    dull = write_lines(tmp_path / "dull.jsonl", drive, {n: [CAR] for n in range(9)})
    gone = write_lines(tmp_path / "gone.jsonl", "gone.mp4", {n: [UNSURE] for n in range(9)})
    live = write_lines(tmp_path / "live.jsonl", "rtsp://cam/1", {0: [UNSURE]})
    write_lines(tmp_path / "far.jsonl", "elsewhere/drive.mp4", {0: [CAR]})
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes").touch()
    refusals: list[tuple[list[object], str]] = [
        ([results, *out, "--frames", 0], "--frames"),
        ([results, *out, "--sure", 2], "--sure"),
        ([results, *out, "--model", "road4-x"], "no model named"),
        ([results, *out, "--clips", tmp_path / "none*.mp4"], "no file matches"),
        ([results, *out, "--against", tmp_path / "gone"], "no file or folder"),
        ([results, *out, "--against", dull.with_name("far.jsonl")], "no clip in common"),
        ([tmp_path / "gone", *out], "no file or folder"),
        (["s3://fleet/found", *out], "copy the results here"),
        ([tmp_path / "empty.jsonl", *out], "nothing to mine"),
        ([dull, *out], "worth a label"),
        ([gone, *out], "no clip"),
        ([live, *out], "was live"),
        ([results, "--out", tmp_path / "foreign"], "did not make"),
        ([results, "--out", tmp_path], "did not make"),
    ]
    for words, expected in refusals:
        run = oneglance("mine", *words)
        assert run.code == 2, words
        assert expected in run.message, words
        assert not (tmp_path / "mined").exists(), words


def test_what_another_run_picked_meanwhile_stays(results: Path, tmp_path: Path) -> None:
    options = MineOptions(results=results, out=tmp_path / "mined", conditions=False)

    def another(done: int, clips: int) -> None:
        if not (options.out / "data.yaml").exists():
            mine(options)

    with pytest.raises(SinkError, match="already holds frames that were picked"):
        mine(options, another)
    assert len(lines_of(options.out / "picked.jsonl")) == 2
    assert len(read_dataset(options.out / "data.yaml").images("train")) == 2
