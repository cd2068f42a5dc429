from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.models.training.data.masks import mask_edges

reference = pytest.importorskip("faster_coco_eval.core.mask", reason="the reference for masks")


def around(pixels: Any) -> Any:
    ys, xs = np.nonzero(pixels)
    return (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else None


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 60))
def test_packed_runs_are_read_as_the_reference_writes_them(
    seed: int, height: int, width: int
) -> None:
    chance = np.random.default_rng(seed)
    pixels = np.zeros((height, width), np.uint8, order="F")
    top, bottom = sorted(chance.integers(0, height + 1, 2))
    left, right = sorted(chance.integers(0, width + 1, 2))
    pixels[top:bottom, left:right] = chance.integers(0, 2, (bottom - top, right - left))
    packed = reference.encode(pixels)
    counts = packed["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    assert mask_edges({"size": [height, width], "counts": text}) == around(pixels)


@given(st.text(max_size=30), st.lists(st.integers(-5, 50), max_size=9))
def test_whatever_stands_there_is_no_error(text: str, counts: list[int]) -> None:
    for mask in (text, counts, [counts], {"size": [6, 5], "counts": text}, {"counts": counts}):
        mask_edges(mask)


@pytest.mark.parametrize(
    "mask", [None, [], [[]], {}, 5, [[1, 2, 3]], [[1, 2] * 2], [[float("nan")] * 6]]
)
def test_what_is_no_mask_has_no_box(mask: Any) -> None:
    assert mask_edges(mask) is None
