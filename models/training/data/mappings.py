"""What the class names of well-known data sets mean in our classes.

Chosen by ``classes: NAME`` in a data set file. A name mapped to None is background *in that data
set's habit*: the task it might seem to serve must then not be claimed as labelled, or training
would take such objects for negatives (``datasets`` enforces it). A name mapped to ``ignore`` is an
ignore region.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from oneglance.models.tasks import CLASSES, ModelClass, Task, class_of, normalised
from oneglance.models.training.data.naming import near_class, region_of
from oneglance.models.training.pretrained import COCO_CLASSES
from oneglance.streams.errors import DataError

BACKGROUND = "background"
"""In ``classes:``, what is none of ours and is to be taught as such; null says the same."""

REGIONS: Mapping[str, frozenset[Task]] = {
    "ignore": frozenset(Task),
    **{f"ignore_{task}": frozenset({task}) for task in Task},
}
"""In ``classes:``, regions, and the tasks ignored there."""

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
        # The signs that it labels are not all there are: the others are masked, not negative.
        name: task.value if known.is_all else None
        for task, known in COCO_CLASSES.items()
        for name in known.names
    },
    "kitti": {
        **dict.fromkeys(("pedestrian", "person sitting", "person"), "pedestrian"),
        **dict.fromkeys(("car", "van", "truck"), "car"),
        # A cyclist's box holds the bicycle too.
        **dict.fromkeys(("cyclist", "tram", "misc"), None),
        "dontcare": "ignore",
    },
    "cityscapes": {
        **dict.fromkeys(("person", "rider", "pedestrian"), "pedestrian"),
        **dict.fromkeys(("car", "truck", "bus", "caravan"), "car"),
        "traffic sign": "sign",
        "traffic light": "light",
        **dict.fromkeys(("motorcycle", "bicycle", "train", "trailer"), None),
        **dict.fromkeys(("bicyclegroup", "motorcyclegroup", "license plate"), None),
        **dict.fromkeys(("caravangroup", "truckgroup", "busgroup"), "ignore_car"),
        **dict.fromkeys(("ego vehicle", "out of roi", "rectification border"), "ignore"),
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
        **{name: f"sign_{name}" for name in ("prohibitory", "mandatory", "danger", "other")},
    },
    "lights": _colours(),
}
"""Ours, a name of ``REGIONS`` or None, by a data set's name as ``normalised`` writes it."""

_NOTHING = frozenset({"", "~", "null", "Null", "NULL", BACKGROUND})


@dataclass(slots=True)
class Meaning:
    """What the classes of a data set are, by number.

    ``classes``: our class, or None for background and for regions. ``regions``: the tasks unknown
    in boxes of that class. ``unmapped``: nobody says what these are, so they are background.
    """

    classes: dict[int, ModelClass | None] = field(default_factory=dict)
    regions: dict[int, frozenset[Task]] = field(default_factory=dict)
    unmapped: set[int] = field(default_factory=set)


def meaning(names: Mapping[int, str], classes: object, where: str) -> Meaning:
    """What each of ``names`` (class id → name) means, by a ``classes:`` entry.

    ``classes``: None, the name of a ready-made mapping, or a map from names to our class names,
    ``background`` (or null) or one of ``REGIONS``. Names it does not hold mean what they say
    (``class_of``, ``region_of``). GTSDB's names may end in their category: ``give way (other)``.
    ``where`` it stands, as ``file:line``.

    Raises:
        DataError: an unknown mapping, a class that is none of ours, a name the set lacks, or a
            name that is almost ours and mapped to nothing: it would be taught as negative.
    """
    if classes is None:
        chosen: Mapping[str, object] = {}
    elif isinstance(classes, str):
        chosen = _ready_made(names, classes, where)
    elif isinstance(classes, dict):
        chosen = _chosen(names, classes, where)
    else:
        raise DataError(
            f"{where}: 'classes:' must be a map of its names to ours, or one of "
            f"{', '.join(MAPPINGS)}"
        )
    found = Meaning()
    near: dict[str, str] = {}
    for number, name in names.items():
        if name in chosen:
            ours = _ours(chosen[name], name, where)
        else:
            cls, region = class_of(name), region_of(name)
            ours = region if cls is None and region is not None else cls
            if ours is None:
                found.unmapped.add(number)
                if (almost := near_class(name)) is not None:
                    near[name] = almost
        found.classes[number] = ours if isinstance(ours, ModelClass) else None
        if isinstance(ours, frozenset):
            found.regions[number] = ours
    if near:
        raise DataError(f"{where}: {_question(near, classes)}")
    return found


def _question(near: Mapping[str, str], classes: object) -> str:
    names = ", ".join(f"'{name}'" for name in near)
    one = len(near) == 1
    pairs = ", ".join(f"{_scalar(name)}: {ours}" for name, ours in near.items())
    if isinstance(classes, str):
        how = f"rename {'it' if one else 'them'} in 'names:' (as {{{pairs}}} says)"
    else:
        how = f"say what {'it means' if one else 'they mean'}, with 'classes: {{{pairs}}}'"
    return (
        f"{names} {'is' if one else 'are'} almost, but not quite, {'a name' if one else 'names'} "
        f"of ours, and would be taken for background: {how}; 'background' is for what is none of "
        "our classes, 'ignore' for ignore regions"
    )


def _scalar(name: str) -> str:
    """A name as a key of a YAML map in braces."""
    plain = re.fullmatch(r"\w[\w .()/-]*", name)
    return name if plain else json.dumps(name, ensure_ascii=False)


def _chosen(
    names: Mapping[int, str], classes: Mapping[object, object], where: str
) -> dict[str, object]:
    """What ``classes`` says of each of ``names`` that it speaks of."""
    said = {normalised(str(name)): ours for name, ours in classes.items()}
    known = {normalised(name) for name in names.values()}
    strange = sorted(str(name) for name in classes if normalised(str(name)) not in known)
    if strange:
        raise DataError(
            f"{where}: 'classes:' maps {', '.join(strange)}, but 'names:' has no such class"
        )
    return {name: said[word] for name in names.values() if (word := normalised(name)) in said}


def _ready_made(names: Mapping[int, str], mapping: str, where: str) -> dict[str, object]:
    """What a ready-made mapping says of each of ``names`` that it speaks of."""
    if mapping not in MAPPINGS:
        near = difflib.get_close_matches(mapping.lower(), MAPPINGS, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(
            f"{where}: no mapping named '{mapping}'{hint} (mappings: {', '.join(MAPPINGS)})"
        )
    table = MAPPINGS[mapping]
    said: dict[str, object] = {}
    for name in names.values():
        word = normalised(name)
        if mapping == "gtsdb":
            if word.endswith(")") and "(" in word:
                word = word[word.rindex("(") + 1 : -1]
            elif re.fullmatch(r"0*\d{1,2}", word, re.ASCII):
                word = str(int(word))  # folders and tables of GTSRB write 00010
        if word in table:
            said[name] = table[word]
    return said


def _ours(value: object, name: str, where: str) -> ModelClass | frozenset[Task] | None:
    if value is None or (isinstance(value, str) and value in _NOTHING):
        return None
    if isinstance(value, str) and value in REGIONS:
        return REGIONS[value]
    if not isinstance(value, str) or value not in CLASSES:
        near = difflib.get_close_matches(str(value).lower(), [*CLASSES, *REGIONS], n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(
            f"{where}: 'classes:' maps {name} to '{value}', which is no class of ours{hint} "
            f"(classes: {', '.join(CLASSES)}, {BACKGROUND}, or ignore)"
        )
    return CLASSES[value]
