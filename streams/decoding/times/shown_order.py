"""When frames are shown in a container that counts packets, by the order of showing.

A frame that others lean on is decoded before those that are shown before it, and behind these
follows the next such frame: then as many were decoded as are shown until there, each at a place
of its own. What cannot be read, or is missing, is shown where none else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oneglance.streams.decoding.times.display_order import Place

_MOST_HELD = 64

_Slots = list[int | None]
"""When each of those that are held is shown."""


@dataclass(frozen=True, slots=True)
class ShownAt:
    """A frame's ``number`` in the order of showing; None: nothing shows it. ``is_wrong``: its
    header, or that of another, has another one."""

    number: int | None = None
    is_wrong: bool = False


@dataclass(slots=True)
class _Coded:
    """``number``: in the order of decoding."""

    number: int
    place: Place | None

    @property
    def is_anchor(self) -> bool:
        """Whether it is shown behind all that were decoded before it."""
        return self.place is not None and not self.place.is_b


class ShownOrder:
    """Numbers in the order of showing, of frames that are given in that of decoding."""

    def __init__(self, is_key: Callable[[int], bool | None] = lambda _number: None) -> None:
        """``is_key``: whether the frame of that number is a key frame; None: it is not known."""
        self._is_key = is_key
        self._first = 0
        self._begin: int | None = 0
        """All before that number were shown before what follows; None: it is not known."""
        self._held: list[_Coded] = []
        self._origin: int | None = None  # when the one whose place is 0 is shown
        self._step = 2  # by which places are apart
        self._is_sure = self._is_in_order = False
        self._lost: list[int] = []  # since it is known when the last group began
        self._next = 0
        self.is_of_use = True
        """Whether the frames' places say when they are shown."""

    def begins_at(self, number: int) -> None:
        """The number of the first frame, which may be missing; 0 where that is not said."""
        self._first = self._begin = self._next = number

    def enters(self, number: int, place: Place | None) -> list[ShownAt]:
        """The next frame; when the first ones of those that entered are shown, in the same order,
        as far as it is known by now."""
        coded = _Coded(number, place)
        self._is_in_order |= place is not None and place.is_in_order
        self.is_of_use &= number > self._first or place is None or place.begins
        if self._is_in_order or not self.is_of_use:
            self._held.append(coded)
            return self._known([each.number if self._is_in_order else None for each in self._held])
        if place is not None and place.number % self._step and not self._is_sure:
            self._step = 1  # there are encoders that count frames, and others fields
        self._lost += range(self._next, number + (place is None))
        self._next = number + 1
        found = [] if place is None or place.is_b else self._begins_with(coded, place)
        self._held.append(coded)
        found += self._closes(number + 1)
        if len(self._held) > _MOST_HELD:
            self.is_of_use, self._begin = self._is_sure, None
            found += self._known([None] * len(self._held))
        return found

    def rest(self, end: int) -> list[ShownAt]:
        """Those of the last ones, of so many in all, or more of which none came."""
        last = max((shown_at for shown_at in self._slots() if shown_at is not None), default=0)
        for total in (end, last + 1):
            for since in self._beginnings(end):
                found = self._filled(self._slots(since), total)
                if found is not None:
                    return self._known(found)
        found_but_one = self._fit_but_one(end) if self._is_sure else None
        return found_but_one or self._known([None] * len(self._held))

    def _known(self, slots: _Slots, wrong: frozenset[int] = frozenset()) -> list[ShownAt]:
        """Of all that are held; the numbers of those that are wrong."""
        held, self._held = self._held, []
        return [
            ShownAt(shown_at, each.number in wrong)
            for each, shown_at in zip(held, slots, strict=True)
        ]

    def _begins_with(self, coded: _Coded, place: Place) -> list[ShownAt]:
        """That one is shown behind all that was decoded before it."""
        end, found, ways = coded.number, None, []
        for since in self._beginnings(end):
            origin = self._origin if since is None else since
            shown_at = end if place.begins else self._at(coded, origin)
            if shown_at is None or shown_at < end:
                continue
            slots: _Slots | None = [None] * len(self._held)
            if self._begin is not None:
                slots = self._filled(self._slots(since), end)
            if slots is not None:
                ways.append((slots, shown_at, origin))
        is_one = all(way[:2] == ways[0][:2] for way in ways)
        # What follows shows which it is.
        if ways and (is_one or place.begins or len(self._held) > _MOST_HELD // 2):
            slots, _, self._origin = ways[0]
            self._begin, found = end, self._known(slots)
            self._is_sure |= end > self._first + 1
        # Others behind it that fit show that one is wrong, and not all from there on.
        anchors = sum(each.is_anchor for each in self._held)
        if found is None and not ways and (anchors > 1 or (place.begins and self._is_sure)):
            found = self._fit_but_one(end)
            self._begin = self._begin if found is None else end
        if place.begins:
            found = self._known([None] * len(self._held)) if found is None else found
            self._begin, self._origin, self._lost = end, end - place.number // self._step, []
        return found or []

    def _beginnings(self, end: int) -> Iterator[int | None]:
        """Which of what is missing before that number may have begun a group; None: none of it."""
        lost = [number for number in self._lost if number < end]
        yield from (number for number in lost if self._is_key(number))
        yield None
        yield from (number for number in lost if self._is_key(number) is None)

    def _closes(self, end: int) -> list[ShownAt]:
        """Whether those that are held are all that is shown until there."""
        slots = self._slots()
        is_open = self._begin is None or end - self._begin != len(slots) or None in slots
        if is_open or not (self._is_sure or end == self._first + 1):
            return []
        found = self._filled(slots, end)
        if found is None:
            return []
        self._begin, self._lost = end, []
        return self._known(found)

    def _slots(self, since: int | None = None) -> _Slots:
        """As their headers say; ``since``: where a group began."""
        return [
            self._at(each, self._origin if since is None or each.number < since else since)
            for each in self._held
        ]

    def _filled(self, slots: _Slots, end: int) -> _Slots | None:
        """Those with one for each that has none, of all there are until that number; None: some do
        not go together."""
        if self._begin is None:
            return None
        known = {shown_at for shown_at in slots if shown_at is not None}
        free = sorted(set(range(self._begin, end)) - known)
        unknown = slots.count(None)
        if len(slots) - unknown + len(free) != end - self._begin or len(free) < unknown:
            return None
        anchors = (
            each.number
            for each, shown_at in zip(self._held, slots, strict=True)
            if each.is_anchor and shown_at is not None
        )
        if not all(self._is_between(slots, number) for number in anchors):
            return None
        others = iter(free)
        return [next(others) if shown_at is None else shown_at for shown_at in slots]

    def _is_between(self, slots: _Slots, number: int) -> bool:
        """Whether all that are decoded before that one are shown before it."""
        return all(
            shown_at is None or (shown_at < number) == (each.number < number)
            for each, shown_at in zip(self._held, slots, strict=True)
        )

    def _fit_but_one(self, end: int) -> list[ShownAt] | None:
        """Where one of those that are held says what is wrong."""
        slots, fitting = self._slots(), {}
        begin = end if self._begin is None else self._begin
        early = [at for at, slot in enumerate(slots) if slot is not None and slot < begin]
        if len(early) > 1 or len(slots) < 2:
            return None
        if not early and (None in slots or end - begin != len(slots)):
            return None  # what is missing leaves room for any
        for but in early or range(len(slots)):
            others = [None if at == but else shown_at for at, shown_at in enumerate(slots)]
            filled = self._filled(others, end)
            if filled is not None:
                fitting[self._held[but].number] = filled
        if not fitting:
            return None
        return self._known(next(iter(fitting.values())), frozenset(fitting))

    def _at(self, coded: _Coded, origin: int | None) -> int | None:
        place = coded.place
        if place is None or origin is None or place.number % self._step:
            return None
        shown_at, round_ = origin + place.number // self._step, place.most // self._step
        return shown_at + round((coded.number - shown_at) / round_) * round_
