"""Names that are almost ours, and names of regions.

A class whose name we do not understand is background, so its objects are taught as negative. A
name that looks like one of ours and is none (``cars``, ``Pedestrians``, ``traffic signal``) is
therefore worth a question, and never silently anything.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator

from oneglance.models.tasks import CLASS_NAMES, CLASSES, Task

_SYNONYMS = {
    "pedestrian": "human man woman child kid boy girl adult baby toddler walker "
    "passerby individual",
    "car": "automobile auto suv taxi taxis cab sedan hatchback limousine pickup minivan minibus "
    "coach jeep ambulance firetruck motorcar caravan veh hgv lgv lcv hcv",
    "sign": "signboard signpost roadboard speedlimit giveway noentry yield regulatory",
    "light": "trafficsignal trafficlamp trafficlite stoplight semaphore signal tfl tl",
    "sign_prohibitory": "prohibitory",
    "sign_mandatory": "mandatory",
    "sign_danger": "danger",
}
_FOREIGN = {
    "pedestrian": "ped peds fussganger passant pieton personne peaton persona pedone pedestre "
    "pessoa voetganger fotgangare pieszy пешеход человек 行人 歩行者 人 보행자 사람",
    "car": "fahrzeug kraftfahrzeug personenwagen lastwagen pkw lkw kfz voiture vehicule camion "
    "coche vehiculo carro veiculo caminhao veicolo autovettura voertuig vrachtwagen bil lastbil "
    "samochod pojazd ciezarowka автомобиль машина грузовик автобус 汽车 轿车 车辆 车 卡车 公交车 "
    "車 車両 自動車 자동차 차량 차",
    "sign": "verkehrszeichen verkehrsschild strassenschild schild schilder panneau signalisation "
    "senal senaldetrafico cartello segnale placa verkeersbord vagmarke znak знак дорожныйзнак "
    "交通标志 标志 標識 道路標識 交通標誌 표지판 교통표지판",
    "light": "ampel lichtsignal verkehrsampel feu feutricolore semaforo verkeerslicht stoplicht "
    "trafikljus sygnalizator светофор 红绿灯 交通灯 交通信号灯 信号灯 信号 信号機 紅綠燈 신호등",
}
"""Words that may well mean one of ours: asked about, not taken for it. Without accents."""

_COLOURS = frozenset({"red", "yellow", "green"})
_ARROWS = frozenset({"left", "right", "straight", "forward", "arrow", "up", "circle", "ball"})
_LAST = frozenset({"signal", "auto", "individual", "danger", "mandatory"})
"""Mean one of ours as the last word of a name only: ``traffic signal``, not ``signal pole``."""

_ALL_TASKS = frozenset(Task)
_REGIONS = frozenset(
    {"dontcare", "donotcare", "void", "crowd", "iscrowd", "group"}
    | {"ignore", "ignoreregion", "ignorearea", "ignored", "ignoredregion", "ignoredarea"}
    | {"difficult", "truncated", "occluded", "unknown", "unsure", "uncertain", "doubtful"}
    | {"unlabeled", "unlabelled", "masked", "outofroi", "rectificationborder"}
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
    others = set(words) - _COLOURS - _ARROWS
    if len(colours) == 1 and all(_KNOWN.get(word) == "light" for word in others):
        return f"light_{colours[0]}"
    for run, last in _runs(words):
        if run in _KNOWN and run not in _COLOURS and (last or run not in _LAST):
            return _KNOWN[run]
    ours = [word for word in _KNOWN if word not in _ABROAD]
    swapped = (word for word in ours if len(word) > 3 and sorted(word) == sorted(whole))
    close = difflib.get_close_matches(whole, [word for word in ours if len(word) > 4], 1, _CLOSE)
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
    text = _without_accents(name).replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    split = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", text)
    return [_singular(word) for word in re.findall(r"[^\W\d_]+", split.lower())]


def _without_accents(name: str) -> str:
    """In the plain and narrow forms of its letters; marks that cannot be seen left out."""
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("ł", "l"))
    kept = (c for c in letters if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", "".join(kept))


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


_ABROAD = {word: ours for ours, words in _FOREIGN.items() for word in words.split()}
_KNOWN: dict[str, str] = {
    **_ABROAD,
    **{word: ours for ours, words in _SYNONYMS.items() for word in words.split()},
    **{f"{colour}light": f"light_{colour}" for colour in _COLOURS},
    **{_squashed(name): ours for name, ours in CLASS_NAMES.items()},
}
"""Our class by a name's words as one."""
