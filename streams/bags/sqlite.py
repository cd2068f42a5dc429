"""Files of rosbag2's sqlite3 storage that SQLite will not read: row by row, from their pages."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from oneglance.streams.bags.bag import BagTruncated, Channel, Schema, camera_topics
from oneglance.streams.bags.decoders import Decoders
from oneglance.streams.bags.messages import ImageMessage, Topic, Undecodable
from oneglance.streams.bags.sqlite_pages import NoDatabase, Pages, header_of
from oneglance.streams.errors import SourceUnreadable

Value = int | float | bytes | str | None

_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""Bytes of a value by its serial type; from 12 on, texts and blobs, the type says."""


def what_sqlite_overlooks(path: Path) -> str | None:
    """What is wrong with a database that SQLite, which may not write to it, would not say.

    It fills a last page that is cut with zeros, and leaves out what a crashed writer left beside
    the file: a write-ahead log or a rollback journal.

    Raises:
        OSError: it cannot be opened.
    """
    log = path.with_name(path.name + "-wal")
    journal = path.with_name(path.name + "-journal")
    if log.is_file() and log.stat().st_size:
        return f"its recorder crashed: {log.name} was left over"
    if journal.is_file():
        with journal.open("rb") as file:
            if file.read(8) == b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7":  # else it was finished
                return f"its recorder crashed: {journal.name} was left over"
    try:
        pages = Pages(path)
    except NoDatabase as error:
        return str(error)
    with closing(pages):
        return None if pages.is_all_there else "it is truncated"


class ScannedSqlite:
    """A ``.db3`` file, from its pages, up to the first message that is not there whole."""

    def __init__(self, path: Path, why: str) -> None:
        """``why``: what SQLite said; said after the last message.

        Raises:
            SourceUnreadable: it is no database.
            OSError: it cannot be opened.
        """
        try:
            self._pages = Pages(path)
        except NoDatabase as error:
            raise SourceUnreadable(f"{path} is no bag: {error}") from None
        self.truncation: str | None = why
        self._why, self._decoders = why, Decoders()
        self._messages: dict[int, _Message] = {}
        self._topics: dict[int, tuple[str, str]] = {}
        self._definitions: dict[str, Schema] = {}
        for number, page in self._pages.table_leaves():
            for place in _places(number, page):
                self._take(number, page, place)

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        return camera_topics((topic, type_name, None) for topic, type_name in self._topics.values())

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """See ``Bag``."""
        channels = {
            number: Channel(number, name, "cdr", self._schema(kind))
            for number, (name, kind) in self._topics.items()
            if name == topic.name
        }
        there, missing = self._before_the_first_gap()
        for row in sorted(there, key=lambda row: self._messages[row].time_ns):  # as rosbag2 plays
            channel = channels.get(self._messages[row].topic)
            if channel is None:
                continue
            data = self._data(self._messages[row])
            if data is None:
                raise BagTruncated(f"it is truncated or damaged: message {row} is not whole")
            yield self._decoders.decode(channel.id, "cdr", channel.schema, data)
        raise BagTruncated(
            f"it is truncated or damaged: message {missing} is missing" if missing else self._why
        )

    def close(self) -> None:
        """See ``Bag``."""
        self._pages.close()

    def _take(self, number: int, page: bytes, place: int) -> None:
        """Note a row, if it is one that rosbag2 writes."""
        try:
            self._keep(_cell(self._pages, page, place), number, place)
        except (IndexError, ValueError):  # a damaged row, a damaged page
            return

    def _keep(self, cell: _Cell, number: int, place: int) -> None:
        kind, *others = cell.types
        if kind != 0:  # each of its tables begins with the row's number, which is not kept
            return
        if len(others) == 3 and all(map(_is_number, others[:2])) and _is_blob(others[2]):
            _, topic, time_ns = cell.leading(3)
            message = _Message(int(topic or 0), int(time_ns or 0), number, place)
            self._messages.setdefault(cell.row, message)
        elif 3 <= len(others) <= 5 and all(map(_is_text, others)):
            if (values := cell.values(self._pages)) is None:
                return
            texts = [str(value) for value in values[1:]]
            if texts[0].startswith("/"):
                self._topics[cell.row] = texts[0], texts[1]
            elif len(texts) == 4:
                schema = Schema(cell.row, texts[0], texts[1], texts[2].encode())
                self._definitions[schema.name] = schema

    def _schema(self, kind: str) -> Schema:
        """A type's definition, which rosbag2 keeps since its schema's version 4."""
        return self._definitions.get(kind) or Schema(0, kind, "", b"")

    def _before_the_first_gap(self) -> tuple[list[int], int | None]:
        """The rows that are there before one is missing, and its number; they count from 1."""
        there: list[int] = []
        for row in sorted(self._messages):
            if row > len(there) + 1:
                return there, len(there) + 1
            there.append(row)
        return there, None

    def _data(self, message: _Message) -> bytes | None:
        page = self._pages.page(message.page)
        values = page and _cell(self._pages, page, message.place).values(self._pages)
        return values[-1] if values and isinstance(values[-1], bytes) else None


