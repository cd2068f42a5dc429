"""Buffers between sources and their consumer: a blocking one, and one in which the newest wins.

    open ──put/get──▶ open ──finish──▶ draining ──last get──▶ over
      └───────────────── close (by the consumer) ───────────────▶ over

The producer ends a buffer with ``finish``, the consumer with ``close``. What was put before
``finish`` is still given out, then ``get`` raises the error that ``finish`` carried, or
``Closed``. ``BlockingBuffer`` is for recordings, ``RoundRobinLatestBuffer`` for live sources; the
rules of each are a class without threads or time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Closed(Exception):
    """Nothing more will come."""


class _Queue(Generic[T]):
    """The rules of ``BlockingBuffer``: what is kept, and when it is over."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._error: BaseException | None = None
        self._finished = False
        self.closed = False

    @property
    def full(self) -> bool:
        """Whether the next item has to wait for room."""
        return len(self._items) >= self._capacity

    @property
    def ready(self) -> bool:
        """Whether ``take`` has an answer, be it an item or the end."""
        return bool(self._items) or self._finished or self.closed

    def add(self, item: T) -> None:
        """Keep ``item``."""
        if self._finished:
            raise RuntimeError("put after finish")
        self._items.append(item)

    def take(self) -> T:
        """The oldest item; the end when there is none."""
        if self._items and not self.closed:
            return self._items.popleft()
        if self._error is not None and not self.closed:
            raise self._error
        raise Closed

    def finish(self, error: BaseException | None) -> None:
        """No item will be added any more; the first reason given counts."""
        if not self._finished:
            self._finished, self._error = True, error

    def close(self) -> None:
        """Forget everything: nobody will take it."""
        self.closed = True
        self._items.clear()


class BlockingBuffer(Generic[T]):
    """Keeps the order, loses nothing; a full buffer makes the producer wait. For any thread."""

    def __init__(self, capacity: int) -> None:
        """``capacity``: items kept at once, from 1."""
        self._queue: _Queue[T] = _Queue(capacity)
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Hand in an item; False when the consumer has closed and nobody wants it."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue.closed or not self._queue.full)
            if self._queue.closed:
                return False
            self._queue.add(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more will be put; ``error`` says why, when it was not a normal end."""
        with self._changed:
            self._queue.finish(error)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> T:
        """The next item.

        Raises:
            TimeoutError: nothing came within ``timeout_s``.
            Closed: nothing more will come. Or the error that ``finish`` carried.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._queue.ready, timeout_s):
                raise TimeoutError
            taken = self._queue.take()
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Nothing more will be got; a waiting ``put`` returns False at once."""
        with self._changed:
            self._queue.close()
            self._changed.notify_all()


@dataclass(slots=True)
class _Slot(Generic[T]):
    item: T | None = None
    dropped: int = 0
    finished: bool = False


class _Rounds(Generic[K, T]):
    """The rules of ``RoundRobinLatestBuffer``: which source is next, what is dropped, when it is
    over."""

    def __init__(self) -> None:
        # In order of service: the source served last stands last.
        self._slots: dict[K, _Slot[T]] = {}
        self._error: BaseException | None = None
        self.closed = False

    def open(self, key: K) -> None:
        """A source begins."""
        if key in self._slots:
            raise ValueError(f"{key} is open already")
        self._slots[key] = _Slot()

    def put(self, key: K, item: T) -> bool:
        """Keep a source's newest item; False when nobody wants it any more."""
        slot = self._slots.get(key)
        if slot is None or slot.finished or self.closed:
            return False
        if slot.item is not None:
            slot.dropped += 1
        slot.item = item
        return True

    def finish(self, key: K) -> None:
        """No more from this source; its newest item is still given out."""
        slot = self._slots.get(key)
        if slot is not None:
            slot.finished = True
            self._forget_if_done(key, slot)

    def remove(self, key: K) -> int:
        """Forget a source; how many of its items nobody got, uncounted so far."""
        slot = self._slots.pop(key, None)
        return 0 if slot is None else slot.dropped + (slot.item is not None)

    def fail(self, error: BaseException) -> None:
        """Nothing more is kept, because of ``error``; the first one counts."""
        self._error = self._error or error
        for key, slot in tuple(self._slots.items()):
            slot.finished = True
            self._forget_if_done(key, slot)

    def close(self) -> None:
        """Nothing more will be taken."""
        self.closed = True

    @property
    def ready(self) -> bool:
        """Whether ``take`` has an answer, be it an item or the end."""
        over = self.closed or not self._slots
        return over or any(slot.item is not None for slot in self._slots.values())

    def take(self) -> tuple[T, int]:
        """The item of the next source, and the drops of its source since its last one."""
        for key, slot in self._slots.items():
            if slot.item is not None and not self.closed:
                item, dropped = slot.item, slot.dropped
                slot.item, slot.dropped = None, 0
                del self._slots[key]
                self._slots[key] = slot  # to the end of the queue
                self._forget_if_done(key, slot)
                return item, dropped
        if self._error is not None and not self.closed:
            raise self._error
        raise Closed

    def _forget_if_done(self, key: K, slot: _Slot[T]) -> None:
        if slot.finished and slot.item is None:
            del self._slots[key]


class RoundRobinLatestBuffer(Generic[K, T]):
    """The newest item of each of many sources, round-robin; nobody starves. For any thread.

    Each source has one slot, in which a newer item replaces an older one and the older one is
    counted. The consumer is given the item of the source that has waited longest.
    """

    def __init__(self) -> None:
        self._rounds: _Rounds[K, T] = _Rounds()
        self._changed = threading.Condition()

    def open(self, key: K) -> None:
        """A source begins.

        Raises:
            ValueError: it has begun already.
        """
        with self._changed:
            self._rounds.open(key)

    def put(self, key: K, item: T) -> bool:
        """Hand in a source's newest item; False when nobody wants it any more. Never waits."""
        with self._changed:
            kept = self._rounds.put(key, item)
            self._changed.notify_all()
            return kept

    def finish(self, key: K) -> None:
        """No more from this source; when all have finished, ``get`` raises ``Closed``."""
        with self._changed:
            self._rounds.finish(key)
            self._changed.notify_all()

    def remove(self, key: K) -> int:
        """Forget a source at once; how many of its items nobody got, uncounted so far."""
        with self._changed:
            lost = self._rounds.remove(key)
            self._changed.notify_all()
            return lost

    def fail(self, error: BaseException) -> None:
        """Nothing more is kept: when the items at hand are got, ``get`` raises ``error``."""
        with self._changed:
            self._rounds.fail(error)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> tuple[T, int]:
        """The next item, and how many of its source were dropped since its last one was got.

        Raises:
            TimeoutError: nothing came within ``timeout_s``.
            Closed: nothing more will come. Or the error that ``fail`` carried.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._rounds.ready, timeout_s):
                raise TimeoutError
            return self._rounds.take()

    def close(self) -> None:
        """Nothing more will be got."""
        with self._changed:
            self._rounds.close()
            self._changed.notify_all()
