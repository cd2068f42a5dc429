from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oneglance.models.tasks import CLASS_NAMES, Task, class_of
from oneglance.models.training.data.naming import near_class, region_of
from present import present

OURS = sorted(CLASS_NAMES)
OTHERS_OF_COCO = (
    "bicycle,motorcycle,airplane,train,boat,fire hydrant,parking meter,bench,bird,cat,dog,"
    "horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,"
    "frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,"
    "surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,"
    "sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,"
    "dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,"
    "sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)


def plural(name: Any) -> Any:
    return name[:-1] + "ies" if name.endswith("ry") else name + ("es" if name[-1] == "s" else "s")


def spellings(name: Any) -> Iterator[Any]:
    """How other people write it."""
    yield plural(name)
    yield name.title().replace(" ", "")
    yield plural(name).upper().replace(" ", "-")
    yield name.replace(" ", "__") + "_1"
    yield name.replace(" ", ".") + " (small)"
    if len(name) > 5:
        yield name[:2] + name[3] + name[2] + name[4:]
        yield name[:-2] + name[-1]
        yield name[:3] + name[2:]


@pytest.mark.parametrize("name", [n for n in OURS if n not in {"people", "red", "yellow", "green"}])
def test_every_name_of_ours_is_near_however_it_is_written(name: Any) -> None:
    for written in spellings(name):
        meant = class_of(written) or class_of(near_class(written) or "")
        assert meant is not None, written
        assert meant.task is present(class_of(name)).task, written


@pytest.mark.parametrize(
    "name", [*OTHERS_OF_COCO.split(","), "cyclist", "cat", "cart", "card", "tree", "Misc", "Tram"]
)
def test_other_things_are_not_near(name: Any) -> None:
    assert near_class(name) is None


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("police car", "car"),
        ("TYPE_VEHICLE", "car"),
        ("object--traffic-light--front", "light"),
        ("human--person", "pedestrian"),
        ("red_left", "light_red"),
        ("women", "pedestrian"),
        ("children", "pedestrian"),
        ("Lorries", "car"),
        ("signal pole", None),
        ("street light", "light"),
        ("green area", None),
        ("00010", None),
        ("\N{CJK UNIFIED IDEOGRAPH-8ECA}", "car"),
        ("\N{CJK UNIFIED IDEOGRAPH-9CE5}", None),
        ("Fußgänger", "pedestrian"),
        ("piétons", "pedestrian"),
        ("PKW", "car"),
        ("Verkehrszeichen_2", "sign"),
        ("señal", "sign"),
        ("semáforos", "light"),
        ("светофор", "light"),
        ("红绿灯", "light"),
        ("자동차", "car"),
        ("\N{FULLWIDTH LATIN SMALL LETTER C}\N{FULLWIDTH LATIN SMALL LETTER A}rs", "car"),
        ("car\N{ZERO WIDTH SPACE}", "car"),
        ("redlight", "light_red"),
        ("speedLimit50", "sign"),
        ("peds", "pedestrian"),
        ("...", None),
        *(("TL", "light"), ("tl-red", "light_red"), ("Schild", "sign"), ("Taxis", "car")),
        *(("FireTruck", "car"), ("HGV", "car"), ("hatchbacks", "car"), ("babies", "pedestrian")),
        *(("danger", "sign_danger"), ("Mandatory", "sign_mandatory"), ("danger zone", None)),
        *(("prohibitory", "sign_prohibitory"), ("regulatory--stop--g1", "sign")),
    ],
)
def test_a_name_with_a_word_of_ours_is_near(name: str, ours: Any) -> None:
    assert near_class(name) == ours


@pytest.mark.parametrize(
    "name",
    [
        "DontCare",
        "dont_care",
        "don't care",
        "Ignore",
        "ignored regions",
        "crowd",
        "iscrowd",
        "Void",
        "Difficult",
        "truncated",
        "unlabelled",
        "out_of_roi",
    ],
)
def test_a_region_of_everything_is_known_by_its_name(name: str) -> None:
    assert region_of(name) == frozenset(Task)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("persongroup", Task.PEDESTRIAN),
        ("car groups", Task.CAR),
        ("group of people", Task.PEDESTRIAN),
        ("person_ignore", Task.PEDESTRIAN),
        ("ignore-vehicle", Task.CAR),
        ("traffic light group", Task.LIGHT),
    ],
)
def test_a_region_of_one_task_is_known_by_its_name(name: str, task: Any) -> None:
    assert region_of(name) == frozenset({task})


@pytest.mark.parametrize("name", ["car", "bicyclegroup", "traffic light", "dog", "Group 4 road"])
def test_other_names_are_no_regions(name: str) -> None:
    assert region_of(name) is None
