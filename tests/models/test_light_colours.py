"""The colours of lights, predicted from their pixels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from oneglance.models import Detector
from oneglance.models.light_colours import BANDS, FEATURES, HUES, LightColours, features
from oneglance.models.metadata import KEY, Head, Metadata, read_metadata
from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS
from oneglance.streams.errors import ModelError
from onnx_models import build_model
from present import present

Pixels = npt.NDArray[np.uint8]

LAMPS = {"light_red": (0, (40, 40, 230)), "light_green": (2, (90, 210, 60))}
"""Which of three lamps is lit, from the top, and its BGR."""

RED, GREEN = 0, 60
"""OpenCV's hues."""


def lamps(*names: str) -> Pixels:
    """Lights of these colours side by side, each 20×60 px in a sky of 100×100."""
    image = np.full((100, 40 + 40 * len(names), 3), (200, 180, 160), np.uint8)
    for i, name in enumerate(names):
        left = 20 + 40 * i
        cv2.rectangle(image, (left, 20), (left + 19, 79), (25, 25, 25), -1)
        lamp, colour = LAMPS[name]
        cv2.circle(image, (left + 10, 30 + 20 * lamp), 7, colour, -1)
    return image


def box(i: int) -> npt.NDArray[np.float32]:
    return np.array((20 + 40 * i, 20, 40 + 40 * i, 80), np.float32)


@pytest.fixture
def by_hand() -> LightColours:
    """Red where the top band has red light, green where the bottom band has green."""
    weights = np.zeros((2, FEATURES + 1))
    weights[0, RED * HUES // 180] = 20
    weights[1, 2 * (HUES + 2) + GREEN * HUES // 180] = 20
    return LightColours((LIGHT_COLOURS[0], LIGHT_COLOURS[2]), weights)


def test_features_say_which_lamp_is_lit_and_of_what_hue() -> None:
    rows = features(lamps("light_red"), box(0)).reshape(BANDS, HUES + 2)
    assert rows[:, :HUES].argmax() == RED  # the top band's red is the most there is
    assert rows[0, HUES] > rows[1, HUES]  # its brightest pixel is brighter than the next band's
    assert ((rows >= 0) & (rows <= 1)).all()


@pytest.mark.parametrize("name", LAMPS)
def test_a_head_that_lies_is_read_from_left_to_right(name: str) -> None:
    stands = lamps(name)
    lies = np.ascontiguousarray(stands.transpose(1, 0, 2))
    turned = box(0)[[1, 0, 3, 2]]
    np.testing.assert_array_equal(features(lies, turned), features(stands, box(0)))


@pytest.mark.parametrize(
    "edges", [(-30, -30, -10, -10), (200, 200, 300, 300), (10, 10, 10, 10), (-5, -5, 500, 500)]
)
def test_a_box_may_leave_the_image_or_be_empty(edges: tuple[float, ...]) -> None:
    assert np.isfinite(features(lamps("light_red"), np.array(edges, np.float32))).all()


def test_lights_get_a_colour_and_a_dark_one_is_not() -> None:
    weights = np.zeros((3, FEATURES + 1))
    for colour, (lamp, hue) in enumerate(((0, RED), (1, 30), (2, GREEN))):
        weights[colour, lamp * (HUES + 2) + hue * HUES // 180] = 20
    three = LightColours(LIGHT_COLOURS, weights)
    image = lamps("light_green", "light_red", "light_red")
    cv2.rectangle(image, (100, 20), (119, 79), (25, 25, 25), -1)  # its lamp goes out
    assert three.predict(image, np.stack([box(0), box(1), box(2)])) == [2, 0, None]
    assert three.predict(image, np.zeros((0, 4), np.float32)) == []


def test_a_detector_tells_the_colours_of_its_lights_and_of_nothing_else(
    tmp_path: Path, by_hand: LightColours
) -> None:
    # The image fills the network's input: boxes are the same in both.
    rows = [(*box(0), 0.9, 3), (*box(1), 0.8, 3), (*box(1), 0.7, 2)]
    size = (128, 96)
    image = cv2.copyMakeBorder(lamps("light_red", "light_green"), 0, 0, 0, 8, 0)[:96]
    file = build_model(
        tmp_path / "m.onnx", np.array([rows], np.float32), size=size, colours=by_hand
    )
    detector = Detector.load(file, threads=1)
    found = detector(image)  # type: ignore[arg-type]
    assert list(found.data["class_name"]) == ["light_red", "light_green", "sign"]
    assert list(found.data["task"]) == ["light", "light", "sign"]
    names = [detector.classes[i].name for i in present(found.class_id)]
    assert names == list(found.data["class_name"])
    assert present(found.confidence).tolist() == pytest.approx([0.9, 0.8, 0.7])
    signs = Detector.load(file, threads=1, tasks=["sign"])(image)  # type: ignore[arg-type]
    assert list(signs.data["class_name"]) == ["sign"]


def test_the_file_keeps_them_and_broken_ones_are_refused(by_hand: LightColours) -> None:
    text = Metadata("m", FOUR_TASKS, (64, 32), Head.ONE_TO_ONE, colours=by_hand).to_json()
    kept = read_metadata({KEY: text}, "m.onnx").colours
    assert kept is not None
    assert kept.classes == by_hand.classes
    np.testing.assert_allclose(kept.weights, by_hand.weights)
    for broken in (  # type: ignore[var-annotated]
        {"classes": ["light_red"], "weights": [[1.0]]},
        {"classes": ["light_blue"], "weights": [[0.0] * (FEATURES + 1)]},
        {"classes": ["light_red"], "weights": [[float("nan")] * (FEATURES + 1)]},
        {"classes": ["light_red"]},
        [],
    ):
        content = json.loads(text) | {"colours": broken}
        with pytest.raises(ModelError, match=r"m\.onnx has broken 'oneglance' metadata"):
            read_metadata({KEY: json.dumps(content)}, "m.onnx")
