"""The rules of the rendered world, without drawing: what a network may learn from it."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from oneglance.streams.rendered.setting import ROAD_LEFT, ROAD_RIGHT
from oneglance.streams.rendered.things import Kind, Thing
from oneglance.streams.rendered.world import EGO_SPEED, LIGHT_PERIOD_S, World

SEEDS = range(8)
TIMES_S = [index / 2 for index in range(40)]


@cache
def worlds() -> list[tuple[float, list[Thing]]]:
    """Time and what there is then, for several drives of twenty seconds."""
    drives = [World(seed) for seed in SEEDS]
    return [(time_s, world.things(time_s)) for world in drives for time_s in TIMES_S]


def test_the_world_follows_from_seed_and_time_alone() -> None:
    travelled, fresh = World(5), World(5)
    for time_s in TIMES_S:
        travelled.things(time_s)
    assert travelled.things(12.5) == fresh.things(12.5)


def test_no_vehicle_drives_through_another() -> None:
    for time_s, things in worlds():
        cars = sorted((t for t in things if t.kind is Kind.CAR), key=lambda car: (car.x, car.z))
        for one in cars:
            for other in cars:
                if one is other or abs(one.x - other.x) > (one.width + other.width) / 2:
                    continue
                apart = one.z + one.length <= other.z or other.z + other.length <= one.z
                assert apart, (time_s, one, other)


def test_nobody_on_the_carriageway_is_run_over() -> None:
    for time_s, things in worlds():
        driving = [t for t in things if t.kind is Kind.CAR and ROAD_LEFT < t.x < ROAD_RIGHT]
        for person in things:
            if person.kind is not Kind.PEDESTRIAN or not ROAD_LEFT < person.x < ROAD_RIGHT:
                continue
            for car in driving:
                beside = abs(person.x - car.x) > (person.width + car.width) / 2
                assert beside or not car.z <= person.z <= car.z + car.length, (time_s, person, car)


def test_things_come_farthest_first_with_the_scenery_before_them() -> None:
    scenery = {Kind.HOUSE, Kind.TREE}
    for _, things in worlds():
        order = [(thing.kind not in scenery, -thing.z) for thing in things]
        assert order == sorted(order)


def test_a_light_shows_all_its_colours_and_is_met_at_one_place_of_its_cycle() -> None:
    # We always arrive at green: nobody learns from us to drive through red.
    phases = [t.phase for _, things in worlds() for t in things if t.kind is Kind.LIGHT]
    assert min(phases) < 0.1
    assert max(phases) > 0.9
    arriving = [
        (thing.phase + thing.z / EGO_SPEED / LIGHT_PERIOD_S) % 1
        for _, things in worlds()
        for thing in things
        if thing.kind is Kind.LIGHT
    ]
    assert all(0.45 <= phase < 0.9 for phase in arriving), arriving  # green, as it is painted


@pytest.mark.parametrize("kind", [Kind.PEDESTRIAN, Kind.CAR, Kind.SIGN, Kind.LIGHT])
def test_every_task_is_met_in_most_worlds(kind: Kind) -> None:
    met = {
        seed
        for seed in SEEDS
        if any(
            t.kind is kind for time_s in (0.0, 8.0, 16.0, 24.0) for t in World(seed).things(time_s)
        )
    }
    assert len(met) > len(SEEDS) / 2


def test_objects_move_steadily() -> None:
    # A thing that stays in sight moves by less than a metre in a thirtieth of a second: the
    # oncoming traffic does 17 m/s towards us.
    for seed in SEEDS:
        world = World(seed)
        frames = [
            {thing.track_id: thing for thing in world.things(index / 30) if thing.track_id}
            for index in range(60)
        ]
        for before, after in pairwise(frames):
            for number in before.keys() & after.keys():
                assert abs(before[number].z - after[number].z) < 1
                assert abs(before[number].x - after[number].x) < 0.2
