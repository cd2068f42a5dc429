"""What installed packages offer under a name: sources, engines and sinks, ours and others'.

A package offers by an entry point, as in its ``pyproject.toml``::

    [project.entry-points."oneglance.sources"]
    lidar = "my_package.streams:open_lidar"

Only the one that is asked for is imported. Ours win over another package's of the same name; two
other packages that offer one name are an error, for nobody could know which would run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from oneglance.streams.errors import UsageError

SOURCES, ENGINES, SINKS = "oneglance.sources", "oneglance.engines", "oneglance.sinks"
GROUPS = (SOURCES, ENGINES, SINKS)

OURS = "oneglance"
"""The distribution whose offers win."""


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
        """What lies at ``value``; imports it.

        Raises:
            UsageError: a package of its extra is missing, or importing it fails.
        """
        if missing := self.missing():
            extra = ",".join(self.extras)
            raise UsageError(
                f"{self.name} needs {', '.join(missing)}: pip install '{self.package}[{extra}]'"
            )
        point = metadata.EntryPoint(self.name, self.value, self.group)
        try:
            return point.load()
        except Exception as error:  # whatever a stranger's module raises while it is imported
            raise UsageError(
                f"the plugin {self.name} of {self.package} {self.version} cannot be loaded: "
                f"{type(error).__name__}: {error}"
            ) from error


def list_offers(group: str) -> tuple[Offer, ...]:
    """Every offer in ``group``, by name, then ours first; imports none."""
    return _offers(metadata.entry_points(group=group))


def find_offer(group: str, name: str) -> Offer | None:
    """The offer of that name; None when there is none.

    Raises:
        UsageError: two packages offer it, and neither is ours.
    """
    # By name at once: whose an offer is stands in a text that takes long to read.
    found = _offers(metadata.entry_points(group=group, name=name))
    if not found:
        return None
    if len(found) > 1 and not found[0].ours:
        packages = " and ".join(f"{offer.package} {offer.version}" for offer in found)
        raise UsageError(f"{packages} both offer '{name}' ({group}): uninstall one of them")
    return found[0]


def load_offer(group: str, name: str, *, what: str) -> Any:
    """What the offer of that name makes; ``what`` it is, for the error: sink, source, engine.

    Raises:
        UsageError: there is none, two packages offer it, an extra is missing, or it cannot be
            imported.
    """
    offer = find_offer(group, name)
    if offer is None:
        raise UsageError(unknown(what, name, (each.name for each in list_offers(group))))
    return offer.load()


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """The sentence that there is no such thing, with near names and all there are.

    >>> unknown("sink", "jsonn", ["jsonl", "video"])
    "unknown sink 'jsonn'; did you mean 'jsonl'? (sinks: jsonl, video)"
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {what} '{word}'{hint} ({what}s: {', '.join(names)})"


def _offers(points: Iterable[metadata.EntryPoint]) -> tuple[Offer, ...]:
    found = {_offer(point) for point in points}
    return tuple(sorted(found, key=lambda offer: (offer.name, not offer.ours, offer.package)))


def _offer(point: metadata.EntryPoint) -> Offer:
    package = "" if point.dist is None else point.dist.name
    version = "" if point.dist is None else point.dist.version
    value, _, _ = point.value.partition("[")
    return Offer(
        point.group, point.name, value.strip(), package, version, tuple(map(str, point.extras))
    )


@cache
def _requirements(package: str, extra: str) -> tuple[str, ...]:
    """The distributions that an extra asks for, those of extras in it included."""
    names: list[str] = []
    for requirement in metadata.requires(package) or ():
        head, _, marker = requirement.partition(";")
        if not re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", marker):
            continue
        found = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?", head)
        if found is None:
            continue
        if found[1] == package and found[2]:
            for inner in found[2].split(","):
                names += _requirements(package, inner.strip())
        else:
            names.append(found[1])
    return tuple(names)


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