@dataclass(frozen=True, slots=True)
class _Message:
    """Where a message lies."""

    topic: int
    time_ns: int
    page: int
    place: int


@dataclass(frozen=True, slots=True)
class _Cell:
    """A row where it lies. ``types``: the serial type of each column; ``local``: what its own page
    holds of its ``size`` bytes, the others lie in a chain of pages from ``overflow`` on;
    ``start``: where the columns begin."""

    row: int
    types: tuple[int, ...]
    local: bytes
    size: int
    start: int
    overflow: int

    def leading(self, count: int) -> list[Value]:
        """The first columns.

        Raises:
            ValueError: its own page does not hold them.
        """
        return _columns(self.local, self.start, self.types[:count])

    def values(self, pages: Pages) -> list[Value] | None:
        """Every column; None if a page is missing."""
        content = bytearray(self.local)
        number = self.overflow
        while (left := self.size - len(content)) > 0:
            page = pages.page(number)
            if page is None:
                return None
            number = int.from_bytes(page[:4], "big")
            content += page[4 : min(4 + left, pages.usable)]
        if number and self.overflow:
            return None  # a chain that is longer than its row
        return _columns(bytes(content), self.start, self.types)


def _places(number: int, page: bytes) -> Iterator[int]:
    """Where the rows of a page begin in it."""
    at = header_of(number)
    count = int.from_bytes(page[at + 3 : at + 5], "big")
    pointers = page[at + 8 : at + 8 + 2 * count]
    return iter(struct.unpack(f">{len(pointers) // 2}H", pointers[: len(pointers) // 2 * 2]))


def _cell(pages: Pages, page: bytes, place: int) -> _Cell:
    size, place = _varint(page, place)
    row, place = _varint(page, place)
    most, local = pages.usable - 35, size
    if size > most:
        least = (pages.usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (pages.usable - 4)
        local = least if local > most else local
    end = place + local
    if end + (4 if local < size else 0) > pages.usable:
        raise ValueError("a row that leaves its page")
    content = page[place:end]
    overflow = int.from_bytes(page[end : end + 4], "big") if local < size else 0
    start, at = _varint(content, 0)
    types = []
    while at < start:
        kind, at = _varint(content, at)
        types.append(kind)
    return _Cell(row, tuple(types), content, size, start, overflow)


def _columns(content: bytes, start: int, types: tuple[int, ...]) -> list[Value]:
    values: list[Value] = []
    for kind in types:
        size = _SIZES[kind] if kind < len(_SIZES) else max(kind - 12, 0) // 2
        part = content[start : start + size]
        if len(part) < size:
            raise ValueError("a row that is shorter than its columns")
        start += size
        if kind >= 12:
            values.append(part.decode(errors="replace") if kind % 2 else part)
        elif kind in (8, 9):
            values.append(kind - 8)
        else:
            values.append(int.from_bytes(part, "big", signed=True) if kind else None)
    return values


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of up to nine bytes, seven bits each and eight in the last, and where it ends."""
    value = 0
    for index in range(9):
        byte = data[place + index]
        if index == 8:
            return (value << 8) | byte, place + 9
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, place + index + 1
    raise AssertionError("nine bytes were read")


def _is_number(kind: int) -> bool:
    return 1 <= kind <= 6 or kind in (8, 9)


def _is_blob(kind: int) -> bool:
    return kind >= 12 and kind % 2 == 0


def _is_text(kind: int) -> bool:
    return kind >= 13 and kind % 2 == 1
