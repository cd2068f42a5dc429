"""Overlaps of boxes are the reference tool's, crowds included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask

from oneglance.models.overlap import iou, to_xywh

side = st.floats(0, 100, width=32)
boxes = st.lists(st.tuples(side, side, side, side), min_size=1, max_size=6)


@given(boxes, boxes, st.booleans())
def test_it_is_that_of_pycocotools(
    ones: list[tuple[float, ...]], others: list[tuple[float, ...]], crowd: bool
) -> None:
    found = iou(np.array(ones, np.float64), np.array(others, np.float64), crowd=crowd)
    expected = mask.iou(np.array(ones), np.array(others), [int(crowd)] * len(others))
    known = np.nan_to_num(np.asarray(expected), nan=0.0, posinf=0.0)
    np.testing.assert_allclose(found, known, atol=1e-9)


def test_boxes_without_an_area_overlap_nothing() -> None:
    empty = np.array([[3.0, 3.0, 0.0, 0.0]])
    assert iou(empty, empty).tolist() == [[0.0]]


def test_no_boxes_are_no_overlaps() -> None:
    assert iou(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)


def test_corners_become_places_and_sizes() -> None:
    corners = np.array([[1, 2, 4, 6]], np.float32)
    assert to_xywh(corners).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert iou(to_xywh(corners), to_xywh(corners))[0, 0] == pytest.approx(1.0)
