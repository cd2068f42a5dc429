"""A camera topic of a bag as a stream of frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

from oneglance.streams.bags.bag import Bag, BagTruncated
from oneglance.streams.bags.messages import (
    Carries,
    ImageMessage,
    Topic,
    Undecodable,
    image_of,
)
from oneglance.streams.bags.reading import open_bag
from oneglance.streams.bags.video import DecodedMessage, VideoDecoder
from oneglance.streams.decoding.planes import DecodedImage
from oneglance.streams.errors import SourceBroken, SourceNotFound, SourceUnreadable, UsageError
from oneglance.streams.frame import DeferredImage, Frame, Image
from oneglance.streams.options import Damaged
from oneglance.streams.playing import PlayedOnce

logger = logging.getLogger(__name__)

_NS = 1_000_000_000


class BagStream(PlayedOnce):
    """Frames of one camera topic, in the order they were recorded.

    ``timestamp_s`` is the header's stamp in seconds, as it stands there; ``metadata`` has it
    exactly (``stamp_ns``), the header's ``frame_id`` and the ``topic``. A message whose image
    cannot be made keeps its index, and is raised when all others have been delivered.
    """

    live = False
    frame_rate: Fraction | None = None

    def __init__(
        self, path: Path, *, topic: str | None = None, damaged: str = Damaged.SKIP
    ) -> None:
        """Open a bag; ``topic``: its only camera topic by default. ``damaged``: what becomes of
        frames of video that are damaged.

        Raises:
            SourceNotFound: there is no such bag.
            SourceUnreadable: it cannot be read, or has no camera topic.
            UsageError: there is no such topic, or there are several to choose from; or the extra
                ``mcap`` is not installed.
        """
        super().__init__()
        if not path.exists():
            raise SourceNotFound(f"no file or folder {path}")
        self._bag: Bag = open_bag(path)
        try:
            self._topic = _choose(self._bag, topic, path)
        except BaseException:
            self._bag.close()
            raise
        self.source = str(path) if topic is None else f"{path}?topic={topic}"
        self.frame_count = self._topic.count
        self._undecodable: list[tuple[int, str]] = []
        self._damaged: list[int] = []  # delivered all the same
        self._keeps, self._marks = damaged != Damaged.SKIP, damaged == Damaged.MARK
        self._delivered = 0

    def __iter__(self) -> Generator[Frame]:
        """See ``Stream``.

        Raises:
            SourceBroken: the bag ends in the middle, or images in it cannot be made; every other
                was delivered.
            SourceUnreadable: not one image can be made.
            UsageError: it has been iterated before.
        """
        return super().__iter__()

    def _free(self) -> None:
        self._bag.close()

    def _frames(self) -> Iterator[Frame]:
        images = self._video() if self._topic.carries is Carries.VIDEO else self._images()
        truncation: BagTruncated | None = None
        try:
            for index, message, image, decode_s in images:
                is_damaged = bool(self._damaged) and self._damaged[-1] == index
                self._delivered += 1
                yield Frame(
                    image,
                    index=index,
                    timestamp_s=message.stamp_ns / _NS,
                    source=self.source,
                    metadata={
                        "stamp_ns": message.stamp_ns,
                        "frame_id": message.frame_id,
                        "topic": self._topic.name,
                    },
                    decode_s=decode_s,
                    damaged=is_damaged and self._marks,
                )
        except BagTruncated as error:
            truncation = error
        if not self._closed:
            self._judge(truncation)

    def _images(self) -> Iterator[tuple[int, ImageMessage, Image | DeferredImage, float]]:
        for index, message in enumerate(self._bag.messages(self._topic)):
            started_s = time.perf_counter()
            try:
                if isinstance(message, Undecodable):
                    raise message
                image = image_of(message, self._topic.carries)
            except Undecodable as error:
                self._undecodable.append((index, str(error)))
                continue
            yield index, message, image, time.perf_counter() - started_s

    def _video(self) -> Iterator[tuple[int, ImageMessage, Image | DeferredImage, float]]:
        decoder: VideoDecoder | None = None
        numbers: dict[int, int] = {}
        truncation: BagTruncated | None = None
        messages = enumerate(self._bag.messages(self._topic))
        while truncation is None:
            try:
                index, message = next(messages, (0, None))
            except BagTruncated as error:  # what the decoder holds still comes
                truncation = error
                break
            if message is None:
                break
            started_s = time.perf_counter()
            try:
                if isinstance(message, Undecodable):
                    if decoder is not None:
                        decoder.misses()
                    raise message
                decoder = decoder or VideoDecoder(message.format)
                numbers[id(message)] = index
                done = list(decoder.decode(message))
            except Undecodable as error:
                self._undecodable.append((index, str(error)))
                continue
            yield from self._numbered(done, numbers, time.perf_counter() - started_s)
        if decoder is not None:
            yield from self._numbered(list(decoder.flush()), numbers, 0.0)
            if decoder.before_key and self._delivered:
                logger.warning(
                    "%s: %d message(s) before the first key frame gave no image",
                    *(self.source, decoder.before_key),
                )
            for message in decoder.lost:
                self._undecodable.append((numbers[id(message)], "no image came of it"))
        if truncation is not None:
            raise truncation

    def _numbered(
        self, done: list[DecodedMessage], numbers: dict[int, int], decode_s: float
    ) -> Iterator[tuple[int, ImageMessage, Image | DeferredImage, float]]:
        for each in done:
            index = numbers.pop(id(each.message))
            if each.damaged and self._keeps:
                self._damaged.append(index)
            elif each.damaged:
                self._undecodable.append((index, "damaged, or depends on one that is"))
                continue
            yield index, each.message, DecodedImage(each.frame), decode_s / len(done)

    def _judge(self, truncation: BagTruncated | None) -> None:
        first = "index {}: {}".format(*min(self._undecodable)) if self._undecodable else ""
        if not self._delivered:
            why = first or truncation or "it has no message"
            raise SourceUnreadable(
                f"{self.source}: no image of topic {self._topic.name} can be made ({why})"
            )
        if truncation is not None:
            raise SourceBroken(
                f"{self.source} broke after {self._delivered} frames: {truncation}; the frames "
                "before are good"
            )
        if self._damaged:
            raise SourceBroken(
                f"{self.source}: {len(self._damaged)} frame(s) are damaged, the first at index "
                f"{self._damaged[0]}; all of them were delivered"
                + (f"; {len(self._undecodable)} message(s) hold none" if self._undecodable else "")
            )
        if self._undecodable:
            raise SourceBroken(
                f"{self.source}: {len(self._undecodable)} message(s) hold no image that can be "
                f"made, the first {first}; the {self._delivered} others were "
                "delivered"
            )


def _choose(bag: Bag, wanted: str | None, path: Path) -> Topic:
    topics = bag.topics()
    listed = "; ".join(f"{topic.name} ({topic.carries}, {topic.type})" for topic in topics)
    why = "" if bag.truncation is None else f" in what can be read of it ({bag.truncation})"
    if not topics:
        raise SourceUnreadable(f"{path} has no topic with images or video{why}")
    if wanted is None:
        if len(topics) == 1:
            return topics[0]
        raise UsageError(
            f"{path} has {len(topics)} camera topics: choose one, as in "
            f"'{path}?topic={topics[0].name}' ({listed})"
        )
    found = next((topic for topic in topics if topic.name == wanted), None)
    if found is None:
        raise UsageError(f"{path} has no camera topic {wanted}{why} (there are: {listed})")
    return found
