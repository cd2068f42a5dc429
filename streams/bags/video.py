"""Compressed video in messages: one access unit a message, decoded from a key frame on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from oneglance.streams.bags.messages import VIDEO_FORMATS, ImageMessage, Undecodable

_NS = Fraction(1, 1_000_000_000)


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
        self._waiting: dict[int, ImageMessage] = {}
        self._given = 0
        self._first: int | None = None

    def decode(self, message: ImageMessage) -> Iterator[tuple[ImageMessage, av.VideoFrame]]:
        """The images that are done now, each with its own message.

        Raises:
            Undecodable: libav refuses the bytes.
        """
        packet = av.Packet(message.data)
        packet.pts = packet.dts = self._given
        packet.time_base = _NS
        self._waiting[self._given] = message
        self._given += 1
        yield from self._done(packet)

    def flush(self) -> Iterator[tuple[ImageMessage, av.VideoFrame]]:
        """The images that the decoder still holds; then no more can be decoded."""
        yield from self._done(None)

    @property
    def before_key(self) -> int:
        """Messages before the first image: they waited for a key frame."""
        first = self._given if self._first is None else self._first
        return sum(number < first for number in self._waiting)

    @property
    def lost(self) -> int:
        """Messages after the first image that gave none; true after ``flush``."""
        return len(self._waiting) - self.before_key

    def _done(self, packet: av.Packet[Any] | None) -> Iterator[tuple[ImageMessage, av.VideoFrame]]:
        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError as error:
            if self._first is None:  # it waits for a key frame
                return
            raise Undecodable(str(error.strerror or type(error).__name__).lower()) from None
        for frame in frames:
            number = frame.pts
            if self._first is None and not frame.key_frame:
                continue
            message = None if number is None else self._waiting.pop(number, None)
            if message is not None:
                self._first = number if self._first is None else self._first
                yield message, frame
