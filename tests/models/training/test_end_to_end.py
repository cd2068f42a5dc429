"""One graph from pixels to boxes finds what the detector finds, or it is not written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

onnx = pytest.importorskip("onnx", reason="builds ONNX files")

from oneglance.models import Detector
from oneglance.models.decode import SUPPRESSION
from oneglance.models.engines.self_check import Bound
from oneglance.models.metadata import KEY, Head
from oneglance.models.overlap import iou, to_xywh
from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, SIGN_SUBCLASSES
from oneglance.models.training import end_to_end as making
from oneglance.models.training.end_to_end import end_to_end
from oneglance.models.zoo import resolve_model
from oneglance.streams import open_stream
from oneglance.streams.errors import ModelError, SinkError, UsageError
from onnx_models import build_model, seeing_model

MODEL = "road4-n-416"

BOUND = Bound(score=0.03, side_px=3.0)
"""From the same frame, in pixels of the network's input: one level of a pixel mostly moves a box
by a tenth of a pixel, and now and then which of two boxes of one object suppression keeps."""

SUBCLASSES = (*FOUR_TASKS, *SIGN_SUBCLASSES, *LIGHT_COLOURS)


def session(file: Path) -> Any:
    """As a user makes it: ONNX Runtime and nothing else."""
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def frames() -> list[npt.NDArray[np.uint8]]:
    """Drawn streets with a lot in them, 1280×720."""
    found = []
    for seed in (2, 3, 7):
        with open_stream(f"rendered:?frames=46&seed={seed}") as stream:
            found += [frame.image for frame in stream if frame.index in {15, 45}]
    return found


def hanging(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], tasks: npt.NDArray[Any]) -> int:
    """How many boxes a little more or less of a score or of an overlap would add or take."""
    at_threshold = scores < 0.25 + BOUND.score
    overlaps = np.triu(iou(to_xywh(boxes), to_xywh(boxes)), 1)
    is_near = (np.abs(overlaps - SUPPRESSION.iou) < 0.05) & (tasks[:, None] == tasks)
    return int((at_threshold | is_near.any(axis=0)).sum())


@pytest.mark.parametrize(
    "size",
    [(1280, 720), (1920, 1080), (640, 480), (375, 667), (416, 256), (961, 201), (200, 200)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_it_finds_what_the_detector_finds(
    frames: list[npt.NDArray[np.uint8]], tmp_path: Path, size: tuple[int, int]
) -> None:
    end_to_end(resolve_model(MODEL), tmp_path / "graph.onnx", size=size)
    graph, detector = session(tmp_path / "graph.onnx"), Detector.load(MODEL, self_check=False)
    pixels = max(size[0] / 416, size[1] / 256) * BOUND.side_px
    sure = 0
    for frame in frames:
        image = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        boxes, scores, classes = graph.run(None, {"image": image})
        expected = detector(image)
        assert expected.confidence is not None
        assert (np.diff(scores) <= 0).all()
        tasks = np.array([cls.task.value for cls in detector.metadata.classes])[classes]
        for box, score, task in zip(
            expected.xyxy, expected.confidence, expected.data["task"], strict=True
        ):
            if score < detector.confidence + BOUND.score:
                continue
            sure += 1
            overlaps = iou(to_xywh(box[None]), to_xywh(boxes))[0]
            near = np.flatnonzero((tasks == task) & (overlaps > 0.7))
            assert len(near)
            best = near[0]
            assert abs(scores[best] - score) <= BOUND.score
            assert np.abs(boxes[best] - box).max() <= pixels
        expected_tasks = expected.data["task"]
        assert isinstance(expected_tasks, np.ndarray)
        undecided = hanging(boxes, scores, tasks) + hanging(
            expected.xyxy, expected.confidence, expected_tasks
        )
        assert abs(len(boxes) - len(expected)) <= undecided
    assert sure >= 5


def random_columns(random: np.random.Generator, classes: int) -> npt.NDArray[np.float32]:
    """The output of a one-to-many head: crowds of boxes, each of any class."""
    centre = random.uniform(5, 60, (2, 12)).repeat(6, axis=1) + random.normal(0, 1.5, (2, 72))
    side = random.uniform(6, 16, (2, 12)).repeat(6, axis=1) + random.normal(0, 1.0, (2, 72))
    scores = random.random((classes, 72)) ** 2
    return np.concatenate((centre, side, scores))[None].astype(np.float32)


def random_rows(random: np.random.Generator, classes: int) -> npt.NDArray[np.float32]:
    """The output of a one-to-one head, best first: a place may be listed for several classes."""
    start = random.uniform(0, 40, (20, 2))
    boxes = np.concatenate((start, start + random.uniform(4, 20, (20, 2))), axis=1)
    scores = random.random((20, classes)).astype(np.float32)
    place, cls = np.unravel_index(np.argsort(-scores, axis=None)[:60], scores.shape)
    rows = np.column_stack((boxes[place], scores[place, cls], cls))
    return rows[None].astype(np.float32)


@pytest.mark.parametrize("classes", [FOUR_TASKS, SUBCLASSES], ids=["parents", "subclasses"])
@pytest.mark.parametrize("head", Head)
def test_it_decodes_as_the_detector_does(
    tmp_path: Path, head: Head, classes: tuple[Any, ...]
) -> None:
    random = np.random.default_rng(5)
    make = random_rows if head is Head.ONE_TO_ONE else random_columns
    image = np.zeros((32, 64, 3), np.uint8)
    for number in range(8):
        file = tmp_path / f"{number}.onnx"
        build_model(file, make(random, len(classes)), head=head, size=(64, 32), classes=classes)
        confidence = (0.25, 0.6)[number % 2]
        end_to_end(file, tmp_path / "graph.onnx", size=(64, 32), confidence=confidence)
        boxes, scores, class_id = session(tmp_path / "graph.onnx").run(None, {"image": image})
        expected = Detector.load(file, confidence=confidence)(image)
        assert len(expected) > 3
        assert expected.confidence is not None
        np.testing.assert_allclose(scores, expected.confidence, atol=1e-6)
        np.testing.assert_array_equal(class_id, expected.class_id)
        np.testing.assert_allclose(boxes, expected.xyxy, atol=1e-4)
        assert (boxes.dtype, scores.dtype, class_id.dtype) == (np.float32, np.float32, np.int64)


@pytest.mark.parametrize("head", Head)
@pytest.mark.parametrize("classes", [FOUR_TASKS, SUBCLASSES], ids=["parents", "subclasses"])
def test_nothing_seen_is_no_boxes(tmp_path: Path, head: Head, classes: tuple[Any, ...]) -> None:
    shape = (1, 9, 6) if head is Head.ONE_TO_ONE else (1, 4 + len(classes), 30)
    file = build_model(
        tmp_path / "blind.onnx", np.zeros(shape, np.float32), head=head, classes=classes
    )
    end_to_end(file, tmp_path / "graph.onnx", size=(100, 70))
    image = np.zeros((70, 100, 3), np.uint8)
    found = session(tmp_path / "graph.onnx").run(None, {"image": image})
    assert [each.shape for each in found] == [(0, 4), (0,), (0,)]


def test_a_frame_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    graph = tmp_path / "graph.onnx"
    end_to_end(seeing_model(tmp_path / "seeing.onnx"), graph, size=(64, 48))
    with pytest.raises(Exception, match=r"(?s)Got: 40 Expected: 48"):
        session(graph).run(None, {"image": np.zeros((40, 64, 3), np.uint8)})


def test_it_keeps_what_the_file_says_of_itself_and_is_no_model_for_a_detector(
    tmp_path: Path,
) -> None:
    graph = tmp_path / "graph.onnx"
    end_to_end(resolve_model(MODEL), graph, size=(300, 200), confidence=0.4)
    properties = session(graph).get_modelmeta().custom_metadata_map
    content = json.loads(properties[KEY])
    facts = content.pop("end_to_end")
    before = json.loads(Detector.load(MODEL).metadata.to_json())
    assert content == before
    assert facts == {"width": 300, "height": 200, "colour_order": "BGR", "confidence": 0.4}
    assert not {"imgsz", "stride", "task"} & set(properties)  # ultralytics leaves it alone
    with pytest.raises(ModelError, match="is an end-to-end graph, which takes frames of 300x200"):
        Detector.load(graph)


def test_one_that_differs_is_not_written(
    frames: list[npt.NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MAX_LEVELS", 0.01)
    images = [np.asarray(cv2.resize(frame, (641, 479)), np.uint8) for frame in frames]
    with pytest.raises(ModelError, match=r"differs from the detector by 1\.0 levels"):
        end_to_end(resolve_model(MODEL), tmp_path / "out.onnx", size=(641, 479), images=images)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("size", [(0, 0), (8, 720), (1280, 20000)])
def test_a_size_that_makes_no_sense_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="makes no sense: --end-to-end takes sides of 16 to"):
        end_to_end(resolve_model(MODEL), tmp_path / "out.onnx", size=size)
    assert not (tmp_path / "out.onnx").exists()


def test_the_model_is_not_overwritten(tmp_path: Path) -> None:
    file = seeing_model(tmp_path / "seeing.onnx")
    with pytest.raises(SinkError, match="which is read"):
        end_to_end(file, file, size=(64, 48))


def test_the_command_takes_a_model_of_the_zoo_by_name(
    tmp_path: Path, oneglance: Callable[..., Any]
) -> None:
    graph = tmp_path / "new" / "graph.onnx"
    outcome = oneglance("export", MODEL, "--end-to-end", "640x360", "--out", graph)
    assert outcome.code == 0, outcome.err
    assert "frames of 640x360 in, boxes out; largest difference" in outcome.out
    assert session(graph).get_inputs()[0].shape == [360, 640, 3]
    refused = oneglance("run", "rendered:?frames=1", "--model", graph)
    assert refused.code == 2
    assert "end-to-end graph" in refused.message


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((MODEL, "--end-to-end", "wide"), "--end-to-end is WxH"),
        ((MODEL, "--end-to-end", "0x0"), "makes no sense"),
        ((MODEL, "--end-to-end", "64x64", "--confidence", "2"), "between 0 and 1"),
        ((MODEL, "--end-to-end", "64x64", "--size", "640x384"), "--size is for a training run's"),
        ((MODEL, "--confidence", "0.5"), "--confidence is of --end-to-end graphs"),
        (("road5-n", "--end-to-end", "64x64"), "no model named 'road5-n'; did you mean road4-n"),
        (("absent.onnx", "--end-to-end", "64x64"), "no model file absent.onnx"),
    ],
)
def test_what_the_command_cannot_do_is_a_sentence(
    tmp_path: Path, oneglance: Callable[..., Any], words: tuple[str, ...], sentence: str
) -> None:
    outcome = oneglance("export", *words, "--out", tmp_path / "out.onnx")
    assert outcome.code == 2
    assert sentence in outcome.message
    assert not (tmp_path / "out.onnx").exists()
