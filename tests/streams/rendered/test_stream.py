"""The drive that the project draws: the same at every call, and true to its own truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest

from oneglance.streams import UsageError
from oneglance.streams.frame import Image
from oneglance.streams.rendered.painting import Studio
from oneglance.streams.rendered.stream import RenderedBox, RenderedStream
from oneglance.streams.rendered.truth import SMALLEST_OBJECT_SHARE, boxes_of, sightings
from oneglance.streams.rendered.world import World

SIZE = (640, 360)
TASKS = {"pedestrian", "car", "sign", "light"}


def drive(seed: int = 0, size: tuple[int, int] = SIZE, **how: object) -> RenderedStream:
    return RenderedStream(seed=seed, width=size[0], height=size[1], **how)  # type: ignore[arg-type]


# Determinism


def test_the_same_seed_gives_the_same_pixels_and_boxes() -> None:
    one, other = drive(7), drive(7)
    for index in (0, 1, 299):
        image, truth = one.render(index)
        same_image, same_truth = other.render(index)
        np.testing.assert_array_equal(image, same_image)
        assert truth == same_truth


def test_frames_follow_from_their_index_and_not_from_what_was_asked_before() -> None:
    asked_in_order, asked_backwards = drive(3), drive(3)
    in_order = {index: asked_in_order.render(index) for index in (0, 5, 100)}
    for index in (100, 5, 0):
        image, truth = asked_backwards.render(index)
        np.testing.assert_array_equal(image, in_order[index][0])
        assert truth == in_order[index][1]


def test_iterating_gives_what_render_gives() -> None:
    stream = drive(2, frame_count=3)
    for frame in stream:
        np.testing.assert_array_equal(frame.image, stream.render(frame.index)[0])


def test_frames_stay_as_they_are_while_later_ones_are_drawn() -> None:
    frames = iter(drive(2))
    first = next(frames)
    before = first.image.copy()
    list(islice(frames, 3))
    np.testing.assert_array_equal(first.image, before)
    assert first.image.flags.c_contiguous
    assert first.image.flags.writeable


def test_seeds_differ() -> None:
    images = [drive(seed, (160, 96)).render(0)[0].tobytes() for seed in range(8)]
    assert len(set(images)) == 8


def test_time_passes() -> None:
    stream = drive(1, (160, 96))
    images = [stream.render(index)[0] for index in range(5)]
    assert all(not np.array_equal(one, next_) for one, next_ in pairwise(images))


def test_the_frame_rate_changes_how_often_we_look_and_not_what_happens() -> None:
    slow, fast = drive(4, frame_rate=Fraction(10)), drive(4, frame_rate=Fraction(30))
    assert slow.ground_truth(20) == fast.ground_truth(60)
    assert slow.ground_truth(20) != fast.ground_truth(20)


# Truth


def test_the_truth_is_the_same_with_and_without_drawing() -> None:
    stream = drive(5)
    assert all(stream.render(index)[1] == stream.ground_truth(index) for index in (0, 50))


def test_all_four_tasks_are_met_on_the_default_drive() -> None:
    stream = RenderedStream()
    names = [box.name for index in range(0, 300, 10) for box in stream.ground_truth(index)]
    assert set(names) == TASKS
    assert {task: names.count(task) for task in TASKS if names.count(task) < 3} == {}


@pytest.mark.parametrize("size", [(1280, 720), (64, 64), (200, 600)])
@pytest.mark.parametrize("seed", [0, 1, 2, 2**32 - 1])
def test_boxes_lie_in_the_image_and_have_a_size(seed: int, size: tuple[int, int]) -> None:
    stream = drive(seed, size)
    smallest = SMALLEST_OBJECT_SHARE * size[1]
    for index in range(0, 600, 20):
        for box in stream.ground_truth(index):
            x1, y1, x2, y2 = box.xyxy
            assert 0 <= x1 < x2 <= size[0]
            assert 0 <= y1 < y2 <= size[1]
            assert x2 - x1 >= 1
            assert y2 - y1 >= 1
            assert 0 <= box.visible <= 1
            assert box.name in TASKS
            if box.visible == 1:
                assert y2 - y1 >= smallest


def test_every_object_of_a_frame_has_its_own_number() -> None:
    for stream in (drive(seed, (64, 64)) for seed in range(4)):
        for index in range(0, 300, 30):
            numbers = [box.track_id for box in stream.ground_truth(index)]
            assert len(numbers) == len(set(numbers))


def test_a_number_stays_with_its_object_from_frame_to_frame() -> None:
    # An object that keeps its number keeps its task, and moves by no more than a fifth of the
    # image in a thirtieth of a second, however near it is.
    stream = drive(1)
    seen: dict[int, set[str]] = defaultdict(set)
    lasted: dict[int, int] = defaultdict(int)
    for earlier, later in pairwise(stream.ground_truth(index) for index in range(120)):
        before = {box.track_id: box for box in earlier}
        for box in later:
            seen[box.track_id].add(box.name)
            if box.track_id in before:
                lasted[box.track_id] += 1
                assert distance(before[box.track_id], box) < SIZE[0] / 5
    assert all(len(names) == 1 for names in seen.values())
    assert sum(frames > 60 for frames in lasted.values()) >= 5  # in sight for two seconds


def distance(one: RenderedBox, other: RenderedBox) -> float:
    return max(abs(a - b) for a, b in zip(one.xyxy, other.xyxy, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_boxes_are_where_the_pixels_of_their_objects_are(seed: int) -> None:
    # A frame drawn with and without an object differs where the object is: inside its box, and
    # as far as its sides. A shadow or a glow may reach a little further; where its colour is
    # that of what is behind, nothing shows.
    overlaps: list[float] = []
    above_px: list[float] = []
    for truth, changed in with_and_without(seed, indices=(0, 75, 150, 225)):
        assert changed.any(), truth
        rows, columns = np.nonzero(changed)
        seen = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        overlap = iou(truth.xyxy, tuple(float(side) for side in seen))
        assert overlap > 0.5, (truth, seen)
        overlaps.append(overlap)
        above_px.append(truth.xyxy[1] - float(rows.min()))
    assert len(overlaps) >= 8
    assert np.mean(overlaps) > 0.75
    assert np.mean(np.abs(above_px)) < 1.5  # no shadow falls upwards


def with_and_without(
    seed: int, *, indices: tuple[int, ...]
) -> Iterator[tuple[RenderedBox, np.ndarray]]:
    """Objects wholly in sight and at least 20 pixels high, and which pixels they change."""
    stream = drive(seed)
    world = World(seed)
    studio = Studio(world, seed, SIZE)
    for index in indices:
        time_s = index / 30
        camera = world.camera(time_s, *SIZE)
        things = sightings(world.things(time_s), camera)
        hidden = {box.track_id for box in boxes_of(things, camera) if box.visible == 0}
        things = [thing for thing in things if thing.thing.track_id not in hidden]
        whole, truths = stream.render(index)
        for truth in truths:
            if truth.visible < 0.99 or truth.xyxy[3] - truth.xyxy[1] < 20:
                continue
            others = [thing for thing in things if thing.thing.track_id != truth.track_id]
            assert len(others) == len(things) - 1
            bare = studio.paint(others, camera, index=index, time_s=time_s)
            yield truth, changed_pixels(whole, bare)


def changed_pixels(one: Image, other: Image) -> np.ndarray:
    """Where two images differ by more than a soft shadow."""
    return np.asarray(np.abs(one.astype(int) - other).max(axis=2) > 24)


def iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_what_is_hidden_by_a_nearer_object_is_reported_to_be() -> None:
    # Over many frames some are free, some half hidden, some gone behind others.
    shares = [
        box.visible
        for stream in (drive(seed, (320, 180)) for seed in range(3))
        for index in range(0, 300, 15)
        for box in stream.ground_truth(index)
    ]
    assert sum(share == 0 for share in shares) > 5
    assert sum(0.2 < share < 0.8 for share in shares) > 5
    assert sum(share == 1 for share in shares) > len(shares) / 3


# Times, ends, options


def test_times_are_the_index_divided_by_the_rate_exactly() -> None:
    with drive(0, (96, 64), frame_rate=Fraction(30000, 1001), frame_count=20) as stream:
        frames = list(stream)
    assert stream.frame_rate == Fraction(30000, 1001)
    assert [frame.timestamp_s for frame in frames] == [
        float(Fraction(1001 * index, 30000)) for index in range(20)
    ]
    assert [frame.index for frame in frames] == list(range(20))


def test_an_endless_drive_goes_on_after_hours_and_shows_no_count() -> None:
    with RenderedStream.from_uri("rendered:?frames=inf&size=96x64") as stream:
        assert stream.frame_count is None
        assert len(list(islice(stream, 305))) == 305  # 300 where nothing is said
        image, truth = stream.render(30 * 3600 * 5)
        assert image.std() > 5
        assert truth


def test_closing_ends_at_the_next_frame_and_may_be_repeated() -> None:
    stream = drive(0, (96, 64))
    frames = iter(stream)
    next(frames)
    stream.close()
    stream.close()
    assert list(frames) == []
    assert list(stream) == []


@pytest.mark.parametrize(
    ("uri", "seed", "size", "count", "rate"),
    [
        ("rendered:", 0, (1280, 720), 300, Fraction(30)),
        ("rendered:?", 0, (1280, 720), 300, Fraction(30)),
        ("rendered:?seed=4294967295", 2**32 - 1, (1280, 720), 300, Fraction(30)),
        ("rendered:?fps=29.97&size=65x64", 0, (65, 64), 300, Fraction(2997, 100)),
        ("rendered:?fps=30000/1001&frames=1", 0, (1280, 720), 1, Fraction(30000, 1001)),
        ("rendered:seed=7&frames=inf", 7, (1280, 720), None, Fraction(30)),
    ],
)
def test_options_are_read(
    uri: str, seed: int, size: tuple[int, int], count: int | None, rate: Fraction
) -> None:
    with RenderedStream.from_uri(uri) as stream:
        assert stream.source == f"rendered:?seed={seed}"
        assert (stream.frame_count, stream.frame_rate, stream.live) == (count, rate, False)
        frame = next(iter(stream))
    assert frame.size == size
    np.testing.assert_array_equal(frame.image, drive(seed, size, frame_rate=rate).render(0)[0])


@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ("seed=-1", "a whole number from 0 to 4294967295"),
        ("seed=4294967296", "a whole number from 0 to 4294967295"),
        ("seed=", "a whole number"),
        ("seed=1.5", "a whole number"),
        ("seed=٣", "a whole number"),
        ("frames=0", "a whole number from 1, or inf"),
        ("frames=-5", "a whole number from 1, or inf"),
        ("frames=infinite", "a whole number from 1, or inf"),
        ("size=1280", "WIDTHxHEIGHT with sides from 64 to 7680"),
        ("size=63x64", "WIDTHxHEIGHT with sides from 64 to 7680"),
        ("size=7681x64", "WIDTHxHEIGHT with sides from 64 to 7680"),
        ("size=1280X720", "WIDTHxHEIGHT"),
        ("fps=0", "above 0: a number or a fraction like 30000/1001"),
        ("fps=30/0", "above 0: a number or a fraction"),
        ("fps=nan", "above 0: a number or a fraction"),
        ("fps=-30", "above 0: a number or a fraction"),
    ],
)
def test_an_option_that_cannot_be_used_is_reported_with_what_is_allowed(
    option: str, allowed: str
) -> None:
    with pytest.raises(UsageError) as caught:
        RenderedStream.from_uri(f"rendered:?{option}")
    key, _, _ = option.partition("=")
    assert str(caught.value).startswith(f"rendered: '{option}' cannot be used; {key} is ")
    assert allowed in str(caught.value)


@pytest.mark.parametrize("option", ["sede=7", "Seed=7", "=7", "rain=1", "rain"])
def test_an_unknown_option_is_reported_with_those_there_are(option: str) -> None:
    with pytest.raises(UsageError) as caught:
        RenderedStream.from_uri(f"rendered:?{option}")
    assert str(caught.value).startswith(
        f"rendered: unknown option '{option}' (options: seed, frames, size, fps; "
    )


def test_an_option_given_twice_is_reported() -> None:
    with pytest.raises(UsageError, match="'seed' is given twice: 1 and 2"):
        RenderedStream.from_uri("rendered:?seed=1&seed=2")


@pytest.mark.parametrize(
    "how",
    [
        {"seed": -1},
        {"seed": 2**32},
        {"width": 63},
        {"height": 7681},
        {"frame_rate": Fraction(0)},
        {"frame_count": 0},
    ],
)
def test_arguments_are_held_to_the_same_limits(how: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        RenderedStream(**how)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(64, 64), (64, 2000), (3840, 64), (641, 361)])
def test_odd_sizes_are_drawn(size: tuple[int, int]) -> None:
    image, _ = drive(1, size).render(10)
    assert image.shape == (size[1], size[0], 3)
    assert image.std() > 5
