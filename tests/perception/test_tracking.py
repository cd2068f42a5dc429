"""Ids over time, on motion whose truth is known: boxes made by hand and the rendered drive."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import supervision as sv

from oneglance.perception.tracking import LOST_TRACK_S, NO_TRACK, Tracker
from oneglance.streams.rendered.stream import RenderedStream
from present import present

FPS = 25.0

Box = tuple[float, float, float, float]
Seen = tuple[str, Box]


def found(*things: Seen, confidence: float = 0.9) -> sv.Detections:
    """What a detector would say of ``things``."""
    if not things:
        nothing = sv.Detections.empty()
        nothing.data = {"task": np.empty(0, "<U10"), "class_name": np.empty(0, "<U10")}
        return nothing
    tasks = np.array([task for task, _ in things])
    return sv.Detections(
        xyxy=np.array([box for _, box in things], np.float32),
        confidence=np.full(len(things), confidence, np.float32),
        class_id=np.zeros(len(things), np.int64),
        data={"task": tasks, "class_name": tasks.copy()},
    )


def car(x: float, y: float = 100) -> Seen:
    return "car", (x, y, x + 80, y + 50)


def walker(x: float, y: float = 90) -> Seen:
    return "pedestrian", (x, y, x + 25, y + 60)


def ids_of(
    frames: Sequence[sv.Detections], *, times_s: Sequence[float] | None = None
) -> list[list[int]]:
    """The ids that one tracker gives, frame by frame."""
    tracker = Tracker(frame_rate=FPS)
    times_s = [i / FPS for i in range(len(frames))] if times_s is None else times_s
    return [
        present(tracker.update(frame, timestamp_s=time_s).tracker_id).tolist()
        for frame, time_s in zip(frames, times_s, strict=True)
    ]


def test_an_object_keeps_its_id_while_it_moves() -> None:
    ids = ids_of([found(car(4.0 * i)) for i in range(50)])
    assert len({row[0] for row in ids[1:]}) == 1
    assert ids[1][0] > 0


def test_a_tracker_goes_on_where_it_was_after_it_was_pickled() -> None:
    tracker = Tracker()
    before = [tracker.update(found(car(100 + 5 * n)), timestamp_s=n / 30) for n in range(4)]
    again: Tracker = pickle.loads(pickle.dumps(tracker))
    after = again.update(found(car(120)), timestamp_s=4 / 30)
    assert before[-1].tracker_id is not None
    assert after.tracker_id is not None
    assert after.tracker_id.tolist() == before[-1].tracker_id.tolist() != [NO_TRACK]


def test_two_cars_side_by_side_keep_their_own_ids() -> None:
    ids = ids_of([found(car(4.0 * i), car(400 - 3.0 * i, y=200)) for i in range(50)])
    assert len({tuple(row) for row in ids[1:]}) == 1
    assert ids[-1][0] != ids[-1][1]


def test_a_pedestrian_before_a_car_takes_nothing_from_it() -> None:
    # The walker crosses the car's box exactly: of two trackers neither sees the other.
    frames = [found(car(100), ("pedestrian", (5.0 * i, 100, 5.0 * i + 80, 150))) for i in range(50)]
    ids = ids_of(frames)
    assert len({tuple(row) for row in ids[1:]}) == 1


def test_ids_are_never_shared_between_tasks() -> None:
    tasks = ("pedestrian", "car", "sign", "light")
    frames = [
        found(*((t, (50.0 * n + 2 * i, 0, 50.0 * n + 2 * i + 30, 30)) for n, t in enumerate(tasks)))
        for i in range(20)
    ]
    last = ids_of(frames)[-1]
    assert len(set(last)) == 4
    assert min(last) > 0


def test_order_boxes_and_names_stay_as_the_detector_gave_them() -> None:
    rng = np.random.default_rng(0)
    tracker = Tracker(frame_rate=FPS)
    for i in range(20):
        things = [car(3.0 * i), walker(300 - i), car(200 + 2.0 * i, 220), walker(50 + 2.0 * i, 300)]
        rng.shuffle(things)
        before, given = found(*things), found(*things)
        after = tracker.update(given, timestamp_s=i / FPS)
        np.testing.assert_array_equal(after.xyxy, before.xyxy)
        np.testing.assert_array_equal(after.confidence, before.confidence)
        assert list(after.data["task"]) == list(before.data["task"])
        assert list(after.data["class_name"]) == list(before.data["class_name"])
        assert present(after.tracker_id).dtype == np.int64


def test_ids_follow_the_objects_and_not_their_places_in_the_list() -> None:
    by_thing = defaultdict(set)
    tracker = Tracker(frame_rate=FPS)
    for i in range(30):
        things = [("a", car(3.0 * i)), ("b", car(300 - 3.0 * i, 200)), ("c", walker(150 + i, 300))]
        things = things[i % 3 :] + things[: i % 3]
        ids = tracker.update(found(*(t for _, t in things)), timestamp_s=i / FPS).tracker_id
        for (name, _), number in zip(things, present(ids).tolist(), strict=True):
            by_thing[name].add(number)
    ids_held = {name: numbers - {NO_TRACK} for name, numbers in by_thing.items()}
    assert [len(numbers) for numbers in ids_held.values()] == [1, 1, 1]
    assert len(set.union(*ids_held.values())) == 3


def test_frames_of_one_time_and_time_that_runs_backwards_are_borne() -> None:
    frames = [found(car(2.0 * i)) for i in range(12)]
    times_s = [0.0, 0.04, 0.04, 0.04, 0.08, 0.12, 0.06, 0.10, 0.16, 0.20, 0.20, 0.24]
    ids = ids_of(frames, times_s=times_s)
    assert len({row[0] for row in ids[1:]}) == 1


def test_a_clock_that_was_set_back_goes_on_from_there_and_gaps_are_gaps_still() -> None:
    times_s = [3600 + i / FPS for i in range(10)]
    times_s += [i / FPS for i in range(10)]  # an hour back
    times_s += [times_s[-1] + LOST_TRACK_S + 1 + i / FPS for i in range(10)]
    # The same place, two seconds later: another car.
    ids = ids_of([found(car(100)) for _ in times_s], times_s=times_s)
    assert ids[9] == ids[19]
    assert ids[29][0] > 0
    assert ids[29] != ids[19]


@pytest.mark.parametrize("make", [found, sv.Detections.empty])
def test_a_frame_without_boxes_has_no_ids(make: Callable[[], sv.Detections]) -> None:
    tracker = Tracker(frame_rate=FPS)
    assert present(tracker.update(make(), timestamp_s=0.0).tracker_id).tolist() == []
    for i in range(1, 5):
        tracker.update(found(car(4.0 * i)), timestamp_s=i / FPS)
    assert present(tracker.update(make(), timestamp_s=5 / FPS).tracker_id).tolist() == []


def test_an_object_hidden_for_a_moment_comes_back_with_its_id() -> None:
    hidden = range(20, 28)  # a third of a second
    frames = [found() if i in hidden else found(car(4.0 * i)) for i in range(50)]
    ids = ids_of(frames)
    assert ids[19] == ids[30] == ids[-1]


def test_what_comes_after_a_long_gap_is_something_new() -> None:
    times_s = [i / FPS for i in range(10)]
    times_s += [times_s[-1] + LOST_TRACK_S + 1 + i / FPS for i in range(10)]
    # The same place, two seconds later: another car.
    ids = ids_of([found(car(100)) for _ in times_s], times_s=times_s)
    assert ids[9][0] > 0
    assert ids[19][0] > 0
    assert ids[9] != ids[19]


def test_a_weak_box_begins_no_track_but_continues_one() -> None:
    assert ids_of([found(car(2.0 * i), confidence=0.3) for i in range(10)])[-1] == [NO_TRACK]
    strong_then_weak = [found(car(2.0 * i), confidence=0.9 if i < 5 else 0.3) for i in range(10)]
    ids = ids_of(strong_then_weak)
    assert ids[-1] == ids[4] != [NO_TRACK]


def test_ids_on_the_rendered_drive_follow_its_true_objects() -> None:
    stream = RenderedStream(seed=1, width=640, height=360, frame_count=None)
    tracker = Tracker(frame_rate=30)
    ids_by_object, objects_by_id = defaultdict(set), defaultdict(set)
    for index in range(120):
        truth = [box for box in stream.ground_truth(index) if box.visible > 0.5]
        frame = found(*((box.name, box.xyxy) for box in truth))
        ids = tracker.update(frame, timestamp_s=index / 30).tracker_id
        for box, number in zip(truth, present(ids).tolist(), strict=True):
            if number != NO_TRACK:
                ids_by_object[box.name, box.track_id].add(number)
                objects_by_id[number].add((box.name, box.track_id))
    assert len(ids_by_object) >= 10
    assert {len({task for task, _ in objects}) for objects in objects_by_id.values()} == {1}
    switches = sum(len(ids) - 1 for ids in ids_by_object.values())
    assert switches <= 0.25 * len(ids_by_object)
