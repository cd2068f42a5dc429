from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import cv2
import numpy as np
import pytest
import supervision as sv
from hypothesis import given
from hypothesis import strategies as st

from oneglance.models.tasks import Task
from oneglance.perception.sinks import drawing
from oneglance.perception.sinks.drawing import COLOURS, INK, Colour, annotate, label
from oneglance.streams.frame import Image

Detections = Callable[..., sv.Detections]


def grey(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), 90, np.uint8)


def changed(image: Image, drawn: Image) -> np.ndarray:
    different: np.ndarray = np.any(image != drawn, axis=2)
    return different


@pytest.mark.parametrize("task", list(Task))
def test_a_box_has_its_tasks_colour(task: Task, detections: Detections) -> None:
    drawn = annotate(grey(), detections((task.value, 0.9, (100, 100, 200, 200), 1)))
    beside = drawn[150, 80:100]  # left of the box, where its line is
    assert COLOURS[task] in [tuple(pixel) for pixel in beside.tolist()]


def test_the_frame_itself_is_left_as_it_is(detections: Detections) -> None:
    image = grey()
    image.flags.writeable = False
    drawn = annotate(image, detections(("car", 0.9, (100, 100, 200, 200), 1)))
    assert changed(image, drawn).any()
    assert (image == 90).all()


def test_without_detections_the_image_is_an_equal_copy(detections: Detections) -> None:
    image = grey()
    drawn = annotate(image, detections())
    assert drawn is not image
    assert not changed(image, drawn).any()


def test_the_object_in_a_box_stays_visible(detections: Detections) -> None:
    image = grey()
    drawn = annotate(image, detections(("sign", 0.9, (300, 200, 310, 212), 1)))
    assert not changed(image, drawn)[200:213, 300:311].any()


def test_a_label_says_class_confidence_and_track(detections: Detections) -> None:
    found = detections(("car", 0.874, (1, 2, 3, 4), 12), ("light", 0.3, (1, 2, 3, 4), -1))
    assert [label(found, row) for row in range(2)] == ["car 0.87 #12", "light 0.30"]
    untracked = detections(("sign", 1.0, (1, 2, 3, 4), 12), tracked=False)
    assert label(untracked, 0) == "sign 1.00"


def test_a_label_stands_above_its_box(detections: Detections) -> None:
    image = grey()
    touched = changed(image, annotate(image, detections(("car", 0.9, (100, 100, 300, 200), 1))))
    assert touched[85:92, 100:135].all()
    assert not touched[210:].any()


def test_a_label_stands_below_a_box_at_the_top_of_the_image(detections: Detections) -> None:
    image = grey()
    touched = changed(image, annotate(image, detections(("light", 0.9, (300, 0, 312, 30), 1))))
    assert touched[38:44, 300:335].all()


def test_a_label_at_the_right_edge_is_moved_inside(detections: Detections) -> None:
    image = grey()
    touched = changed(
        image, annotate(image, detections(("pedestrian", 0.9, (625, 100, 640, 200), 123)))
    )
    columns = np.flatnonzero(touched[85:90].any(axis=0))
    assert columns.max() <= 639
    assert columns.min() < 560  # pushed to the left of its box


def test_a_label_does_not_hide_a_small_box(detections: Detections) -> None:
    # The sign lies where the car's label would: the label goes below the car.
    image = grey()
    both = detections(("car", 0.9, (100, 100, 300, 200), 1), ("sign", 0.9, (110, 82, 120, 92), 2))
    touched = changed(image, annotate(image, both))
    assert not touched[83:92, 111:120].any()
    assert touched[208:214, 105:140].all()


def test_labels_do_not_cover_each_other(detections: Detections) -> None:
    one = detections(("car", 0.9, (100, 100, 300, 200), 1))
    image = grey()
    alone = annotate(image, one)
    two = detections(
        ("car", 0.9, (100, 100, 300, 200), 1), ("pedestrian", 0.9, (104, 102, 298, 196), 2)
    )
    together = annotate(image, two)
    above = np.s_[82:94, 100:135]
    assert (together[above] == alone[above]).all()  # the first label is still whole


