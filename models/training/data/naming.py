"""Names that are almost ours, and names of regions.

A class whose name we do not understand is background, so its objects are taught as negative. A
name that looks like one of ours and is none (``cars``, ``Pedestrians``, ``traffic signal``) is
therefore worth a question, and never silently anything.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from oneglance.models.tasks import CLASS_NAMES, CLASSES, Task

_SYNONYMS = {
    "pedestrian": "human man woman child kid boy girl adult walker passerby individual",
    "car": "automobile auto suv taxi cab sedan pickup minivan minibus coach jeep ambulance "
    "motorcar caravan",
    "sign": "signboard signpost roadboard",
    "light": "trafficsignal trafficlamp trafficlite stoplight semaphore signal",
}
"""Words that may well mean one of ours: asked about, not taken for it."""

_COLOURS = frozenset({"red", "yellow", "green"})
_ARROWS = frozenset({"left", "right", "straight", "forward", "arrow", "up", "circle", "ball"})
_LAST = frozenset({"signal", "auto", "individual"})
"""Mean one of ours as the last word of a name only: ``traffic signal``, not ``signal pole``."""

_ALL_TASKS = frozenset(Task)
_REGIONS = frozenset(
    {"dontcare", "donotcare", "void", "crowd", "iscrowd", "group"}
    | {"ignore", "ignoreregion", "ignorearea", "ignored", "ignoredregion", "ignoredarea"}
)
_MARKS = ("ignore", "ignored", "dontcare", "crowd", "iscrowd", "group")
"""With the name of one of our classes: a region in which that task is unknown."""

_CLOSE = 0.83
"""difflib's ratio from which two words are one with a slip: a wrong letter in six."""


def region_of(name: str) -> frozenset[Task] | None:
    """The tasks unknown in a region of this name: DontCare, ``persongroup``, crowd, ignore.

    >>> region_of("person group"), region_of("car"), len(region_of("DontCare") or ())
    (frozenset({<Task.PEDESTRIAN: 'pedestrian'>}), None, 4)
    """
    whole = "".join(_words(name))
    if whole in _REGIONS:
        return _ALL_TASKS
    for mark in _MARKS:
        for rest in (whole.removesuffix(mark), whole.removeprefix(mark).removeprefix("of")):
            if rest != whole and _squashed(rest) in _KNOWN:
                return frozenset({CLASSES[_KNOWN[_squashed(rest)]].task})
    return None


def near_class(name: str) -> str | None:
    """The class of ours that a name almost says: by case, plural, spelling, or a word more.

    >>> near_class("Pedestrians"), near_class("traffic lights"), near_class("dog")
    ('pedestrian', 'light', None)
    """
    words = _words(name)
    whole = "".join(words)
    if whole in _KNOWN:
        return _KNOWN[whole]
    colours = [word for word in words if word in _COLOURS]
    if len(colours) == 1 and set(words) <= _COLOURS | _ARROWS:
        return f"light_{colours[0]}"
    for run, last in _runs(words):
        if run in _KNOWN and run not in _COLOURS and (last or run not in _LAST):
            return _KNOWN[run]
    swapped = (word for word in _KNOWN if len(word) > 3 and sorted(word) == sorted(whole))
    close = difflib.get_close_matches(whole, [w for w in _KNOWN if len(w) > 4], 1, _CLOSE)
    slip = next((word for word in swapped if word[0] == whole[0]), *close[:1] or (None,))
    return None if slip is None else _KNOWN[slip]


def _runs(words: list[str]) -> Iterator[tuple[str, bool]]:
    """Neighbouring words as one, the longest first and of equals the last; whether it ends."""
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length, -1, -1):
            yield "".join(words[start : start + length]), start + length == len(words)


def _words(name: str) -> list[str]:
    """Its words in lower case and singular, digits and signs left out: ``TYPE_Cars2`` → type, car.

    A name in which every letter is a capital is one in lower case.
    """
    text = name.replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    split = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", text)
    return [_singular(word) for word in re.findall(r"[^\W\d_]+", split.lower())]


def _singular(word: str) -> str:
    if word.endswith("men"):
        return word[:-3] + "man"
    if word == "children":
        return "child"
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def _squashed(name: str) -> str:
    return "".join(_words(name))


_KNOWN: dict[str, str] = {
    **{word: ours for ours, words in _SYNONYMS.items() for word in words.split()},
    **{_squashed(name): ours for name, ours in CLASS_NAMES.items()},
}
"""Our class by a name's words as one."""
