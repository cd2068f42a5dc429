"""Bags read from their start to wherever they end, because what would say where things lie is
missing or damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.bags.bag import BagTruncated, Channel, camera_topics
from oneglance.streams.bags.decoders import Decoders
from oneglance.streams.bags.messages import ImageMessage, Topic, Undecodable


def read_up_to(file: BinaryIO, length: int) -> bytes:
    """``length`` bytes, or what is left of the file: a length that is damaged asks for anything."""
    here = file.tell()
    left = file.seek(0, os.SEEK_END) - here
    file.seek(here)
    return file.read(min(length, left))


def skip(file: BinaryIO, length: int) -> None:
    """Leave ``length`` bytes out, and end where the file does."""
    here = file.tell()
    file.seek(min(here + length, file.seek(0, os.SEEK_END)))


class ScannedBag:
    """A bag without an index. ``records`` is what a format has to say.

    ``why``: what is wrong with the index, said after the last message; None: nothing is, the
    format does without one.
    """

    def __init__(self, path: Path, why: str | None) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be opened.
        """
        self._path, self._why = path, why
        self._file: BinaryIO = path.open("rb")
        self._decoders = Decoders()
        self._truncation = why

    def records(self) -> Iterator[tuple[Channel, bytes | None]]:
        """Each channel as it appears, without data, and each message, in the file's order.

        Raises:
            BagTruncated: the file ends in the middle, or is damaged there.
        """
        raise NotImplementedError

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        channels: dict[int, Channel] = {}
        try:
            for channel, _ in self.records():
                channels.setdefault(channel.id, channel)
        except BagTruncated as error:
            self._truncation = str(error)
        found = channels.values()
        return camera_topics((channel.topic, channel.schema.name, None) for channel in found)

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """See ``Bag``."""
        for channel, data in self.records():
            if data is not None and channel.topic == topic.name:
                yield self._decoders.decode(channel.id, channel.encoding, channel.schema, data)
        if self._why is not None:
            raise BagTruncated(self._why)

    @property
    def truncation(self) -> str | None:
        """See ``Bag``."""
        return self._truncation

    def close(self) -> None:
        """See ``Bag``."""
        self._file.close()