def test_text_grows_with_the_image(detections: Detections) -> None:
    def label_height(height: int) -> int:
        image = grey(height * 16 // 9, height)
        middle = height // 2
        box = ("car", 0.9, (middle, middle, middle + 9, middle + 9), 1)
        touched = changed(image, annotate(image, detections(box)))
        return int(touched.any(axis=1).sum())

    assert label_height(360) < label_height(1080) < label_height(2160)


@given(data=st.data(), width=st.integers(1, 80), height=st.integers(1, 80))
def test_any_box_on_any_image_can_be_drawn(data: st.DataObject, width: int, height: int) -> None:
    edge = st.floats(-(2.0**24), 2.0**24, width=32)
    boxes = data.draw(st.lists(st.tuples(edge, edge, edge, edge), min_size=1, max_size=4))
    found = sv.Detections(
        xyxy=np.array(boxes, np.float32),
        confidence=np.full(len(boxes), 0.5, np.float32),
        class_id=np.zeros(len(boxes), np.int64),
        data={"task": np.array(["car"] * len(boxes)), "class_name": np.array(["car"] * len(boxes))},
    )
    drawn = annotate(grey(width, height), found)
    assert drawn.shape == (height, width, 3)


def luminance(colour: Colour) -> float:
    """WCAG 2: relative luminance."""
    shares = np.array(colour[::-1]) / 255
    linear = np.where(shares <= 0.03928, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("task", list(Task))
def test_text_stands_out_from_its_background(task: Task) -> None:
    contrast = (luminance(COLOURS[task]) + 0.05) / (luminance(INK) + 0.05)
    assert contrast >= 4.5  # WCAG 2 AA for small text


# Machado, Oliveira and Fernandes (2009), full severity; they act on linear RGB.
COLOUR_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


@pytest.mark.parametrize("kind", COLOUR_BLINDNESS)
def test_tasks_are_distinguished_by_the_colour_blind(kind: str) -> None:
    def lab(colour: Colour) -> np.ndarray:
        shares = np.array(colour[::-1]) / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        seen = np.clip(COLOUR_BLINDNESS[kind] @ linear, 0, 1).astype(np.float32)
        srgb = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
        image: np.ndarray = cv2.cvtColor(
            srgb.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_RGB2LAB
        )
        seen_as: np.ndarray = image[0, 0]
        return seen_as

    for first, second in combinations(Task, 2):
        distance = float(np.linalg.norm(lab(COLOURS[first]) - lab(COLOURS[second])))
        assert distance > 20, (first, second)  # a difference of 2 is just seen side by side


def test_letters_are_made_once_and_not_for_every_frame(detections: Detections) -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform((0, 0), (1100, 600), (15, 2)).tolist()
    found = detections(
        *(("car", 0.9, (x, y, x + 60, y + 40), i) for i, (x, y) in enumerate(corners))
    )
    image = grey(1280, 720)
    annotate(image, found)
    made = drawing._glyph.cache_info().misses
    annotate(image, found)
    assert drawing._glyph.cache_info().misses == made


def test_a_predicted_box_is_drawn_with_a_broken_line(
    detections: Detections,
) -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    found = detections(("car", 0.9, (100, 100, 220, 200), 1))
    whole = annotate(image, found)
    found.data["predicted"] = np.array([False])
    np.testing.assert_array_equal(annotate(image, found), whole)
    found.data["predicted"] = np.array([True])
    broken = annotate(image, found)
    colour = COLOURS[Task.CAR]
    left, middle, corner = slice(90, 104), slice(145, 156), slice(102, 112)
    assert (whole[middle, left] == colour).all(axis=-1).any()
    assert not (broken[middle, left] == colour).all(axis=-1).any()
    assert (broken[corner, left] == colour).all(axis=-1).any()
