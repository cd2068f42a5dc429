"""Between a source and what takes its frames: wait, or newest wins.

The life of a buffer is the same for both kinds:

    open ──put/get──▶ open ──finish──▶ draining ──last get──▶ over
      └───────────────── close (by the taker) ───────────────▶ over

The producer ends it with ``finish``, the taker with ``close``. What was put before ``finish``
is still given out (for newest-wins: the newest of it), then ``get`` raises the error that
``finish`` carried, or ``Closed``.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """Nothing more will come."""


class Buffer(Protocol[T]):
    """What the loop needs of a buffer; every method may be called from any thread."""

    def put(self, item: T) -> bool:
        """Hand in an item; False when the taker has closed and nobody wants it."""
        ...

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more will be put; ``error`` says why, when it was not a plain end."""
        ...

    def get(self, timeout_s: float) -> tuple[T, int]:
        """The next item, and how many were dropped since the last one was got.

        Raises:
            TimeoutError: nothing came within ``timeout_s``.
            Closed: nothing more will come. Or the error that ``finish`` carried.
        """
        ...

    def close(self) -> None:
        """Nothing more will be got; a waiting ``put`` returns False at once."""
        ...


class _Store(Generic[T]):
    """The rules without threads or time: what is kept, what is dropped, when it is over."""

    def __init__(self, capacity: int, *, newest_wins: bool) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._newest_wins = newest_wins
        self._dropped = 0
        self._error: BaseException | None = None
        self._finished = False
        self.closed = False

    @property
    def full(self) -> bool:
        """Whether the next item has to wait for room."""
        return not self._newest_wins and len(self._items) >= self._capacity

    @property
    def ready(self) -> bool:
        """Whether ``take`` has an answer, be it an item or the end."""
        return bool(self._items) or self._finished or self.closed

    def add(self, item: T) -> None:
        """Keep ``item``; with newest-wins the oldest gives way and is counted."""
        if self._finished:
            raise RuntimeError("put after finish")
        if len(self._items) >= self._capacity:
            self._items.popleft()
            self._dropped += 1
        self._items.append(item)

    def take(self) -> tuple[T, int]:
        """The oldest item kept and the drops before it; the end when there is none."""
        if self._items and not self.closed:
            dropped, self._dropped = self._dropped, 0
            return self._items.popleft(), dropped
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


class _ThreadedBuffer(Generic[T]):
    """A store that threads may share."""

    def __init__(self, store: _Store[T]) -> None:
        self._store = store
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """See ``Buffer.put``."""
        with self._changed:
            self._changed.wait_for(lambda: self._store.closed or not self._store.full)
            if self._store.closed:
                return False
            self._store.add(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """See ``Buffer.finish``."""
        with self._changed:
            self._store.finish(error)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> tuple[T, int]:
        """See ``Buffer.get``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._store.ready, timeout_s):
                raise TimeoutError
            taken = self._store.take()
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """See ``Buffer.close``."""
        with self._changed:
            self._store.close()
            self._changed.notify_all()


class BlockingBuffer(_ThreadedBuffer[T]):
    """For recordings: keeps the order, loses nothing; a full buffer makes the producer wait."""

    def __init__(self, capacity: int) -> None:
        super().__init__(_Store(capacity, newest_wins=False))


class LatestBuffer(_ThreadedBuffer[T]):
    """For live sources: holds the newest item only, counts those it replaced."""

    def __init__(self) -> None:
        super().__init__(_Store(1, newest_wins=True))
