"""Which frames are intact: damage propagates from reference to reference until a refresh.

Pure: packets are given in decoding order, frames in the order in which they come out of the
decoder; nothing here decodes. Frames that the decoder drops without an error are noticed when
a later one comes out before them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from oneglance.streams.decoding.accounting import Entry, Verdict
from oneglance.streams.decoding.bitstream import CodedFrame, Refresh

T = TypeVar("T")

_DEEPEST_REORDER = 17
"""Most packets from a frame to its presentation (H.264 and H.265): 16 B-frames in a row, and it."""

_PATIENCE = 4
"""Packets more than others took that one is waited for, before it is given up by its time."""

_LONG_STEP = 1.5
"""Periods between two frames from which on one is missing, where something is known to be lost."""

_STEPS = 15
"""Steps between frames from which the period of a source is found that declares none."""

_LONGEST_LOSS, _LONGEST_LOSS_AT_REFRESH = 300, 30
"""Periods up to which a gap is a loss and no pause or splice (which begins with a refresh)."""

_LONGEST_OUTAGE = 10_000_000
"""Periods up to which it is one where a splice is out of the question; the clocks of transport
streams and of RTP come round before."""


class References:
    """What the next frame can depend on. Given every frame in decoding order.

    ``intact``: whether frames before the first refresh count as intact (the decoder
    withholds those that are not).
    """

    def __init__(self, *, intact: bool = True) -> None:
        self.refreshed = False
        self._intact = intact
        self._any = False
        self._wait: int | None = None  # frames until a gradual refresh is done
        self._open: _OpenRefresh | None = None

    def damaged(self, coded: CodedFrame, pts: int | None, *, broken: bool) -> bool:
        """Whether the frame is damaged, itself (``broken``) or by what it depends on."""
        if coded.refresh is Refresh.FULL:
            self._intact, self._wait, self._open = True, None, None
        elif coded.refresh is Refresh.OPEN:
            leaders_intact = self._intact and not coded.lost_before
            self._open = _OpenRefresh(pts, leaders_intact, follows_nothing=not self._any)
            self._intact, self._wait = True, None
        else:
            self._pass_on(coded)
        self.refreshed |= coded.refresh is not Refresh.NONE
        self._any = True
        led = self._open if self.leads(coded, pts) else None
        if self._open is not None and coded.refresh is Refresh.NONE:
            self._open.is_followed |= coded.is_reference
        if broken and coded.is_reference:
            if led is not None:  # others that lead may depend on it, and no other
                led.leaders_intact = False
            else:
                self._intact, self._wait = False, None
                if self._open is not None:  # what leads a frame depends on it too
                    self._open.leaders_intact = False
        return broken or not (self._intact if led is None else led.leaders_intact)

    def leads(self, coded: CodedFrame, pts: int | None) -> bool:
        """Whether the frame may depend on those before the last refresh, though it follows it."""
        if self._open is None or coded.refresh is not Refresh.NONE:
            return False
        if coded.leads is not None:
            return coded.leads
        at = self._open.pts
        if pts is None or at is None:  # B-frames that come at once are shown before it
            return not coded.is_reference and not self._open.is_followed
        return pts < at

    def leads_from_nothing(self, coded: CodedFrame, pts: int | None) -> bool:
        """Whether it depends on frames before the very first: a stream that begins there."""
        return self.leads(coded, pts) and self._open is not None and self._open.follows_nothing

    def _pass_on(self, coded: CodedFrame) -> None:
        if coded.lost_before:
            self._intact, self._wait = False, None
            if self._open is not None:
                self._open.leaders_intact = False
        if self._intact:
            return
        if self._wait is None:
            if coded.refresh is Refresh.GRADUAL:
                self._wait = coded.recovery
        elif coded.is_reference:
            self._wait -= 1
        if self._wait is not None and self._wait <= 0:
            self._intact, self._wait, self._open = True, None, None


@dataclass(slots=True)
class _OpenRefresh:
    """``leaders_intact``: whether what leads it, and depends on what was before, can be intact.
    ``is_followed``: a reference came after it."""

    pts: int | None
    leaders_intact: bool
    follows_nothing: bool
    is_followed: bool = False


@dataclass(slots=True)
class _Gap:
    """``lost``: frames that were counted between two times before the packet of that number."""

    begin: int
    end: int
    number: int
    lost: int


class FrameLedger(Generic[T]):
    """What goes into the decoder against what comes out; gives frames out with a verdict.

    A frame is held until all that was decoded before it has come, as the decoder reports damage
    with the frame itself, which others that are shown before may depend on.
    """

    def __init__(
        self, references: References, *, period: float | None = None, joins: bool = False
    ) -> None:
        """``period``: a frame's length in units of ``pts``, None where unknown. ``joins``: the
        source had begun before us, so what cannot be decoded at first is none of ours.
        """
        self._references = references
        self._period = period
        self._steps: deque[int] = deque(maxlen=_STEPS)  # where no period is declared
        self._joins = joins
        self._fed = self._epoch = self._depth = 0
        self._in_order = True  # times are presentation times
        self._came: Entry | None = None
        self._owed = 0  # frames that were lost entirely, and not counted yet
        self._ending = 0  # likewise, at the end
        self._early_end: int | None = None  # the number of the first packet that is missing there
        self._last_loss = -_DEEPEST_REORDER - 1  # the last number near which something was lost
        self._waiting: deque[Entry] = deque()
        self._held: deque[tuple[Entry, T]] = deque()
        self._missing: list[Entry] = []
        self._recent: deque[Entry] = deque(maxlen=2 * _DEEPEST_REORDER)
        self._last: Entry | None = None
        self._shown: deque[int] = deque(maxlen=_DEEPEST_REORDER)  # times of the last frames
        self._lacks_start = False
        self.lost_first = 0
        """Frames that are known to be missing before the first that is shown."""
        self._gaps: deque[_Gap] = deque(maxlen=4)
        self._untimed = 0  # frames without a time since then

    def enters(self, coded: CodedFrame, pts: int | None, *, near_loss: bool = False) -> Entry:
        """A packet is about to be decoded."""
        self._epoch += coded.refresh is Refresh.FULL and not (near_loss and pts is None)
        if self._fed == 0 and self.lost_first:
            coded = replace(coded, lost_before=max(1, coded.lost_before))
        entry = Entry(self._fed, self._epoch, pts, coded, near_loss or coded.lost_before > 0)
        entry.settled = not coded.shows
        self._note_loss(entry)
        self._fed += 1
        self._waiting.append(entry)
        self._recent.append(entry)
        return entry

    def find(self, pts: int | None) -> Entry | None:
        """The packet that a frame of that time must have come from, if it is still expected."""
        expected = [entry for entry in self._waiting if not entry.settled]
        known = [entry for entry in expected if entry.pts == pts]
        return next(iter(known or expected), None)

    def misses(self, count: int) -> None:
        """So many packets are missing before the next one."""
        self._owed += count
        self._lacks_start |= count > 0 and self._fed == 0

    def forget_time(self) -> None:
        """The next frame has no time, and what is lost before it is said with it."""
        self._last, self._untimed = None, 0

    def ends_before(self, pts: int | None, missing: int | None = None) -> None:
        """Something is known to be missing at the end, which should be shown up to that time: so
        many packets, of which some may be shown before the last that came."""
        times = [entry.pts for entry in self._recent if entry.pts is not None]
        self._ending, self._early_end = missing or 0, self._fed if missing else self._early_end
        if pts is not None and times and self._in_order:
            behind = max(0, round(self._in_periods(pts - max(times))) - 1)
            self._ending = behind if missing is None else min(behind, missing)

    def begins_late(self) -> None:
        """Frames are missing before the first packet: by the time of the first that is shown."""
        self._lacks_start = True

    def ends_early(self) -> None:
        """Frames are known to be missing at the end, which leave gaps before the last ones."""
        self._early_end = self._fed

    def fails(self, entry: Entry) -> None:
        """Nothing will come of it: it is empty, or the decoder says so."""
        if entry.coded.shows is None:
            entry.coded = replace(entry.coded, shows=True)
        entry.broken = entry.settled = entry.near_loss = True
        self._note_loss(entry)

    def comes(self, entry: Entry, frame: T, *, corrupt: bool) -> None:
        """Its frame came out of the decoder, which calls it ``corrupt`` or not."""
        if entry.came or (entry.damaged is not None and entry.coded.shows):
            return  # it was given up, and counted
        self._depth = max(self._depth, self._fed - 1 - entry.number)
        entry.settled = entry.came = True
        self._see_order(entry)
        if corrupt:
            entry.broken = entry.near_loss = True
            self._note_loss(entry)
            entry.damaged = entry.damaged if entry.damaged is None else True
        self._held.append((entry, frame))
        if self._in_order and self._is_near_loss(entry) and entry.pts is not None:
            # A decoder that stumbled may give the frames around a loss in another order.
            later = []
            while len(self._held) > 1 and entry.is_shown_before(self._held[-2][0]):
                last = self._held.pop()
                later.append(self._held.pop())
                self._held.append(last)
            self._held.extend(reversed(later))
        for other in self._waiting:
            if not other.settled and self._is_overdue(other, entry):
                self.fails(other)

    def verdicts(self, *, ended: bool = False) -> Iterator[Verdict[T]]:
        """What is certain by now, in presentation order; at the end, everything."""
        for entry in self._waiting if ended else ():
            entry.broken |= entry.suspect
            entry.suspect = False
            if not entry.settled:
                self.fails(entry)
        while self._waiting and self._waiting[0].settled and not self._waiting[0].suspect:
            self._judge(self._waiting.popleft())
        while self._held and self._held[0][0].damaged is not None:
            entry, frame = self._held[0]
            if any(not e.settled and e.is_shown_before(entry) for e in self._waiting):
                return
            if not ended and entry is self._recent[-1] and self._is_far(entry):
                return  # the next packet shows whether its time is true
            self._held.popleft()
            yield from self._missing_before(entry)
            yield from self._gap_before(entry)
            if entry.number - self._last_loss > _DEEPEST_REORDER:
                self._owed = 0  # what was missing has been shown, or there was nothing
            if entry.counts or not entry.damaged:
                is_counted = bool(entry.damaged) and self._fills_gap(entry)
                yield Verdict(frame, bool(entry.damaged), is_counted=is_counted)
        if ended:
            yield from self._missing_before(None)
            for _ in range(max(self._owed, self._ending)):  # they would have been shown last
                yield Verdict(None, damaged=True, had_packet=False)
            self._owed = self._ending = 0

    def _judge(self, entry: Entry) -> None:
        references, coded = self._references, entry.coded
        if entry.damaged is None:
            entry.damaged = references.damaged(coded, entry.pts, broken=entry.broken)
        is_early = self._joins and not references.refreshed
        entry.counts = not is_early and not references.leads_from_nothing(coded, entry.pts)
        if coded.shows and not entry.came and entry.counts:
            self._missing.append(entry)

    def _is_overdue(self, other: Entry, came: Entry) -> bool:
        """Whether one that has not come should have, now that ``came`` has."""
        late = self._fed - 1 - other.number
        if other.epoch < came.epoch or late > _DEEPEST_REORDER:
            return True
        if other.pts is None or came.pts is None or not self._in_order:
            return False
        return late > self._depth + _PATIENCE and other.pts < came.pts

    def _see_order(self, entry: Entry) -> None:
        """Some senders give decode times; those say nothing of the display order. After
        a loss a decoder itself may stumble."""
        last, self._came = self._came, entry
        if self._is_near_loss(entry):
            return
        if last is not None and last.epoch == entry.epoch and last.pts is not None:
            self._in_order &= entry.pts is None or last.pts < entry.pts

    def _missing_before(self, entry: Entry | None) -> Iterator[Verdict[T]]:
        before = [e for e in self._missing if entry is None or e.is_shown_before(entry)]
        for missing in sorted(before, key=lambda e: (e.epoch, e.pts or 0, e.number)):
            self._missing.remove(missing)
            yield from self._gap_before(missing)
            yield Verdict(None, damaged=True, is_counted=self._fills_gap(missing))

    def _gap_before(self, entry: Entry) -> Iterator[Verdict[T]]:
        """Frames whose packets were lost entirely: known by the time that they leave empty."""
        last = self._last
        if entry.pts is None and last is not None and last.pts is not None:
            self._untimed += 1  # the next that has a time shows how many there were
            return
        self._last = entry
        count = max(entry.coded.lost_before, self.lost_first if last is None else 0)
        if entry.pts is not None and last is not None:
            count = self._periods_between(last, entry) - self._untimed
            if count > 0 and last.pts is not None:  # a decoder may have given some too early
                count -= sum(last.pts < shown < entry.pts for shown in self._shown)
            count = max(0, count)
            if count and last.pts is not None:
                self._gaps.append(_Gap(last.pts, entry.pts, entry.number, count))
        elif entry.pts is not None and self._lacks_start:
            count = max(0, round(self._in_periods(entry.pts)))
        if entry.pts is not None:
            self._shown.append(entry.pts)
        self._untimed = 0
        self._owed -= count  # less than none: those are known by their times already
        for _ in range(count):
            yield Verdict(None, damaged=True, had_packet=False)

    def _fills_gap(self, entry: Entry) -> bool:
        """Whether it was counted as lost when one came too early, or when its time was not known:
        it is shown before the last, and decoded after it."""
        for gap in self._gaps:
            behind = entry.number - gap.number
            if entry.pts is None:
                is_in = not entry.coded.is_reference and 0 < behind <= self._depth
            else:
                is_in = gap.begin < entry.pts < gap.end
            if is_in and gap.lost > 0:
                gap.lost -= 1
                self._untimed -= entry.pts is None and self._untimed > 0
                return True
        return False

    def _periods_between(self, last: Entry | None, entry: Entry) -> int:
        if last is None or last.pts is None or entry.pts is None or not self._in_order:
            return 0
        step = entry.pts - last.pts
        periods = self._in_periods(step)
        if not (self._is_near_loss(last) or self._is_near_loss(entry)):
            if self._period is None and step > 0:
                self._steps.append(step)
            return round(periods) - 1 if self._lacks_leaders(entry, periods) else 0
        is_loss = last.epoch == entry.epoch or entry.behind_loss
        most = _LONGEST_LOSS if is_loss else _LONGEST_LOSS_AT_REFRESH
        if periods > most and self._is_outage(last, entry):
            most = _LONGEST_OUTAGE
        return round(periods) - 1 if _LONG_STEP <= periods <= most else 0

    def _lacks_leaders(self, entry: Entry, periods: float) -> bool:
        """Whether frames that the end cut off would have filled a gap before it: no more than are
        decoded between a frame and its presentation."""
        if self._early_end is None or entry.number < self._early_end - self._depth:
            return False
        return _LONG_STEP <= periods <= self._depth + _LONG_STEP

    def _in_periods(self, step: int) -> float:
        """How many frames a step in time makes; 0 where that is not known."""
        period = self._period or (sorted(self._steps)[len(self._steps) // 2] if self._steps else 0)
        return step / period if period else 0.0

    def _is_far(self, entry: Entry) -> bool:
        """Whether it would be shown so long after the last one that there was an outage."""
        last = self._last
        if last is None or last.pts is None or entry.pts is None or not entry.near_loss:
            return False
        return self._in_periods(entry.pts - last.pts) > _LONGEST_LOSS

    def _is_outage(self, last: Entry, entry: Entry) -> bool:
        """Whether a long gap is one in which everything was lost. A splice would begin with a
        refresh, and a time that is wrong would stand alone."""
        is_splice = last.epoch != entry.epoch or entry.coded.refresh is not Refresh.NONE
        if not entry.near_loss or (is_splice and not entry.behind_loss):
            return False
        return any(
            other.number > entry.number
            and other.pts is not None
            and entry.pts is not None
            and abs(self._in_periods(other.pts - entry.pts)) <= _LONGEST_LOSS_AT_REFRESH
            for other in self._recent
        )

    def _note_loss(self, entry: Entry) -> None:
        if entry.near_loss:
            self._last_loss = max(self._last_loss, entry.number)

    def _is_near_loss(self, entry: Entry) -> bool:
        """Also what is decoded after a lost frame and shown before it is near it, and what is
        decoded before it and shown after it."""
        behind = entry.number - self._last_loss
        return entry.near_loss or -self._depth <= behind <= _DEEPEST_REORDER
