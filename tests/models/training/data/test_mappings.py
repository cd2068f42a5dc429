from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneglance.models.tasks import CLASSES, Task, task_of
from oneglance.models.training.data.mappings import MAPPINGS, PART_OF_A_TASK, REGIONS, meaning

NAMES = {
    "bdd100k": "pedestrian,rider,car,truck,bus,train,motorcycle,bicycle,traffic light,traffic sign",
    "coco": "person,bicycle,car,motorcycle,airplane,bus,train,truck,traffic light,stop sign",
    "kitti": "Car,Van,Truck,Pedestrian,Person_sitting,Cyclist,Tram,Misc,DontCare",
    "cityscapes": "person,rider,car,truck,bus,train,motorcycle,bicycle,traffic light,traffic sign",
    "udacity": "biker,car,pedestrian,trafficLight,trafficLight-Green,trafficLight-GreenLeft,"
    "trafficLight-Red,trafficLight-RedLeft,trafficLight-Yellow,trafficLight-YellowLeft,truck",
    "gtsdb": ",".join(str(number) for number in range(43)),
    "lights": "go,goLeft,stop,stopLeft,warning,warningLeft,Red,RedStraightLeft,GreenRight,off",
}


def ours(mapping: Any, *names: Any) -> Any:
    numbered = dict(enumerate(names or NAMES[mapping].split(",")))
    found = meaning(numbered, mapping, "here")
    return [None if cls is None else cls.name for cls in found.classes.values()]


def test_each_mapping_speaks_of_our_classes_only() -> None:
    for table in MAPPINGS.values():
        assert {cls for cls in table.values() if cls is not None} <= {*CLASSES, *REGIONS}


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_a_mapping_never_hides_a_name_of_ours_but_the_parts_of_a_task(mapping: Any) -> None:
    for name, cls in MAPPINGS[mapping].items():
        if cls is None:
            assert task_of(name) is None or name in PART_OF_A_TASK


def test_people_vehicles_and_the_rest_of_the_street() -> None:
    person, car = "pedestrian", "car"
    streets = [person, person, car, car, car, None, None, None, "light", "sign"]
    assert ours("bdd100k") == streets
    assert ours("cityscapes") == streets
    assert ours("coco") == [person, None, car, None, None, car, None, car, "light", None]
    assert ours("kitti") == [car, car, car, person, person, None, None, None, None]


def test_lights_and_their_colours() -> None:
    green, red, yellow = "light_green", "light_red", "light_yellow"
    assert ours("udacity") == [
        *(None, "car", "pedestrian", "light"),
        *(green, green, red, red, yellow, yellow, "car"),
    ]
    assert ours("lights") == [green, green, red, red, yellow, yellow, red, red, green, "light"]


def test_the_43_signs_have_the_categories_of_their_source(shared: Path) -> None:
    kinds = ours("gtsdb")
    listed = (shared / "data" / "gtsdb" / "SOURCE.txt").read_text().splitlines()
    lines = [line for line in listed if line[:1].isdigit() and " = " in line]
    assert len(lines) == 43
    for number, line in enumerate(lines):
        category = line[line.rindex("(") + 1 : line.rindex(")")]
        assert kinds[number] == f"sign_{category}", line


def test_signs_may_be_named_with_their_category() -> None:
    assert ours("gtsdb", "restriction ends (overtaking (trucks)) (other)", "danger") == [
        "sign_other",
        "sign_danger",
    ]


def test_every_class_knows_its_task() -> None:
    assert {cls.task for name, cls in CLASSES.items() if name.startswith("light")} == {Task.LIGHT}
    assert [cls.name for cls in CLASSES.values() if cls.is_parent] == [task.value for task in Task]
    for name, cls in CLASSES.items():
        assert task_of(name) is cls.task


def test_kittis_dontcare_is_a_region_of_which_nothing_is_known() -> None:
    names = dict(enumerate(NAMES["kitti"].split(",")))
    found = meaning(names, "kitti", "here")
    assert found.regions == {8: frozenset(Task)}
    assert not found.unmapped


def test_gtsdbs_numbers_may_have_leading_zeros() -> None:
    assert ours("gtsdb", "00010", "00011", "00018", "00042") == [
        *("sign_prohibitory", "sign_danger", "sign_danger", "sign_other")
    ]
