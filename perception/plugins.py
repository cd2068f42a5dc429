"""Sinks by name, ours and other packages': ``--sink NAME[:TARGET]``.

A package offers one by an entry point in the group ``oneglance.sinks``: a function (or a class)
that takes the target, the text after the colon, and a ``SinkContext``, and returns a ``Sink``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from oneglance.models.tasks import ModelClass
from oneglance.perception.protocols import Sink
from oneglance.streams.entry_points import (
    ENGINES,
    GROUPS,
    SINKS,
    SOURCES,
    Offer,
    list_offers,
    list_unreadable,
    offer_of,
)
from oneglance.streams.errors import UsageError

KINDS = {SOURCES: "source", ENGINES: "engine", SINKS: "sink"}
"""What each group holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkContext:
    """What a sink may want to know before the first result.

    ``sources``: names safe to print, in their order. ``frame_rate``: frames a second that the
    only source declares; None where it declares none or there are several. ``model``, its
    ``engine``, ``precision`` and ``classes``: what finds the boxes.
    """

    sources: tuple[str, ...] = ()
    frame_rate: Fraction | None = None
    model: str = ""
    engine: str = ""
    precision: str = ""
    classes: tuple[ModelClass, ...] = ()


@dataclass(frozen=True, slots=True)
class SinkChoice:
    """``NAME[:TARGET]``, parsed."""

    name: str
    target: str

    @classmethod
    def parse(cls, text: str) -> SinkChoice:
        """What ``text`` names; everything after the first colon is the target.

        >>> SinkChoice.parse("rerun:grpc://host:9876")
        SinkChoice(name='rerun', target='grpc://host:9876')

        Raises:
            UsageError: it names nothing.
        """
        name, _, target = text.partition(":")
        if not name.strip():
            raise UsageError(f"a sink is NAME or NAME:TARGET, like jsonl:drive.jsonl, not '{text}'")
        return cls(name.strip(), target)

    def open(self, context: SinkContext) -> Sink:
        """The sink itself; imports it.

        Raises:
            UsageError: there is none of that name, it cannot be loaded or gives no ``Sink``, or its
            target is none.
            SinkError: the output cannot be written.
        """
        offer = offer_of(SINKS, self.name, what="sink")
        sink = offer.make(self.target, context)
        if not all(callable(getattr(sink, word, None)) for word in ("write", "close")):
            made = f"it gave a {type(sink).__name__}"
            why = f"{made}, which is no Sink: one has write(result) and close()"
            raise offer.error("cannot be used", why)
        found: Sink = sink
        return found


@dataclass(frozen=True, slots=True)
class Installed:
    """An offer, and why it cannot be used; "" where it can, as far as is known."""

    offer: Offer
    kind: str
    problem: str


def installed() -> tuple[Installed, ...]:
    """Everything that is offered. Other packages' are imported, to see whether they load; of ours
    only the packages that they need are looked for. A package of which nobody can tell what it
    offers is there too, without a kind and a name."""
    offered = [
        Installed(offer, KINDS[group], _problem(offer))
        for group in GROUPS
        for offer in list_offers(group)
    ]
    for each in list_unreadable():
        offer = Offer("", "", "", each.package, "")
        offered.append(Installed(offer, "", f"its entry points cannot be read: {each.why}"))
    return tuple(offered)


def _problem(offer: Offer) -> str:
    if missing := offer.missing():
        extras = ",".join(offer.extras)
        return f"needs {', '.join(missing)}: pip install '{offer.package}[{extras}]'"
    if offer.ours:
        return ""
    namesakes = [
        each for each in list_offers(offer.group) if each.name == offer.name and each != offer
    ]
    if any(each.ours for each in namesakes):
        return f"oneglance's own {offer.name} is used instead"
    if namesakes:
        others = " and ".join(each.package for each in namesakes)
        return f"{others} offers the same name: uninstall one"
    try:
        offer.load()
    except UsageError as error:
        return str(error)
    return ""
