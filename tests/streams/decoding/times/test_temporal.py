"""When frames of MPEG-2 are shown in a container that counts packets."""

from __future__ import annotations

import pytest

from oneglance.streams.decoding.times.temporal import TemporalTimes

I, P, B = 1, 2, 3  # noqa: E741 - as the standard names them
SHOWN = [(I, 0), (P, 3), (B, 1), (B, 2), (I, 2), (B, 0), (B, 1), (P, 5), (B, 3), (B, 4)]
SLOTS = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]


def frame(kind: int, number: int) -> memoryview:
    group = b"\0\0\1\xb8\0\x08\0\0" if kind == I else b""
    head = bytes([number >> 2, (number & 3) << 6 | kind << 3])
    return memoryview(group + b"\0\0\1\0" + head + b"\xff" * 9)


def test_a_group_begins_behind_all_that_was_decoded_before_it() -> None:
    times = TemporalTimes()
    assert [times.slots(frame(*each), dts) for dts, each in enumerate(SHOWN)] == [
        [slot] for slot in SLOTS
    ]


@pytest.mark.parametrize("lost", range(len(SHOWN)))
def test_one_whose_head_is_lost_is_shown_where_none_is(lost: int) -> None:
    times, found = TemporalTimes(), []
    for dts, each in enumerate(SHOWN):
        found.append(times.slots(memoryview(bytes(20)) if dts == lost else frame(*each), dts))
    # How many follow one of which none came yet nobody knows.
    expected = [[slot] for slot in SLOTS]
    assert found == expected or (lost == 1 and found[0] == expected[0])


@pytest.mark.parametrize("gone", [2, 4, 7])
def test_what_is_gone_moves_no_other(gone: int) -> None:
    times = TemporalTimes()
    found = {dts: times.slots(frame(*each), dts) for dts, each in enumerate(SHOWN) if dts != gone}
    assert found == {dts: [SLOTS[dts]] for dts in found}


def test_without_groups_the_place_must_do() -> None:
    assert TemporalTimes().slots(frame(P, 3), 0) is None
