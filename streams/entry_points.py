"""What installed packages offer under a name: sources, engines and sinks, ours and others'.

A package offers by an entry point, as in its ``pyproject.toml``::

    [project.entry-points."oneglance.sources"]
    lidar = "my_package.streams:open_lidar"

Only the one that is asked for is imported. Ours win over another package's of the same name; two
other packages that offer one name are an error, for nobody could know which would run.

What other packages say and do is not trusted: broken metadata, an import or a call that fails or
ends the program are errors that name the package, and hurt nobody else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from types import TracebackType
from typing import Any

from oneglance.streams.errors import OneglanceError, UsageError
from oneglance.streams.redaction import redact

SOURCES, ENGINES, SINKS = "oneglance.sources", "oneglance.engines", "oneglance.sinks"
GROUPS = (SOURCES, ENGINES, SINKS)

OURS = "oneglance"
"""The distribution whose offers win."""

UNNAMED = "a package without a name"

_VALUE = re.compile(r"[\w.]+\s*(:\s*[\w.]+)?")
_MOST_SIGNS = 300
_NO_PLUGINS = frozenset({OURS, "click", "typer"})
_CHECKING = frozenset({"oneglance.streams.frame"})
"""Modules of ours whose errors are of what they were given."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a package offers: ``name`` in ``group``, made by what lies at ``value``.

    ``package`` and ``version``: the distribution it comes from. ``extras``: those of the
    distribution that it needs.
    """

    group: str
    name: str
    value: str
    package: str
    version: str
    extras: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether it comes with oneglance."""
        return self.package == OURS

    def missing(self) -> tuple[str, ...]:
        """The packages of its extras that are not installed; nothing is imported."""
        return tuple(
            name
            for extra in self.extras
            for name in _requirements(self.package, extra)
            if not _is_installed(name)
        )

    def load(self) -> Any:
        """What lies at ``value``, which can be called; imports it.

        Raises:
            UsageError: a package of its extra is missing, or importing it fails.
        """
        if missing := self.missing():
            extra = ",".join(self.extras)
            raise UsageError(
                f"{self.name} needs {', '.join(missing)}: pip install '{self.package}[{extra}]'"
            )
        if not _VALUE.fullmatch(self.value):
            why = f"its entry point '{self.value}' is no MODULE:NAME"
            raise self.error("cannot be loaded", why)
        try:
            found = metadata.EntryPoint(self.name, self.value, self.group).load()
        except (Exception, SystemExit) as error:  # whatever a stranger's module does at import
            raise self.error("cannot be loaded", _said(error)) from error
        if not callable(found):
            raise self.error("cannot be loaded", f"{self.value} cannot be called")
        return found

    def make(self, *words: Any, **options: Any) -> Any:
        """What it makes of ``words``.

        Raises:
            UsageError: as from ``load``, or another package's raises what is no error of ours.
            OneglanceError, OSError: whatever it raises on purpose.
        """
        factory = self.load()
        if self.ours:
            return factory(*words, **options)
        try:
            return factory(*words, **options)
        except (OneglanceError, OSError):
            raise
        except (Exception, SystemExit) as error:
            raise self.error("cannot be used", _said(error)) from error

    def error(self, what: str, why: str) -> UsageError:
        """The error that says of it ``what`` went wrong and ``why``."""
        origin = f"{self.package} {self.version}".strip()
        return UsageError(f"the plugin {self.name} of {origin} {what}: {why}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An installed package of which nobody can tell what it offers, and ``why``."""

    package: str
    why: str


def list_offers(group: str) -> tuple[Offer, ...]:
    """Every offer in ``group``, by name, then ours first; imports none."""
    return _offers(_points(group))


def list_unreadable() -> tuple[Unreadable, ...]:
    """The installed packages whose entry points cannot be read."""
    try:
        metadata.entry_points()
    except Exception:  # noqa: BLE001 - of one of them; which, is found one by one
        found = (_unreadable(distribution) for distribution in metadata.distributions())
        return tuple(dict.fromkeys(each for each in found if each is not None))
    return ()


def find_offer(group: str, name: str) -> Offer | None:
    """The offer of that name; None when there is none.

    Raises:
        UsageError: two packages offer it, and neither is ours.
    """
    # By name first: whose an offer is stands in a text that takes long to read.
    found = _offers(_points(group, name))
    if not found:
        return None
    if len(found) > 1 and not found[0].ours:
        packages = " and ".join(f"{offer.package} {offer.version}" for offer in found)
        raise UsageError(f"{packages} both offer '{name}' ({group}): uninstall one of them")
    return found[0]


def offer_of(group: str, name: str, *, what: str) -> Offer:
    """The offer of that name; ``what`` it is, for the error: sink, source, engine.

    Raises:
        UsageError: there is none, or two packages offer it.
    """
    offer = find_offer(group, name)
    if offer is None:
        damaged = ", ".join(each.package for each in list_unreadable())
        hint = f"; what {damaged} may offer cannot be read: see 'oneglance plugins'"
        known = (each.name for each in list_offers(group))
        raise UsageError(unknown(what, name, known) + (hint if damaged else ""))
    return offer


def load_offer(group: str, name: str, *, what: str) -> Any:
    """What makes it, of the offer of that name.

    Raises:
        UsageError: as from ``offer_of``; an extra is missing, or it cannot be imported.
    """
    return offer_of(group, name, what=what).load()


def blamed_for(error: BaseException) -> str | None:
    """What to tell who used a plugin whose code raised ``error``, or called what did; None where
    our own code is nearer to it, or no other package's is anywhere near."""
    modules = [str(place.tb_frame.f_globals.get("__name__", "")) for place in _places(error)]
    tops = [name.partition(".")[0] for name in modules if name not in _CHECKING]
    if not tops or tops[-1] in _NO_PLUGINS:  # the usual case, and without a look at what is there
        return None
    offers = {
        offer.value.partition(":")[0].partition(".")[0]: offer
        for group in GROUPS
        for offer in list_offers(group)
        if not offer.ours
    }
    nearest = next((top for top in reversed(tops) if top == OURS or top in offers), OURS)
    offer = offers.get(nearest)
    return None if offer is None else str(offer.error("failed", _said(error)))


def _places(error: BaseException) -> Iterator[TracebackType]:
    place = error.__traceback__
    while place is not None:
        yield place
        place = place.tb_next


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """The sentence that there is no such thing, with near names and all there are.

    >>> unknown("sink", "jsonn", ["jsonl", "video"])
    "unknown sink 'jsonn'; did you mean 'jsonl'? (sinks: jsonl, video)"
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {what} '{word}'{hint} ({what}s: {', '.join(names)})"


def _points(group: str, name: str | None = None) -> list[metadata.EntryPoint]:
    try:
        found = list(metadata.entry_points(group=group))
    except Exception:  # noqa: BLE001 - one package's are unreadable: those of all the others
        found = [point for point in _points_one_by_one() if point.group == group]
    return [point for point in found if name in {None, point.name}]


def _points_one_by_one() -> Iterator[metadata.EntryPoint]:
    seen: set[str] = set()
    for distribution in metadata.distributions():
        with _unless_unreadable():
            name = re.sub(r"[-_.]+", "-", distribution.name or "").lower()
            if name in seen and name:  # another of that name, on a path before, is what is used
                continue
            seen.add(name)
            yield from distribution.entry_points


@contextmanager
def _unless_unreadable() -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - not UTF-8, no entry point, no name: see list_unreadable
        return


def _unreadable(distribution: metadata.Distribution) -> Unreadable | None:
    try:
        list(distribution.entry_points)
    except Exception as error:  # noqa: BLE001 - whatever a damaged text makes importlib raise
        return Unreadable(" ".join(_origin(distribution)).strip(), _said(error))
    return None


def _offers(points: Iterable[metadata.EntryPoint]) -> tuple[Offer, ...]:
    found = {_offer(point) for point in points}
    return tuple(sorted(found, key=lambda offer: (offer.name, not offer.ours, offer.package)))


def _offer(point: metadata.EntryPoint) -> Offer:
    package, version = _origin(point.dist)
    value, _, rest = point.value.partition("[")
    extras = re.findall(r"[\w.-]+", rest.partition("]")[0])
    return Offer(point.group, point.name, value.strip(), package, version, tuple(extras))


def _origin(distribution: metadata.Distribution | None) -> tuple[str, str]:
    """A distribution's name and version, as far as its metadata can be read."""
    if distribution is None:
        return "", ""
    try:
        return distribution.name or UNNAMED, distribution.version or ""
    except Exception:  # noqa: BLE001 - metadata that is missing, or not UTF-8
        return UNNAMED, ""


def _said(error: BaseException) -> str:
    """What a stranger's error says, in one line that is safe to print."""
    if isinstance(error, SystemExit):
        return "it asks the program to end"
    text = redact(" ".join(str(error).split()))[:_MOST_SIGNS]
    return f"{type(error).__name__}: " + "".join(sign for sign in text if sign.isprintable())


@cache
def _requirements(package: str, extra: str) -> tuple[str, ...]:
    """The distributions that an extra asks for, those of extras in it included."""
    return tuple(dict.fromkeys(_asked_for(package, extra, set())))


def _asked_for(package: str, extra: str, seen: set[str]) -> Iterator[str]:
    if extra in seen:  # extras that ask for one another
        return
    seen.add(extra)
    for requirement in _requires(package):
        head, _, marker = requirement.partition(";")
        if not re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", marker):
            continue
        found = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?", head)
        if found is None:
            continue
        if found[1] == package and found[2]:
            for inner in found[2].split(","):
                yield from _asked_for(package, inner.strip(), seen)
        else:
            yield found[1]


def _requires(package: str) -> list[str]:
    try:
        return metadata.requires(package) or []
    except Exception:  # noqa: BLE001 - metadata that cannot be read asks for nothing
        return []


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    except Exception:  # noqa: BLE001 - its metadata is damaged, it is there all the same
        return True
    return True
