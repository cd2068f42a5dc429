"""What goes into a decoder, and what came through it so far."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, TypeVar

from oneglance.streams.decoding.bitstream import CodedFrame

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

T = TypeVar("T")

_LONGEST_DOUBT = 1024
"""Packets that are kept of one place."""


@dataclass(slots=True, eq=False)
class Entry:
    """A packet on its way through the decoder.

    ``number`` in decoding order; ``epoch``: full refreshes up to it; ``pts`` of its frame, None
    where unknown. ``near_loss``: something was lost hereabouts; ``behind_loss``: surely so, before
    it. ``suspect``: it may be what was lost; the next packet shows which. ``settled``: its frame
    came, or never will. ``damaged``: None until all before it are settled.
    """

    number: int
    epoch: int
    pts: int | None
    coded: CodedFrame
    near_loss: bool = False
    behind_loss: bool = False
    suspect: bool = False
    broken: bool = False
    settled: bool = False
    came: bool = False
    damaged: bool | None = None
    counts: bool = True

    def is_shown_before(self, other: Entry) -> bool:
        """Whether its frame precedes the other's."""
        if self.epoch == other.epoch and self.pts is not None and other.pts is not None:
            return self.pts < other.pts
        return self.number < other.number


@dataclass(frozen=True, slots=True)
class Verdict(Generic[T]):
    """A frame that the source produced: ``frame`` is None where nothing came of it, and
    ``had_packet`` False where not even its packet did. ``is_counted``: it has been counted
    before, as one that was lost."""

    frame: T | None
    damaged: bool
    had_packet: bool = True
    is_counted: bool = False


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame as it came out of the decoder.

    ``pts``: when it is shown, in units of the stream's time base; None where unknown.
    ``damaged``: it is marked so. Its packet ``arrival_s``, and decoding it took ``decode_s``,
    without the wait for the packet.
    """

    frame: VideoFrame
    index: int
    pts: int | None
    damaged: bool
    arrival_s: float
    decode_s: float


@dataclass(slots=True)
class DecodeStats:
    """What came through the decoder so far.

    ``packets`` read; frames ``produced`` by the source, ``delivered`` ones among them, and
    ``damaged`` ones, delivered or not, with ``first_damaged``, the index of the first of them,
    at ``first_damaged_s``; ``last_error``: what the decoder has said since the last intact frame;
    ``is_start_lost``: something came before the first frame, whose time shows how much;
    ``is_end_lost``: more followed the last one, and nobody knows how much;
    ``has_wrong_bytes``: a checksum over many frames was wrong, of a coding whose decoder finds most
    wrong bytes itself; ``doubtful``: frames of places where it found none, from
    ``doubtful_begin_s`` to ``doubtful_end_s``;
    ``begin_s`` and ``end_s``: when the first delivered frame begins and the last one ends.
    """

    packets: int = 0
    produced: int = 0
    delivered: int = 0
    damaged: int = 0
    first_damaged: int | None = None
    first_damaged_s: float = 0.0
    last_error: str = ""
    is_start_lost: bool = False
    is_end_lost: bool = False
    has_wrong_bytes: bool = False
    doubtful: int = 0
    doubtful_begin_s: float = 0.0
    doubtful_end_s: float = 0.0
    begin_s: Fraction = Fraction(0)
    end_s: Fraction = Fraction(0)

    @property
    def left_out(self) -> int:
        """Frames that were produced and not delivered."""
        return self.produced - self.delivered

    def count(self, *, damaged: bool) -> int:
        """One more frame was produced; its index."""
        index = self.produced
        self.produced += 1
        if damaged:
            if self.first_damaged is None:
                self.first_damaged, self.first_damaged_s = index, float(self.end_s)
            self.damaged += 1
        return index


class Doubts:
    """Frames around which bytes are wrong, by a checksum over many of them, and no decoder says
    whose: adds up, in ``stats``, those at places of which none turned out to be damaged.

    Decoders of codings without checksums find most wrong bytes, but a single wrong bit decodes to
    another image more often than not. The frames have been given out when that is known.
    """

    def __init__(self, stats: DecodeStats, unit: Fraction | None) -> None:
        self._stats, self._unit = stats, unit or Fraction(0)
        self._here: list[Entry] = []
        self._before: list[list[Entry]] = []

    def see(self, entry: Entry, *, is_wrong: bool) -> None:
        """The next packet, and whether bytes are wrong around it."""
        if is_wrong:
            self._stats.has_wrong_bytes = True
            self._here.append(entry)
        if self._here and (not is_wrong or len(self._here) >= _LONGEST_DOUBT):
            self._before.append(self._here)
            self._here = []
            while len(self._before) > 1:  # all that was said of the others has been said
                self._settle(self._before.pop(0))

    def end(self) -> None:
        """Everything has come out of the decoder."""
        for place in (*self._before, self._here):
            self._settle(place)
        self._before, self._here = [], []

    def _settle(self, place: list[Entry]) -> None:
        if not place or any(
            entry.broken or entry.damaged or (entry.coded.shows and not entry.came)
            for entry in place
        ):
            return
        stats, times = self._stats, [entry.pts for entry in place if entry.pts is not None]
        if times and not stats.doubtful:
            stats.doubtful_begin_s = float(min(times) * self._unit)
        if times:
            stats.doubtful_end_s = float(max(times) * self._unit)
        stats.doubtful += len(place)
