"""When frames are shown that are given as they are decoded, some of them unreadable or gone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from oneglance.streams.decoding.times.display_order import Place
from oneglance.streams.decoding.times.shown_order import ShownAt, ShownOrder

MOST = 64
Row = list[tuple[int, bool, bool]]
"""When each is shown in its group, and whether it begins one, and is a B-frame."""

PYRAMID: Row = [(0, True, False), (4, False, False), (2, False, True), (1, False, True)]
PYRAMID += [(3, False, True), (7, False, False), (5, False, True), (6, False, True)]
GROUPS = PYRAMID + PYRAMID + PYRAMID[:5]
SLOTS = [at // 8 * 8 + shown_at for at, (shown_at, _, _) in enumerate(GROUPS)]


def place(at: int, step: int = 2) -> Place:
    shown_at, begins, is_b = GROUPS[at]
    return Place(step * shown_at % MOST, MOST, begins, is_b)


def shown(places: Mapping[int, Place | None], **keys: bool) -> dict[int, ShownAt]:
    """By the number of each frame that came."""
    order = ShownOrder(lambda number: GROUPS[number][1]) if keys.get("index") else ShownOrder()
    found = [each for number, own in places.items() for each in order.enters(number, own)]
    return dict(zip(places, found + order.rest(len(GROUPS)), strict=True))


@pytest.mark.parametrize("step", [1, 2])
def test_each_is_shown_where_its_number_says(step: int) -> None:
    found = shown({at: place(at, step) for at in range(len(GROUPS))})
    assert found == {at: ShownAt(slot) for at, slot in enumerate(SLOTS)}


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("lost", range(1, len(GROUPS)))
def test_what_cannot_be_read_is_shown_where_none_else_is(lost: int, index: bool) -> None:
    places = {at: None if at == lost else place(at) for at in range(len(GROUPS))}
    found = shown(places, index=index)
    assert found == {at: ShownAt(slot) for at, slot in enumerate(SLOTS)}


@pytest.mark.parametrize("count", [1, 3, 6, 9])
@pytest.mark.parametrize("gone", range(1, len(GROUPS)))
def test_what_is_gone_moves_no_other(gone: int, count: int) -> None:
    places = {at: place(at) for at in range(len(GROUPS)) if not gone <= at < gone + count}
    found = shown(places, index=True)
    assert found == {at: ShownAt(SLOTS[at]) for at in places}


@pytest.mark.parametrize("number", [0, 8, 18, 62])
@pytest.mark.parametrize("lost", [2, 3, 11, 12])
def test_one_whose_number_is_that_of_another_is_wrong_or_that_one(lost: int, number: int) -> None:
    places = {at: place(at) for at in range(len(GROUPS))}
    places[lost] = Place(number, MOST, begins=False, is_b=True)
    found = shown(places)
    assert found[lost].is_wrong
    assert sum(each.is_wrong for each in found.values()) <= 2
    for at, each in found.items():
        assert each.is_wrong or each == ShownAt(SLOTS[at])


def test_one_that_says_a_place_in_the_past_is_wrong_though_others_are_gone() -> None:
    places = {at: place(at) for at in range(len(GROUPS)) if at != 12}
    places[10] = Place(0, MOST, begins=False, is_b=True)
    found = shown(places, index=True)
    assert found.pop(10).is_wrong  # where exactly, nobody knows: one is gone beside it
    assert found == {at: ShownAt(SLOTS[at]) for at in places if at != 10}


def test_what_cannot_be_a_place_ends_no_row() -> None:
    places = {at: place(at) for at in range(len(GROUPS))}
    places[11] = Place(57, MOST, begins=False)
    assert shown(places) == {at: ShownAt(slot) for at, slot in enumerate(SLOTS)}


@pytest.mark.parametrize("count", range(1, 8))
def test_what_is_gone_at_the_end_moves_none_before_it(count: int) -> None:
    order, found = ShownOrder(), []
    for at in range(len(GROUPS) - count):
        found += order.enters(at, place(at))
    found += order.rest(len(GROUPS) - count)
    assert found == [ShownAt(slot) for slot in SLOTS[:-count]]


def test_what_is_shown_as_it_is_decoded_needs_no_number() -> None:
    own = Place(0, MOST, begins=True, is_in_order=True)
    found = shown({at: None if at in (0, 7) else own for at in range(len(GROUPS))})
    assert found == {at: ShownAt(at) for at in range(len(GROUPS))}


def test_numbers_that_are_those_of_no_order_are_of_no_use() -> None:
    order, found = ShownOrder(), []
    for at in range(200):
        found += order.enters(at, Place(8 * at % MOST, MOST, begins=at == 0))
    assert not order.is_of_use
    assert found == [ShownAt(0)] + 199 * [ShownAt()]


def test_a_part_of_a_recording_begins_with_another_number() -> None:
    order, found = ShownOrder(), []
    order.begins_at(100)
    for at in range(len(GROUPS)):
        found += order.enters(100 + at, place(at))
    assert found == [ShownAt(100 + slot) for slot in SLOTS]


def test_a_recording_that_begins_inside_a_group_is_not_counted() -> None:
    order = ShownOrder()
    assert order.enters(0, Place(16, MOST, begins=False)) == [ShownAt()]
    assert not order.is_of_use
