"""The states of a source: every legal transition, no other."""

from __future__ import annotations

import logging

import pytest

from oneglance.streams.errors import Reason
from oneglance.streams.live.states import TRANSITIONS, Event, IllegalTransition, State, StateMachine

LEGAL = [(before, after) for before in State for after in State if after in TRANSITIONS[before]]
ILLEGAL = [(b, a) for b in State for a in State if a not in TRANSITIONS[b]]


def machine_in(state: State) -> StateMachine:
    """A machine that has come to ``state`` by legal transitions."""
    way = {
        State.CONNECTING: [],
        State.LIVE: [State.LIVE],
        State.STALLED: [State.LIVE, State.STALLED],
        State.RECONNECTING: [State.RECONNECTING],
        State.CLOSED: [State.CLOSED],
    }[state]
    machine = StateMachine("front", time_s=0.0)
    for step in way:
        machine.transition(step, Reason.PLAYING, time_s=0.0)
    assert machine.state is state
    return machine


@pytest.mark.parametrize(("before", "after"), LEGAL)
def test_a_legal_transition_is_an_event_with_time_and_reason(before: State, after: State) -> None:
    machine = machine_in(before)
    event = machine.transition(after, Reason.LOST, time_s=7.5, detail="hung up")
    assert event == Event("front", before, after, Reason.LOST, 7.5, "hung up")
    assert (machine.state, machine.since_s) == (after, 7.5)


@pytest.mark.parametrize(("before", "after"), ILLEGAL)
def test_an_illegal_transition_is_refused_and_changes_nothing(before: State, after: State) -> None:
    machine = machine_in(before)
    with pytest.raises(IllegalTransition, match=f"front: {before} → {after}"):
        machine.transition(after, Reason.LOST, time_s=7.5)
    assert (machine.state, machine.since_s) == (before, 0.0)


def test_every_state_but_the_last_can_be_closed_and_none_leaves_it() -> None:
    assert all(State.CLOSED in TRANSITIONS[state] for state in State if state is not State.CLOSED)
    assert not TRANSITIONS[State.CLOSED]


def test_every_state_can_be_reached() -> None:
    assert {after for afters in TRANSITIONS.values() for after in afters} == set(State) - {
        State.CONNECTING
    }


def test_bad_news_is_louder_than_good_news() -> None:
    machine = StateMachine("front", time_s=0.0)
    assert machine.transition(State.LIVE, Reason.PLAYING, time_s=1.0).level == logging.INFO
    assert machine.transition(State.STALLED, Reason.SILENT, time_s=2.0).level == logging.WARNING


def test_an_event_names_its_source_once() -> None:
    lost = Event("front", State.LIVE, State.RECONNECTING, Reason.LOST, 1.0, "front was lost")
    assert str(lost) == "live → reconnecting: front was lost"
    bare = Event("front", State.LIVE, State.STALLED, Reason.FROZEN, 1.0)
    assert str(bare) == "front: live → stalled: frozen image"
