"""Pages of an SQLite file that SQLite will not read: truncated, damaged, or left by a crash.

SQLite finds rows by pages that lead to others, refuses a file that is too short, and must write to
recover what a crashed writer left beside it. A bag is only ever added to, so that each row can be
found in the page that holds it. The format: https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

MAGIC = b"SQLite format 3\0"

_TABLE_LEAF = 0x0D
_READ_AT_ONCE = 1 << 20
_WAL_HEADER, _WAL_FRAME = 32, 24


class NoDatabase(Exception):
    """A file that does not begin as an SQLite database; its text says how."""


class Pages:
    """The pages of a database as its last whole transaction left them, those in a write-ahead log
    beside it included. Nothing is written."""

    def __init__(self, path: Path) -> None:
        """Open a database.

        Raises:
            NoDatabase: it is none.
            OSError: it cannot be opened.
        """
        self._file: BinaryIO = path.open("rb")
        self._log: BinaryIO | None = None
        try:
            self._read_header()
            log = path.with_name(path.name + "-wal")
            if log.is_file() and log.stat().st_size > _WAL_HEADER:
                self._log = log.open("rb")
                self._read_log(self._log)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()
        if self._log is not None:
            self._log.close()

    @property
    def is_all_there(self) -> bool:
        """Whether the file is as long as it should be."""
        length = self._file.seek(0, os.SEEK_END)
        return length >= self.count * self.size and length % self.size == 0

    def page(self, number: int) -> bytes | None:
        """A page, counted from 1; None if it is missing."""
        place = self._logged.get(number)
        file = self._file
        if not 1 <= number <= self.count:
            return None
        if place is not None and self._log is not None:
            file = self._log
        else:
            place = (number - 1) * self.size
        file.seek(place)
        content = file.read(self.size)
        return content if len(content) == self.size else None

    def table_leaves(self) -> Iterator[tuple[int, bytes]]:
        """The pages that hold rows of tables, with their numbers, in the file's order."""
        many = max(_READ_AT_ONCE // self.size, 1)
        for first in range(1, self.count + 1, many):
            self._file.seek((first - 1) * self.size)
            content = self._file.read(many * self.size)
            for number in range(first, min(first + many, self.count + 1)):
                start = (number - first) * self.size
                page: bytes | None = content[start : start + self.size]
                if number in self._logged or number == 1:
                    page = self.page(number)
                if page and len(page) == self.size and page[header_of(number)] == _TABLE_LEAF:
                    yield number, page

    def _read_header(self) -> None:
        header = self._file.read(100)
        if len(header) < 100 or not header.startswith(MAGIC):
            raise NoDatabase("it does not begin as an SQLite file")
        self.size = int.from_bytes(header[16:18], "big") or 1
        self.size = 65536 if self.size == 1 else self.size
        self.usable = self.size - header[20]
        if self.size < 512 or self.size & (self.size - 1) or self.usable < 480:
            raise NoDatabase(f"its header is damaged: pages of {self.size} bytes")
        self._logged: dict[int, int] = {}
        changes, count, valid_for = header[24:28], header[28:32], header[92:96]
        self.count = int.from_bytes(count, "big")
        if not self.count or changes != valid_for:  # an old SQLite does not say
            self.count = self._file.seek(0, os.SEEK_END) // self.size

    def _read_log(self, log: BinaryIO) -> None:
        """Note where the newest copy of each page lies, up to the last transaction that is whole.

        A log is used again from its start: frames of an earlier round have other salts.
        """
        header = log.read(_WAL_HEADER)
        magic, _, size, _, salts = struct.unpack("!4I8s", header[:24])
        if magic not in (0x377F0682, 0x377F0683) or size != self.size:
            return
        order = ">u4" if magic & 1 else "<u4"
        sums = _checksum(header[:24], (0, 0), order)
        if sums != struct.unpack("!2I", header[24:]):
            return
        waiting: dict[int, int] = {}
        place = _WAL_HEADER
        while len(frame := log.read(_WAL_FRAME + size)) == _WAL_FRAME + size:
            number, count, frame_salts, *expected = struct.unpack("!2I8s2I", frame[:_WAL_FRAME])
            sums = _checksum(frame[:8] + frame[_WAL_FRAME:], sums, order)
            if frame_salts != salts or sums != tuple(expected):
                break
            waiting[number] = place + _WAL_FRAME
            if count:  # the transaction is whole; so many pages has the database now
                self._logged.update(waiting)
                self.count = count
                waiting.clear()
            place += len(frame)


def header_of(number: int) -> int:
    """Where a page's own header begins: behind the file's, in the first."""
    return 100 if number == 1 else 0


def _checksum(data: bytes, before: tuple[int, int], order: str) -> tuple[int, int]:
    """SQLite's running sums over pairs of words: ``a += x + b; b += y + a``, modulo 2**32.

    Each step is linear, so what a pair adds in the end depends on how many come after it alone.
    """
    words = np.frombuffer(data, order).astype(np.uint32)
    x, y = words[0::2], words[1::2]
    # After n more steps: (a, b) -> A**n (a, b), A = [[1, 1], [1, 2]]; Fibonacci's numbers.
    powers = _powers(len(x))
    start = np.array([*before], np.uint32)
    joined = y + x  # a step adds (x, x + y)
    with np.errstate(over="ignore"):
        after = powers[:-1][::-1]
        a = (after[:, 0] * x + after[:, 1] * joined).sum(dtype=np.uint32)
        b = (after[:, 1] * x + after[:, 2] * joined).sum(dtype=np.uint32)
        last = powers[-1]
        a += (last[0] * start[0]) + (last[1] * start[1])
        b += (last[1] * start[0]) + (last[2] * start[1])
    return int(a), int(b)


_POWERS: dict[int, np.ndarray] = {}


def _powers(steps: int) -> np.ndarray:
    """``A**0`` to ``A**steps`` as (upper left, off the diagonal, lower right), modulo 2**32."""
    if steps not in _POWERS:
        rows, row = [], (1, 0, 1)
        for _ in range(steps + 1):
            rows.append(row)
            p, q, r = row
            row = ((p + q) & 0xFFFFFFFF, (q + r) & 0xFFFFFFFF, (q + 2 * r) & 0xFFFFFFFF)
        _POWERS[steps] = np.array(rows, np.uint32)
    return _POWERS[steps]
