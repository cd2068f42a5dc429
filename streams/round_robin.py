"""Many live sources, one taker: the newest frame of each, and nobody starves.

Each source has one slot, in which a newer item replaces an older one and the older one is
counted. The taker is given the item of the source that has waited longest for its turn.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from oneglance.streams.buffers import Closed

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Slot(Generic[T]):
    item: T | None = None
    dropped: int = 0
    finished: bool = False


class _Rounds(Generic[K, T]):
    """The rules without threads or time: whose turn it is, what is dropped, when it is over."""

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
        """The item whose turn it is, and the drops of its source since its last one."""
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
    """The rounds, shared by the threads that read sources and the one that takes."""

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
        """See ``Buffer.get``; the items of all sources, fairly."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._rounds.ready, timeout_s):
                raise TimeoutError
            return self._rounds.take()

    def close(self) -> None:
        """Nothing more will be got."""
        with self._changed:
            self._rounds.close()
            self._changed.notify_all()
