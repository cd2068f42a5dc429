"""Scores of drawn images, held to the reference tool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import (
    CATEGORY,
    Matches,
    average_precision,
    draw_images,
    f1,
    match,
)
from oneglance.models.training.evaluation.coco import score
from present import present


def random_case(seed: Any, *, images: Any = 15, levels: Any = 30, crowds: Any = 0.0) -> Any:
    """Labels and guesses near them, with more than 100 in one image and, of few ``levels``,
    equal scores; a share of ``crowds`` are ignore regions."""
    random = np.random.default_rng(seed)
    truth = {"images": [], "categories": [{"id": 2, "name": "car"}], "annotations": []}
    guesses = []

    def guess(image: Any, box: Any) -> None:
        score = float(random.integers(1, levels)) / levels
        guesses.append({"image_id": image, "category_id": 2, "bbox": box, "score": score})

    for image in range(1, images + 1):
        truth["images"].append({"id": image, "width": 640, "height": 384})
        for _ in range(random.integers(0, 8)):
            box = [float(v) for v in (*random.uniform(0, 400, 2), *random.uniform(10, 150, 2))]
            label = {"image_id": image, "category_id": 2, "bbox": box, "area": box[2] * box[3]}
            truth["annotations"].append(
                {
                    **label,
                    "id": len(truth["annotations"]) + 1,
                    "iscrowd": int(random.random() < crowds) if crowds else 0,
                }
            )
            for _ in range(random.integers(0, 3)):
                guess(image, [side + float(random.normal(0, 6)) for side in box[:2]] + box[2:])
    for _ in range(130):
        guess(1, [float(v) for v in (*random.uniform(0, 400, 2), 30, 30)])
    return truth, guesses


def again(truth: Any, guesses: Any, draw: Any) -> Any:
    """The same as a set in which each image is written down as often as it was drawn."""
    numbers = [image for image, times in enumerate(draw, 1) for _ in range(times)]
    many = {"images": [], "categories": truth["categories"], "annotations": []}
    copies = []
    for new, old in enumerate(numbers, 1):
        many["images"].append({"id": new, "width": 640, "height": 384})
        for label in truth["annotations"]:
            if label["image_id"] == old:
                number = len(many["annotations"]) + 1
                many["annotations"].append({**label, "id": number, "image_id": new})
        copies += [{**g, "image_id": new} for g in guesses if g["image_id"] == old]
    return many, copies


@pytest.mark.parametrize("seed", range(4))
def test_every_image_once_is_the_reference_tools_score(seed: Any) -> None:
    truth, guesses = random_case(seed)
    expected = present(score(truth, guesses, Task.CAR))
    assert 0.05 < expected.map50_95 < 0.95
    (found,) = average_precision(match(truth, guesses, Task.CAR), np.ones((1, 15), np.int64))
    assert found.mean() == pytest.approx(expected.map50_95, abs=1e-9)
    assert found[0] == pytest.approx(expected.map50, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_detections_in_regions_count_as_the_reference_tool_counts_them(seed: Any) -> None:
    truth, guesses = random_case(seed, crowds=0.4)
    expected = present(score(truth, guesses, Task.CAR))
    matches = match(truth, guesses, Task.CAR)
    assert matches.ignored.any()
    (found,) = average_precision(matches, np.ones((1, 15), np.int64))
    assert found.mean() == pytest.approx(expected.map50_95, abs=1e-9)
    assert found[0] == pytest.approx(expected.map50, abs=1e-9)


def test_drawn_images_score_as_if_they_were_written_down_again() -> None:
    # Among equal scores COCO goes by place, and a written copy has another place: none is equal.
    truth, guesses = random_case(9, levels=10**9)
    draws = draw_images(15, 5, seed=3)
    found = average_precision(match(truth, guesses, Task.CAR), draws).mean(axis=1)
    for value, draw in zip(found, draws, strict=True):
        drawn, found_there = again(truth, guesses, draw)
        accuracy = present(score(drawn, found_there, Task.CAR))
        assert value == pytest.approx(accuracy.map50_95)
    assert len(set(found)) == 5


def test_f1_asks_only_what_lies_outside_of_regions() -> None:
    crowd = {"image_id": 1, "category_id": 2, "area": 100, "iscrowd": 1}
    truth: dict[str, Any] = {
        "images": [{"id": 1, "width": 64, "height": 48}],
        "annotations": [
            {**crowd, "id": 1, "bbox": [0, 0, 10, 10]},
            {**crowd, "id": 2, "bbox": [30, 30, 10, 10], "iscrowd": 0},
        ],
    }
    boxes = ([0, 0, 4, 4], [5, 5, 4, 4], [30, 30, 10, 10])
    guesses = [{"image_id": 1, "category_id": 2, "bbox": box, "score": 0.9} for box in boxes]
    once = np.ones((1, 1), np.int64)
    assert f1(match(truth, guesses, Task.CAR), once, confidence=0.5) == [1.0]
    truth["annotations"][0]["iscrowd"] = 0
    assert f1(match(truth, guesses, Task.CAR), once, confidence=0.5)[0] < 1


def test_a_half_right_detector_scores_as_computed_by_hand() -> None:
    # Two boxes; the surest guess is false, the next is true from all ten thresholds on, one box
    # is never found. Recall 1/2 at precision 1/2: 51 of 101 points, each 0.5.
    true = np.array([[False] * 10, [True] * 10])
    matches = Matches(
        image=np.array([0, 1]),
        confidence=np.array([0.9, 0.4]),
        true=true,
        ignored=np.zeros_like(true),
        boxes=np.array([0, 2]),
    )
    draws = np.array([[1, 1], [0, 1], [1, 0], [3, 1]])
    # Without the false one precision is 1; without any box there is no score; three false ones
    # before the true one leave 1/4.
    expected = [51 / 101 / 2, 51 / 101, np.nan, 51 / 101 / 4]
    found = average_precision(matches, draws)
    assert found == pytest.approx(np.repeat([expected], 10, axis=0).T, nan_ok=True)
    # Boxes that are true up to an IoU of 0.7 alone score at those five levels alone.
    true[1, 5:] = False
    assert average_precision(matches, draws)[0] == pytest.approx([expected[0]] * 5 + [0] * 5)
    # Shown from 0.4 on: 2 detections and 2 labels, one of them right.
    expected = [2 / 4, 2 / 3, 0, 2 / 6]
    assert f1(matches, draws, confidence=0.4) == pytest.approx(expected)
    # From 0.5 on the false one alone; without its image the labels are still missed.
    draws = np.array([[1, 1], [0, 1], [0, 0]])
    expected = [0, 0, np.nan]
    assert f1(matches, draws, confidence=0.5) == pytest.approx(expected, nan_ok=True)


def test_f1_of_drawn_images_is_that_of_images_written_down_again() -> None:
    truth, guesses = random_case(5, levels=10**9)
    draws = draw_images(15, 5, seed=3)
    found = f1(match(truth, guesses, Task.CAR), draws, confidence=0.6)
    once = np.ones((1, 15), np.int64)
    for value, draw in zip(found, draws, strict=True):
        matches = match(*again(truth, guesses, draw), Task.CAR)  # type: ignore[call-arg]
        assert value == pytest.approx(f1(matches, once, confidence=0.6)[0])
    assert len(set(found)) == 5
    assert 0.05 < found.min() < found.max() < 0.95


def test_no_detection_scores_nothing() -> None:
    truth, _ = random_case(0)
    none = match(truth, [], Task.CAR)
    assert not average_precision(none, np.ones((2, 15), np.int64)).any()
    signs = [{**g, "category_id": CATEGORY[Task.SIGN]} for g in random_case(0)[1]]
    assert len(match(truth, signs, Task.CAR).image) == 0


def test_draws_are_as_many_images_each_and_the_same_for_the_same_seed() -> None:
    draws = draw_images(20, 50, seed=1)
    assert draws.shape == (50, 20)
    assert set(draws.sum(axis=1)) == {20}
    assert (draws == draw_images(20, 50, seed=1)).all()
    assert (draws != draw_images(20, 50, seed=2)).any()
    # Each image is left out of a draw with (1 - 1/20)^20 = 0.36.
    assert 0.3 < (draws == 0).mean() < 0.42
