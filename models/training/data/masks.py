"""The boxes around COCO's masks: polygons, and runs of equal pixels down the columns.

Runs stand there as numbers or packed into text, five bits a character and each run from the third
on as its difference from the one but last (pycocotools, ``rleToString``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

Edges = tuple[float, float, float, float]

_LONGEST_RUN_BITS = 40


def mask_edges(mask: Any) -> Edges | None:
    """Left, top, right, bottom of a mask in pixels; None where it is empty, or no mask."""
    try:
        if isinstance(mask, dict):
            height, width = (int(side) for side in mask["size"])
            counts = mask["counts"]
            runs = _unpacked(counts) if isinstance(counts, str) else [int(n) for n in counts]
            return _around_runs(runs, height, width)
        return _around_polygons(mask)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _around_polygons(polygons: Any) -> Edges | None:
    flat = polygons if isinstance(polygons[:1], list) and _is_flat(polygons) else None
    points = [float(n) for part in ([flat] if flat else polygons) for n in part]
    xs, ys = points[::2], points[1::2]
    if len(xs) < 3 or len(xs) != len(ys) or not all(map(math.isfinite, points)):
        return None
    return min(xs), min(ys), max(xs), max(ys)


def _is_flat(polygons: list[Any]) -> bool:
    return bool(polygons) and not isinstance(polygons[0], list)


def _around_runs(runs: Sequence[int], height: int, width: int) -> Edges | None:
    """Of runs that begin with one of background and alternate."""
    if height <= 0 or width <= 0 or min(runs, default=0) < 0 or sum(runs) != height * width:
        return None
    left, top, right, bottom = width, height, 0, 0
    for number, (start, end) in enumerate(pairwise(accumulate(runs, initial=0))):
        if number % 2 == 0 or start == end:
            continue
        first, last = start // height, (end - 1) // height
        left, right = min(left, first), max(right, last + 1)
        if first == last:
            top, bottom = min(top, start % height), max(bottom, (end - 1) % height + 1)
        else:
            top, bottom = 0, height
    return (float(left), float(top), float(right), float(bottom)) if right else None


def _unpacked(text: str) -> list[int]:
    runs: list[int] = []
    value = bits = 0
    for letter in text.encode("ascii"):
        piece = letter - 48
        if not 0 <= piece < 64 or bits > _LONGEST_RUN_BITS:
            raise ValueError("no packed runs")
        value |= (piece & 31) << bits
        bits += 5
        if piece & 32:
            continue
        if piece & 16:
            value -= 1 << bits
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = bits = 0
    return runs
