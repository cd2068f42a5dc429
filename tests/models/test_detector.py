from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from oneglance.models import Detector, Task
from oneglance.models.metadata import Head
from oneglance.streams.errors import UsageError
from present import present

# At 64×32 a 128×64 image is halved, so boxes come back doubled.
ROWS = np.array(
    [[[2, 4, 12, 14, 0.9, 1], [30, 8, 40, 18, 0.6, 2], [0, 0, 4, 4, 0.1, 0]]], np.float32
)
IMAGE = np.zeros((64, 128, 3), np.uint8)


def test_boxes_come_back_in_pixels_of_the_image(make_model: Any) -> None:
    found = Detector.load(make_model(ROWS))(IMAGE)
    assert found.xyxy.dtype == np.float32
    assert found.xyxy.tolist() == [[4, 8, 24, 28], [60, 16, 80, 36]]
    assert present(found.class_id).tolist() == [1, 2]
    assert list(found.data["class_name"]) == ["car", "sign"]
    assert list(found.data["task"]) == ["car", "sign"]
    np.testing.assert_allclose(found.confidence, [0.9, 0.6])  # type: ignore[arg-type]


def test_both_heads_give_the_same_boxes(make_model: Any) -> None:
    columns = np.zeros((1, 8, 2), np.float32)
    columns[0, :4] = np.array([[7, 9, 10, 10], [35, 13, 10, 10]]).T
    columns[0, 5, 0], columns[0, 6, 1] = 0.9, 0.6
    one = Detector.load(make_model(ROWS, name="one"))(IMAGE)
    many = Detector.load(make_model(columns, head=Head.ONE_TO_MANY, name="many"))(IMAGE)
    assert one.xyxy.tolist() == many.xyxy.tolist()
    assert present(one.class_id).tolist() == present(many.class_id).tolist()


def test_only_the_tasks_asked_for_are_found(make_model: Any) -> None:
    detector = Detector.load(make_model(ROWS), tasks=["sign"])
    assert list(detector(IMAGE).data["task"]) == ["sign"]


def test_confidence_is_a_lower_bound(make_model: Any) -> None:
    assert len(Detector.load(make_model(ROWS), confidence=0.05)(IMAGE)) == 3
    assert len(Detector.load(make_model(ROWS), confidence=0.7)(IMAGE)) == 1


@pytest.mark.parametrize("confidence", [-0.1, 1.5, float("nan")])
def test_a_confidence_outside_0_to_1_is_refused(make_model: Any, confidence: Any) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        Detector.load(make_model(ROWS), confidence=confidence)


def test_an_unknown_task_is_refused_with_the_nearest(make_model: Any) -> None:
    with pytest.raises(UsageError, match="did you mean 'pedestrian'"):
        Detector.load(make_model(ROWS), tasks=["pedestrain"])


def test_nothing_found_is_empty_with_the_same_columns(make_model: Any) -> None:
    found = Detector.load(make_model(ROWS), confidence=0.95)(IMAGE)
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)
    assert set(found.data) == {"class_name", "task"}


def test_the_image_is_never_changed(make_model: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    before = image.copy()
    Detector.load(make_model(ROWS))(image)
    assert (image == before).all()


def test_grey_and_bgra_images_are_taken(make_model: Any) -> None:
    detector = Detector.load(make_model(ROWS))
    assert len(detector(np.zeros((64, 128), np.uint8))) == 2
    assert len(detector(np.zeros((64, 128, 4), np.uint8))) == 2


def test_one_detector_serves_many_threads_with_images_of_many_sizes() -> None:
    detector = Detector.load("road4-n", threads=1, confidence=0.01)
    random = np.random.default_rng(1)
    images = [
        random.integers(0, 256, (h, w, 3), np.uint8)
        for h, w in [(90, 160), (384, 640), (200, 100), (31, 777)] * 3
    ]
    alone = [detector(image).xyxy for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = [found.xyxy for found in pool.map(detector, images)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_tells_its_classes(make_model: Any) -> None:
    detector = Detector.load(make_model(ROWS))
    assert [c.task for c in detector.classes] == list(Task)
    assert detector.name == "fixed"


def test_what_is_neither_image_nor_planes_is_refused_by_what_it_is(make_model: Any) -> None:
    detector = Detector.load(make_model(ROWS))
    with pytest.raises(UsageError, match="not list"):
        detector([[0, 0, 0]])  # type: ignore[arg-type]
