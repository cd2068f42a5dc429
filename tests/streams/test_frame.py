"""What may call itself a frame."""

from __future__ import annotations

import dataclasses
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from oneglance.streams import Frame, SourceBroken
from oneglance.streams.frame import Image
from oneglance.streams.yuv import Bytes


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
def test_what_is_no_bgr_image_of_bytes_is_no_frame(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="H×W×3 uint8") as caught:
        Frame(image, index=0, timestamp_s=0.0, source="test")
    assert str(image.shape) in str(caught.value)


def test_a_frame_held_by_several_threads_cannot_be_changed() -> None:
    frame = Frame(np.zeros((4, 6, 3), np.uint8), index=0, timestamp_s=0.0, source="test")
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.index = 1  # type: ignore[misc]


def test_frames_may_be_kept_in_sets_and_compared() -> None:
    # Comparing images pixel by pixel would give an array where a truth is wanted.
    one, other = (
        Frame(np.zeros((4, 6, 3), np.uint8), index=0, timestamp_s=0.0, source="test")
        for _ in range(2)
    )
    assert one == one  # noqa: PLR0124
    assert one != other
    assert len({one, other}) == 2


class Counted:
    """A deferred image that counts how often it is made."""

    size = (6, 4)

    def __init__(self) -> None:
        self.made = 0

    def to_bgr(self) -> Image:
        self.made += 1
        time.sleep(0)  # other threads may come in here
        return np.full((4, 6, 3), self.made, np.uint8)

    def yuv(self) -> None:
        return None

    def planes(self) -> tuple[Bytes, ...]:
        return (np.zeros((4, 6), np.uint8),)


def test_an_image_is_made_when_it_is_asked_for_and_not_for_its_size_or_planes() -> None:
    source = Counted()
    frame = Frame(source, index=0, timestamp_s=0.0, source="test")
    assert (frame.size, frame.width, frame.height) == ((6, 4), 6, 4)
    assert frame.planes()[0].shape == (4, 6)
    assert "index=0" in repr(frame)
    assert source.made == 0
    assert frame.image[0, 0, 0] == 1
    assert source.made == 1


def test_threads_that_ask_at_once_get_one_image_made_once() -> None:
    for _ in range(20):
        source = Counted()
        frame = Frame(source, index=0, timestamp_s=0.0, source="test")
        with ThreadPoolExecutor(8) as threads:
            images = list(threads.map(lambda _, f=frame: f.image, range(8)))
        assert source.made == 1
        assert all(image is images[0] for image in images)


def test_a_frame_with_another_index_shares_the_image_that_is_made_later() -> None:
    source = Counted()
    frame = Frame(source, index=3, timestamp_s=1.0, source="one", damaged=True, decode_s=0.5)
    other = frame.changed(index=7, source="other")
    assert (other.index, other.timestamp_s, other.source) == (7, 1.0, "other")
    assert (other.damaged, other.decode_s, frame.index) == (True, 0.5, 3)
    assert other.image is frame.image
    assert source.made == 1


def test_a_fact_that_a_frame_has_not_cannot_be_changed() -> None:
    frame = Frame(np.zeros((4, 6, 3), np.uint8), index=0, timestamp_s=0.0, source="test")
    with pytest.raises(TypeError, match="no colour"):
        frame.changed(colour="red")  # type: ignore[call-arg]


def test_metadata_is_a_copy_that_cannot_be_changed() -> None:
    known: dict[str, object] = {"frame_id": "front", "stamp": 1.7e9}
    frame = Frame(np.zeros((4, 6, 3), np.uint8), 0, 0.0, "test", metadata=known)
    known["frame_id"] = "rear"
    assert frame.metadata == {"frame_id": "front", "stamp": 1.7e9}
    with pytest.raises(TypeError):
        frame.metadata["frame_id"] = "rear"  # type: ignore[index]


def test_a_frame_may_be_sent_to_another_process() -> None:
    sent = Frame(Counted(), 5, 1.5, "test", metadata={"frame_id": "front"}, damaged=True)
    got = pickle.loads(pickle.dumps(sent))
    assert (got.index, got.timestamp_s, got.source, got.damaged) == (5, 1.5, "test", True)
    assert got.metadata == {"frame_id": "front"}
    np.testing.assert_array_equal(got.image, sent.image)


def test_what_is_made_must_be_a_bgr_image_of_bytes_too() -> None:
    source = Counted()
    source.to_bgr = lambda: np.zeros((4, 6), np.uint8)  # type: ignore[method-assign]
    frame = Frame(source, index=0, timestamp_s=0.0, source="test")
    with pytest.raises(SourceBroken, match=r"test: frame 0 cannot be converted: .*H×W×3 uint8"):
        _ = frame.image
