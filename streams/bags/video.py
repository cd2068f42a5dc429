"""Compressed video in messages: one access unit a message, decoded from a key frame on.

A recorder leaves messages out when it is too slow, and libav plays on from what it has: what
depends on a lost or damaged image is damaged too, up to the next refresh (``decoding.references``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from oneglance.streams.bags.messages import VIDEO_FORMATS, ImageMessage, Undecodable
from oneglance.streams.decoding.accounting import Entry
from oneglance.streams.decoding.bitstream import CodedFrame, inspector
from oneglance.streams.decoding.padding import packet_of
from oneglance.streams.decoding.references import FrameLedger, References

_NS = Fraction(1, 1_000_000_000)


@dataclass(frozen=True, slots=True)
class DecodedMessage:
    """A message with its image; ``damaged``: it, or one that it depends on, is not intact."""

    message: ImageMessage
    frame: av.VideoFrame
    damaged: bool


class VideoDecoder:
    """Decodes a topic of video. Foxglove forbids B-frames: images come in the messages' order."""

    def __init__(self, coding: str) -> None:
        """``coding``: a message's ``format``.

        Raises:
            Undecodable: a coding that we lack.
        """
        codec = VIDEO_FORMATS.get(coding.lower())
        if codec is None:
            raise Undecodable(f"video coding {coding!r} (known: {', '.join(VIDEO_FORMATS)})")
        context = av.CodecContext.create(codec, "r")
        assert isinstance(context, av.VideoCodecContext)
        self._context = context
        self._inspect = inspector(codec, None, intra_only=False)
        self._ledger: FrameLedger[tuple[ImageMessage, av.VideoFrame]] = FrameLedger(
            References(), joins=True
        )
        self._waiting: dict[int, tuple[ImageMessage, Entry]] = {}
        self._given = 0
        self._first: int | None = None

    def decode(self, message: ImageMessage) -> Iterator[DecodedMessage]:
        """The images that are done now. Of a message whose bytes libav refuses there is none
        (``lost``)."""
        packet = packet_of(message.data)
        packet.pts = packet.dts = self._given
        packet.time_base = _NS
        entry = self._ledger.enters(self._inspect(memoryview(message.data), False), self._given)
        self._waiting[self._given] = message, entry
        self._given += 1
        self._take(packet, entry)
        yield from self._done()

    def misses(self) -> None:
        """A message is not there, or is none."""
        self._ledger.fails(self._ledger.enters(CodedFrame(), None))

    def flush(self) -> Iterator[DecodedMessage]:
        """The images that the decoder still holds; then no more can be decoded."""
        self._take(None, None)
        yield from self._done(ended=True)

    @property
    def before_key(self) -> int:
        """Messages before the first image: they waited for a key frame."""
        first = self._given if self._first is None else self._first
        return sum(number < first for number in self._waiting)

    @property
    def lost(self) -> tuple[ImageMessage, ...]:
        """Messages after the first image that gave none; all of them after ``flush``."""
        if self._first is None:
            return ()
        return tuple(m for number, (m, _) in self._waiting.items() if number > self._first)

    def _take(self, packet: av.Packet[Any] | None, entry: Entry | None) -> None:
        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError:
            if entry is not None:
                self._ledger.fails(entry)
            return
        for frame in frames:
            number = frame.pts
            if self._first is None and not frame.key_frame:
                continue
            if number is None or number not in self._waiting:
                continue
            message, own = self._waiting.pop(number)
            self._first = number if self._first is None else self._first
            self._ledger.comes(own, (message, frame), corrupt=frame.is_corrupt)

    def _done(self, *, ended: bool = False) -> Iterator[DecodedMessage]:
        for verdict in self._ledger.verdicts(ended=ended):
            if verdict.frame is not None:  # of which none is left out, whatever was counted
                yield DecodedMessage(*verdict.frame, verdict.damaged)
