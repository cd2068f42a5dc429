"""Results that the tests of every format write."""

from __future__ import annotations

import pytest

from oneglance.perception.convert.boxes import Box, FrameBoxes

CAR = Box("car", "car", 0.875, (10.0, 20.0, 30.5, 40.0), 7)
RED = Box("light", "light_red", 0.5, (0.0, 0.0, 4.0, 8.0), None)


@pytest.fixture
def clip_frames() -> list[FrameBoxes]:
    """Frames of two clips of one name, one of them without a box."""
    return [
        FrameBoxes("s3://a/drive.mp4", 0, 0.0, (64, 48), (CAR, RED)),
        FrameBoxes("s3://a/drive.mp4", 1, 0.04, (64, 48), ()),
        FrameBoxes("s3://b/drive.mp4", 5, 0.2, (128, 96), (CAR,)),
    ]


@pytest.fixture
def image_frames(clip_frames: list[FrameBoxes]) -> list[FrameBoxes]:
    """The same with images of their own, as 'oneglance mine' writes them."""
    return [
        FrameBoxes(
            each.clip, each.index, each.timestamp_s, each.size, each.boxes, f"images/train/{n}.jpg"
        )
        for n, each in enumerate(clip_frames)
    ]
