"""``oneglance replay`` as its users meet it: on a run of theirs, in their CI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from golden.regenerate import CLIP, CLIP_FRAMES, CLIP_SOURCE, DRIVE
from oneglance.perception.cli.commands.replay import EXIT_DIFFERENT
from program import Program
from trees import tree

ROAD = "rendered:?frames=6&size=320x180"


@pytest.fixture
def recorded(oneglance: Program, tmp_path: Path, model: Path) -> Path:
    """A run of the tiny model."""
    file = tmp_path / "run.jsonl"
    assert oneglance("run", ROAD, "--model", model, "--jsonl", file).code == 0
    return file


def altered(file: Path, change: Any) -> Path:
    """A copy whose objects were changed by ``change(objects)``."""
    objects = [json.loads(line) for line in file.read_text().splitlines()]
    change(objects)
    copy = file.with_name("altered.jsonl")
    copy.write_text("".join(json.dumps(each) + "\n" for each in objects))
    return copy


@pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 5 drew the golden frames, others differ"
)
def test_the_kept_run_of_the_rendered_drive_is_still_what_is_seen(oneglance: Program) -> None:
    run = oneglance("replay", DRIVE, "--share", 0.03)
    assert run.code == 0, f"{run.out}\nif meant: python tests/golden/regenerate.py"
    assert "24 frames compared" in run.out


def test_the_kept_run_of_a_real_clip_is_still_what_is_seen(oneglance: Program, clips: Path) -> None:
    run = oneglance("replay", CLIP, clips / Path(CLIP_SOURCE).name, "--share", 0.03)
    assert run.code == 0, f"{run.out}\nif meant: python tests/golden/regenerate.py"
    assert f"{CLIP_FRAMES} frames compared" in run.out


def test_a_run_is_itself_again(oneglance: Program, recorded: Path, model: Path) -> None:
    run = oneglance("replay", recorded, ROAD, "--model", model, "--share", 0, "--score", 0.001)
    assert run.code == 0, run.out
    assert "6 frames compared, 0 with other counts" in run.out


def test_what_differs_is_reported_by_task_with_images_of_the_worst_frames(
    oneglance: Program, recorded: Path, model: Path, tmp_path: Path
) -> None:
    def change(objects: list[dict[str, Any]]) -> None:
        objects[2]["detections"] = [d for d in objects[2]["detections"] if d["task"] != "sign"]
        objects[4]["detections"].clear()
        objects[5]["detections"][0]["confidence"] = 0.5

    out, figures = tmp_path / "out", tmp_path / "figures.json"
    run = oneglance(
        *("replay", altered(recorded, change), ROAD, "--model", model),
        *("--out", out, "--worst", 2, "--json", figures),
    )
    assert run.code == EXIT_DIFFERENT
    assert "beyond the tolerance" in run.out
    found = json.loads(figures.read_text())
    assert found["frames_with_other_counts"] == 2
    assert found["tasks"]["sign"]["extra"] == 2
    assert found["tasks"]["car"]["extra"] == found["tasks"]["car"]["score"] == 1
    images = sorted(out.glob("*.jpg"))
    assert [file.name for file in images] == ["frame-000004.jpg", "frame-000005.jpg"]
    image = cv2.imread(str(images[0]))
    assert image is not None
    assert image.shape[1] == 2 * 320
    again = oneglance("replay", recorded, ROAD, "--model", model, "--out", out)
    assert again.code == 0
    assert list(out.glob("*.jpg")) == []  # those were of another comparison


def test_another_model_is_reported(oneglance: Program, recorded: Path) -> None:
    run = oneglance("replay", recorded, ROAD, "--model", "road4-n")
    assert run.code == EXIT_DIFFERENT


def test_only_the_asked_tasks_are_compared(oneglance: Program, recorded: Path, model: Path) -> None:
    def change(objects: list[dict[str, Any]]) -> None:
        for each in objects:
            each["detections"] = [d for d in each["detections"] if d["task"] != "sign"]

    file = altered(recorded, change)
    words = ("replay", file, ROAD, "--model", model)
    assert oneglance(*words).code == EXIT_DIFFERENT
    assert oneglance(*words, "--tasks", "car,pedestrian").code == 0


def test_a_source_that_gives_fewer_frames_is_another(
    oneglance: Program, recorded: Path, model: Path
) -> None:
    source = "rendered:?frames=4&size=320x180"
    run = oneglance("replay", recorded, source, "--model", model)
    assert run.code == EXIT_DIFFERENT
    assert "2 frames of the run do not come any more" in run.out


def test_frames_at_other_times_are_reported(
    oneglance: Program, recorded: Path, model: Path
) -> None:
    run = oneglance("replay", recorded, f"{ROAD}&fps=20", "--model", model)
    assert run.code == EXIT_DIFFERENT
    assert "5 come at another time" in run.out


def test_frames_that_a_run_dropped_are_not_compared(
    oneglance: Program, recorded: Path, model: Path
) -> None:
    def change(objects: list[dict[str, Any]]) -> None:
        del objects[1:3]

    run = oneglance("replay", altered(recorded, change), ROAD, "--model", model)
    assert run.code == 0
    assert "4 frames compared" in run.out


def test_a_run_in_an_mcap_file_is_replayed_too(
    oneglance: Program, tmp_path: Path, model: Path
) -> None:
    pytest.importorskip("mcap", reason="needs the extra mcap")
    file = tmp_path / "run.mcap"
    assert oneglance("run", ROAD, "--model", model, "--sink", f"mcap:{file}?format=ros2").code == 0
    run = oneglance("replay", file, ROAD, "--model", model, "--share", 0)
    assert run.code == 0, run.err
    assert "6 frames compared, 0 with other counts" in run.out
    run = oneglance("replay", file, "rendered:?frames=6", "--model", model)
    assert run.code == EXIT_DIFFERENT
    assert "give the source" in oneglance("replay", file, "--model", model).message
    file.write_bytes(file.read_bytes()[:200])
    assert "no run that can be read" in oneglance("replay", file, ROAD).message


def test_of_several_sources_one_is_chosen_by_its_name(
    oneglance: Program, recorded: Path, model: Path
) -> None:
    def change(objects: list[dict[str, Any]]) -> None:
        objects += [{**each, "source": ROAD} for each in objects]

    file = altered(recorded, change)
    assert oneglance("replay", file, ROAD, "--model", model).code == 0
    reported = oneglance("replay", file, "--model", model).message
    assert "several sources" in reported
    assert "rendered:?seed=0" in reported


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        ("", "holds no result"),
        ("{}\n", "line 1: no result"),
        ("[1]\n", "line 1: no result"),
        ("\xff\n", "line 1: no result"),
    ],
)
def test_what_is_no_run_is_refused(
    oneglance: Program, tmp_path: Path, content: str, reported: str
) -> None:
    file = tmp_path / "run.jsonl"
    file.write_text(content, encoding="latin-1")
    run = oneglance("replay", file, ROAD)
    assert run.code == 2
    assert reported in run.message


def test_unusable_words_are_refused(
    oneglance: Program, tmp_path: Path, recorded: Path, model: Path
) -> None:
    def twice(objects: list[dict[str, Any]]) -> None:
        objects.append(objects[0])

    def endless(objects: list[dict[str, Any]]) -> None:
        objects[0]["detections"][0]["confidence"] = float("nan")

    def hidden(objects: list[dict[str, Any]]) -> None:
        for each in objects:
            each["source"] = "rtsp://***@camera/live"

    words = (ROAD, "--model", model)
    assert "twice" in oneglance("replay", altered(recorded, twice), *words).message
    assert "line 1" in oneglance("replay", altered(recorded, endless), *words).message
    assert "give the source" in oneglance("replay", altered(recorded, hidden)).message
    assert "cannot be read" in oneglance("replay", tmp_path / "none.jsonl").message
    assert "share" in oneglance("replay", recorded, *words, "--share", 2).message
    assert "is read" in oneglance("replay", recorded, *words, "--json", recorded).message
    deep = tmp_path / "deep.jsonl"
    deep.write_text("[" * 100_000)
    assert "line 1" in oneglance("replay", deep, *words).message
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert "did not make" in oneglance("replay", recorded, *words, "--out", full).message


@pytest.mark.parametrize("is_given", [True, False])
def test_figures_are_never_written_over_the_recording_that_is_played(
    is_given: bool, oneglance: Program, tmp_path: Path, model: Path, video: Callable[..., Path]
) -> None:
    clip = video("drive.mp4", frames=3)
    before = clip.read_bytes()
    run = tmp_path / "run.jsonl"
    assert oneglance("run", clip, "--model", model, "--jsonl", run).code == 0
    words = [clip] if is_given else []
    outcome = oneglance("replay", run, *words, "--model", model, "--json", clip)
    assert "which is read; give another name" in outcome.message
    assert clip.read_bytes() == before


def test_a_place_for_figures_that_never_worked_is_reported_before_the_work(
    oneglance: Program, tmp_path: Path, recorded: Path, model: Path
) -> None:
    outcome = oneglance(
        "replay", recorded, "--model", model, "--json", tmp_path / "none" / "a.json"
    )
    assert "there is no folder" in outcome.message
    assert "frames compared" not in outcome.out


def test_images_of_an_earlier_replay_that_are_played_are_not_cleared(
    oneglance: Program, recorded: Path, model: Path, tmp_path: Path
) -> None:
    def change(objects: list[dict[str, Any]]) -> None:
        objects[4]["detections"].clear()

    out = tmp_path / "worst"
    assert (
        oneglance("replay", altered(recorded, change), ROAD, "--model", model, "--out", out).code
        == 1
    )
    before = tree(out)
    run = tmp_path / "again.jsonl"
    assert oneglance("run", out, "--model", model, "--jsonl", run).code == 0
    refused = oneglance("replay", run, out, "--model", model, "--out", out)
    assert refused.code == 2
    assert "which is read, lies in it" in refused.message
    assert tree(out) == before
