"""What may call itself a frame."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from oneglance.streams import Frame


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((1, 4, 6, 3), np.uint8),
        np.zeros((4, 6, 3), np.float32),
    ],
    ids=["grey", "alpha", "batch", "float"],
)
def test_what_is_no_bgr_picture_of_bytes_is_no_frame(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="H×W×3 uint8") as caught:
        Frame(image, index=0, timestamp_s=0.0, source="test")
    assert str(image.shape) in str(caught.value)


def test_a_frame_held_by_several_threads_cannot_be_changed() -> None:
    frame = Frame(np.zeros((4, 6, 3), np.uint8), index=0, timestamp_s=0.0, source="test")
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.index = 1  # type: ignore[misc]


def test_frames_may_be_kept_in_sets_and_compared() -> None:
    # Comparing pictures pixel by pixel would give an array where a truth is wanted.
    one, other = (
        Frame(np.zeros((4, 6, 3), np.uint8), index=0, timestamp_s=0.0, source="test")
        for _ in range(2)
    )
    assert one == one  # noqa: PLR0124
    assert one != other
    assert len({one, other}) == 2
