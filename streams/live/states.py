"""The states of a live source, as data: which state may follow which, and why it did.

    connecting ──▶ live ⇄ stalled ──▶ reconnecting ──▶ live … ──▶ closed

A source that was down at the start goes from connecting to reconnecting without having been
live. Another failed attempt is a transition too (reconnecting to reconnecting), because its reason
may be a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from oneglance.streams.errors import Reason


class State(StrEnum):
    """Where a source stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.CONNECTING: frozenset({State.LIVE, State.RECONNECTING, State.CLOSED}),
    State.LIVE: frozenset({State.STALLED, State.RECONNECTING, State.CLOSED}),
    State.STALLED: frozenset({State.LIVE, State.RECONNECTING, State.CLOSED}),
    State.RECONNECTING: frozenset({State.LIVE, State.RECONNECTING, State.CLOSED}),
    State.CLOSED: frozenset(),
}
"""For each state, those that may follow it."""

_GOOD_NEWS = frozenset({Reason.PLAYING, Reason.CLOSED, Reason.ENDED})


class IllegalTransition(RuntimeError):
    """A bug of ours: a source cannot go from this state to that one."""


@dataclass(frozen=True, slots=True)
class Event:
    """A source went from one state to another.

    ``time_s``: on the source's clock (the host's monotonic one). ``detail``: a sentence for
    people, without any credential; "" where the reason says all.
    """

    source: str
    before: State
    after: State
    reason: Reason
    time_s: float
    detail: str = ""

    @property
    def level(self) -> int:
        """How loud to log it: ``logging.INFO`` or ``logging.WARNING``."""
        return logging.INFO if self.reason in _GOOD_NEWS else logging.WARNING

    def __str__(self) -> str:
        transition = f"{self.before} → {self.after}"
        if self.source in self.detail:
            return f"{transition}: {self.detail}"
        return f"{self.source}: {transition}: {self.detail or self.reason}"


class StateMachine:
    """One source's way through its states. Not for several threads at once.

    >>> machine = StateMachine("camera", time_s=0.0)
    >>> print(machine.transition(State.LIVE, Reason.PLAYING, time_s=1.5))
    camera: connecting → live: frames come
    """

    def __init__(self, source: str, *, time_s: float) -> None:
        self._source = source
        self.state = State.CONNECTING
        self.since_s = time_s

    def transition(self, after: State, reason: Reason, *, time_s: float, detail: str = "") -> Event:
        """Go to the state ``after``.

        Raises:
            IllegalTransition: there is none; nothing has changed.
        """
        if after not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"{self._source}: {self.state} → {after} ({reason})")
        event = Event(self._source, self.state, after, reason, time_s, detail)
        self.state, self.since_s = after, time_s
        return event
