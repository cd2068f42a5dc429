"""What the class names of well-known data sets mean in our classes.

Chosen by ``classes: NAME`` in a data set file. A name mapped to None is background *in that
data set's habit*: the task it might seem to serve must then not be claimed as labelled, or
training would take such objects for absent (``datasets`` enforces it).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from oneglance.models.tasks import CLASSES, ModelClass, Task, class_of, normalised
from oneglance.streams.errors import DataError

PART_OF_A_TASK: Mapping[str, Task] = {
    "stop sign": Task.SIGN,
    "bus": Task.CAR,
    "lorry": Task.CAR,
    "truck": Task.CAR,
    "van": Task.CAR,
}
"""Names that alone do not label their task: COCO's stop signs are not all signs there."""

_GTSDB_PROHIBITORY = (*range(6), *range(7, 11), 15, 16)
_GTSDB_DANGER = (11, *range(18, 32))
_GTSDB_MANDATORY = range(33, 41)
_GTSDB_OTHER = (6, 12, 13, 14, 17, 32, 41, 42)


def _colours() -> dict[str, str | None]:
    """LISA (go, stop, warning), BSTLD and S2TLD (Red, GreenLeft, off, wait_on), colours."""
    shown = {
        "light_red": ("red", "stop"),
        "light_yellow": ("yellow", "amber", "warning"),
        "light_green": ("green", "go"),
    }
    names: dict[str, str | None] = {}
    for ours, words in shown.items():
        for word in words:
            for way in ("", "left", "right", "straight", "forward"):
                names[f"{word}{way}"] = ours
                names[f"{word} {way}".strip()] = ours
            names[f"{word} straight left"] = names[f"{word}straightleft"] = ours
            names[f"{word} straight right"] = names[f"{word}straightright"] = ours
    return names | dict.fromkeys(("off", "wait on", "light", "traffic light", "unknown"), "light")


MAPPINGS: Mapping[str, Mapping[str, str | None]] = {
    "bdd100k": {
        # Its riders are people on bicycles and motorcycles, boxed without them.
        **dict.fromkeys(("person", "pedestrian", "rider", "other person"), "pedestrian"),
        **dict.fromkeys(("car", "truck", "bus"), "car"),
        "traffic sign": "sign",
        "traffic light": "light",
        **{f"traffic light {c}": f"light_{c}" for c in ("red", "yellow", "green")},
        **dict.fromkeys(("bike", "bicycle", "motor", "motorcycle", "train"), None),
        **dict.fromkeys(("trailer", "other vehicle"), None),
    },
    "coco": {
        "person": "pedestrian",
        **dict.fromkeys(("car", "bus", "truck"), "car"),
        "traffic light": "light",
        "stop sign": None,  # the only signs it labels: the others there are unknown, not absent
    },
    "kitti": {
        **dict.fromkeys(("pedestrian", "person sitting", "person"), "pedestrian"),
        **dict.fromkeys(("car", "van", "truck"), "car"),
        # A cyclist's box holds the bicycle too; DontCare is an area, not an object.
        **dict.fromkeys(("cyclist", "tram", "misc", "dontcare"), None),
    },
    "cityscapes": {
        **dict.fromkeys(("person", "rider", "pedestrian"), "pedestrian"),
        **dict.fromkeys(("car", "truck", "bus", "caravan"), "car"),
        "traffic sign": "sign",
        "traffic light": "light",
        **dict.fromkeys(("motorcycle", "bicycle", "train", "trailer"), None),
    },
    "udacity": {
        **dict.fromkeys(("pedestrian", "person"), "pedestrian"),
        **dict.fromkeys(("car", "truck"), "car"),
        **dict.fromkeys(("trafficlight", "traffic light"), "light"),
        **{
            f"trafficlight {colour}{way}": f"light_{colour}"
            for colour in ("red", "yellow", "green")
            for way in ("", "left")
        },
        **dict.fromkeys(("biker", "bicyclist", "cyclist"), None),  # boxed with the bicycle
    },
    "gtsdb": {
        **{str(number): "sign_prohibitory" for number in _GTSDB_PROHIBITORY},
        **{str(number): "sign_danger" for number in _GTSDB_DANGER},
        **{str(number): "sign_mandatory" for number in _GTSDB_MANDATORY},
        **{str(number): "sign_other" for number in _GTSDB_OTHER},
        **{kind: f"sign_{kind}" for kind in ("prohibitory", "mandatory", "danger", "other")},
    },
    "lights": _colours(),
}
"""Our class name, or None, by a data set's name as ``normalised`` writes it."""


def meaning(names: Mapping[int, str], classes: object, where: str) -> dict[int, ModelClass | None]:
    """Which of our classes each of ``names`` (class id → name) means, by a ``classes:`` entry.

    ``classes``: None, the name of a ready-made mapping, or a map from names (or class numbers)
    to our class names or null. Names it does not hold mean what they say (``class_of``). GTSDB's
    names may end in their category: ``give way (other)``.

    Raises:
        DataError: an unknown mapping, a class that is none of ours, or a name the set lacks.
    """
    if classes is None:
        return {number: class_of(name) for number, name in names.items()}
    if isinstance(classes, str):
        return _ready_made(names, classes, where)
    if not isinstance(classes, dict):
        raise DataError(
            f"{where}: 'classes:' must be a map of its names to ours, or one of "
            f"{', '.join(MAPPINGS)}"
        )
    chosen = {normalised(str(name)): ours for name, ours in classes.items()}
    known = {normalised(name) for name in names.values()}
    strange = sorted(str(name) for name in classes if normalised(str(name)) not in known)
    if strange:
        raise DataError(
            f"{where}: 'classes:' maps {', '.join(strange)}, but 'names:' has no such class"
        )
    return {
        number: _ours(chosen[normalised(name)], name, where)
        if normalised(name) in chosen
        else class_of(name)
        for number, name in names.items()
    }


def _ready_made(names: Mapping[int, str], mapping: str, where: str) -> dict[int, ModelClass | None]:
    if mapping not in MAPPINGS:
        near = difflib.get_close_matches(mapping.lower(), MAPPINGS, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(
            f"{where}: no mapping named '{mapping}'{hint} (mappings: {', '.join(MAPPINGS)})"
        )
    table = MAPPINGS[mapping]
    found: dict[int, ModelClass | None] = {}
    for number, name in names.items():
        word = normalised(name)
        if mapping == "gtsdb" and word.endswith(")"):
            word = word[word.rindex("(") + 1 : -1] if "(" in word else word
        ours = table[word] if word in table else _name_of(class_of(name))
        found[number] = None if ours is None else CLASSES[ours]
    return found


def _name_of(cls: ModelClass | None) -> str | None:
    return None if cls is None else cls.name


def _ours(value: object, name: str, where: str) -> ModelClass | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in CLASSES:
        near = difflib.get_close_matches(str(value).lower(), CLASSES, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(
            f"{where}: 'classes:' maps {name} to '{value}', which is no class of ours{hint} "
            f"(classes: {', '.join(CLASSES)}, or null)"
        )
    return CLASSES[value]
