"""Which frames of a clip may be worth a label, and which are not."""

from __future__ import annotations

import pytest

from oneglance.perception.convert.boxes import Box, FrameBoxes
from oneglance.perception.mining.reasons import (
    Reason,
    candidates_of,
    disagreement,
    uncertainty,
)

HERE, THERE = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 60.0, 10.0)


def car(confidence: float = 0.9, xyxy: tuple[float, float, float, float] = HERE) -> Box:
    return Box("car", "car", confidence, xyxy, 1)


def light(colour: str, confidence: float = 0.9) -> Box:
    return Box("light", f"light_{colour}" if colour else "light", confidence, HERE, 2)


def clip(boxes: dict[int, list[Box]], rate: float = 25.0) -> list[FrameBoxes]:
    return [FrameBoxes("a.mp4", n, n / rate, (64, 48), tuple(b)) for n, b in boxes.items()]


def picked(reason: Reason, frames: list[FrameBoxes], step: int = 1) -> list[int]:
    found = candidates_of(frames, threshold=0.25, step=step)
    return [one.index for one in found if reason in one.reasons]


def test_boxes_near_the_threshold_are_uncertain_and_sure_ones_are_not() -> None:
    assert uncertainty([car(0.25), car(0.25)], 0.25) == 2
    assert uncertainty([car(0.4), car(0.9)], 0.25) == pytest.approx(0)
    assert picked(Reason.UNCERTAIN, clip({0: [car(0.3)], 30: [car(0.8)]})) == [0]


def test_candidates_of_one_reason_lie_a_second_apart_and_the_strongest_is_taken() -> None:
    near = {n: [car(0.39 if n % 10 else 0.26)] for n in range(50)}
    assert picked(Reason.UNCERTAIN, clip(near)) == [0, 30]


@pytest.mark.parametrize(("missing", "found"), [(0, []), (1, [3]), (2, [3]), (5, [5]), (6, [])])
def test_a_track_that_vanishes_for_a_few_frames_flickers(missing: int, found: list[int]) -> None:
    seen = [0, 1, 2, *range(3 + missing, 9 + missing)]
    assert picked(Reason.FLICKER, clip({n: [car()] for n in seen})) == found


def test_frames_that_nobody_looked_at_are_no_gap() -> None:
    every_third = {n: [car()] for n in range(0, 60, 3) if n != 30}
    assert picked(Reason.FLICKER, clip(every_third), step=3) == [30]


def test_a_gap_has_the_boxes_of_its_own_frame_or_none() -> None:
    (one,) = candidates_of(clip({0: [car()], 2: [car()]}), threshold=0.25, step=1)
    assert (one.index, one.boxes) == (1, ())
    (one,) = candidates_of(
        clip({0: [car()], 1: [light("red")], 2: [car()]}), threshold=0.25, step=1
    )
    assert one.boxes == (light("red"),)


@pytest.mark.parametrize(
    ("colours", "found"),
    [
        (("red", "red", "green", "green"), []),
        (("red", "green", "red", "red"), [1]),
        (("red", "", "red", "red"), []),
        (("red", "", "green", "green"), []),
        (("red", "", "green", "red"), [2]),
    ],
)
def test_a_class_that_changes_and_changes_back_flips(
    colours: tuple[str, ...], found: list[int]
) -> None:
    frames = clip({n: [light(colour)] for n, colour in enumerate(colours)})
    assert picked(Reason.CLASS_FLIP, frames) == found


def test_networks_disagree_about_sure_boxes_that_the_other_has_not_at_all() -> None:
    assert disagreement([car(0.9)], []) == 0.9
    assert disagreement([], [car(0.9)]) == 0.9
    assert disagreement([car(0.9)], [car(0.3)]) == 0
    assert disagreement([car(0.9)], [car(0.8, THERE)]) == pytest.approx(1.7)
    assert disagreement([car(0.4)], []) == 0
    assert disagreement([car(0.9)], [light("red")]) == pytest.approx(1.8)


def test_frames_that_only_one_network_saw_something_in_are_disagreement() -> None:
    ours, theirs = clip({0: [car()], 50: [car()]}), clip({50: [car()], 100: [car()]})
    others = {frame.index: frame for frame in theirs}
    found = candidates_of(ours, threshold=0.25, step=1, others=others)
    assert [(one.index, one.timestamp_s) for one in found] == [(0, 0.0), (100, 4.0)]


def test_a_clip_without_boxes_has_no_candidate() -> None:
    assert candidates_of([], threshold=0.25, step=1) == []
