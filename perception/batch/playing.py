"""A clip, or a part of one, while it is played: what is seen of it, which of its frames the
network looks at, and by how many threads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from oneglance.models.cpus import available_cpus
from oneglance.models.detector import Detector
from oneglance.perception.batch.events import PlayedPart
from oneglance.streams.decoding.parts import SeenPart
from oneglance.streams.frame import Frame
from oneglance.streams.playing import Closing
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    import supervision as sv

    from oneglance.streams.frame import Image


_MOMENT = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_. T]{0,3}(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?!\d)"
)
"""A day and a time in a file's name, as cameras write it."""

_CLOCKS_BEGIN = 2000
"""Cameras whose clock was never set say 1904, 1970 or 1980."""


def filmed_at(name: str, created: str | None) -> datetime | None:
    """When a clip was filmed, without a zone: what its file's name says, which is the camera's own
    clock, else what its container says was ``created``, which is UTC where the camera keeps to the
    format; None where neither says it.

    >>> filmed_at("drives/2026-05-04T07-30-00_city.mp4", "2026-05-04T05:30:00.000000Z")
    datetime.datetime(2026, 5, 4, 7, 30)
    >>> filmed_at("s3://fleet/2026_0504_173000_012F.MP4", None)
    datetime.datetime(2026, 5, 4, 17, 30)
    >>> filmed_at("front.mp4", "2026-05-04T05:30:00.000000Z")
    datetime.datetime(2026, 5, 4, 5, 30)
    >>> filmed_at("20261399_996161.mp4", "1904-01-01T00:00:00Z") is None
    True
    """
    for found in _MOMENT.finditer(name.rpartition("/")[2]):
        with suppress(ValueError):
            return datetime(*map(int, found.groups()))  # type: ignore[arg-type]
    with suppress(ValueError):
        moment = datetime.fromisoformat(created or "")
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return moment if moment.year >= _CLOCKS_BEGIN else None
    return None


class Seen:
    """What is known of a clip, or a part of one, that is being played."""

    def __init__(self) -> None:
        self.frames = 0
        self.last_s = 0.0
        self.period_s = 0.0
        self.declared_s: float | None = None
        self.part: SeenPart | None = None
        self._stream: Stream | None = None
        self._looked_at: list[tuple[int, float]] = []

    def look_at(self, stream: Stream) -> None:
        """Remember what the stream declares."""
        self._stream = stream
        if stream.frame_rate:
            self.period_s = float(1 / stream.frame_rate)
            if stream.frame_count is not None:
                self.declared_s = float(stream.frame_count / stream.frame_rate)

    def add(self, frame: Frame) -> None:
        """One more frame was looked at."""
        self.frames += 1
        self.last_s = frame.timestamp_s
        if self.part is not None:
            self._looked_at.append((frame.index, frame.timestamp_s))

    def rate(self, every: int) -> float:
        """Frames a second, of those that are looked at."""
        assert self._stream is not None
        return float(self._stream.frame_rate or 30) / every

    def filmed(self, name: str) -> datetime | None:
        """When the clip of that name was filmed."""
        return filmed_at(name, getattr(self._stream, "created", None))

    def damaged(self) -> int:
        """Frames that the decoder could not make whole, where the stream counts them."""
        return int(getattr(getattr(self._stream, "stats", None), "damaged", 0))

    def played(self, every: int) -> PlayedPart | None:
        """What the part's rows are joined by."""
        if self.part is None:
            return None
        return PlayedPart(
            self.part,
            np.array([index for index, _ in self._looked_at], np.int64),
            np.array([time_s for _, time_s in self._looked_at], np.float64),
            self.rate(every),
        )


class Thinned(Closing):
    """A stream with each so-many-th frame alone; those between are decoded, never converted.
    ``before``: frames that came before its first."""

    def __init__(self, stream: Stream, every: int, before: int = 0) -> None:
        self._stream = stream
        self._every = every
        self._before = before
        self.source = stream.source
        self.live = False
        rate = stream.frame_rate
        self.frame_rate: Fraction | None = None if rate is None else rate / every
        count = stream.frame_count
        self.frame_count: int | None = None if count is None else -(-count // every)

    def __iter__(self) -> Iterator[Frame]:
        return (frame for frame in self._stream if (self._before + frame.index) % self._every == 0)

    def close(self) -> None:
        self._stream.close()


class Share:
    """A detector that is called by as many threads at once as its worker's share has CPUs; the
    same in all else."""

    def __init__(self, detector: Detector, cpus: int) -> None:
        self._detector = detector
        there = available_cpus()
        self.threads = max(1, there // min(cpus or there, there))
        self.name = detector.name

    def __call__(self, image: Image, /) -> sv.Detections:
        return self._detector(image)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)
