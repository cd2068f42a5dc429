"""Which candidates are picked: spread, and none that looks like another."""

from __future__ import annotations

from collections import Counter

import numpy as np

from oneglance.perception.mining.picking import pick
from oneglance.perception.mining.reasons import Candidate, Reason


def hashes(candidates: list[Candidate]) -> dict[tuple[str, int], bytes]:
    """Of images that all look different."""
    random = np.random.default_rng(0)
    return {(one.clip, one.index): random.bytes(32) for one in candidates}


def one(clip: str, index: int, **reasons: float) -> Candidate:
    found = {Reason[name.upper()]: strength for name, strength in reasons.items()}
    return Candidate(clip, index, index * 2.0, (), found)


def test_the_reasons_take_turns() -> None:
    strong = [one("a", n, uncertain=10 - n) for n in range(6)]
    rare = [one("b", n, dark=1) for n in range(2)]
    picked = pick([*strong, *rare], hashes([*strong, *rare]), 4)
    assert Counter(next(iter(each.reasons)) for each in picked) == {
        Reason.UNCERTAIN: 2,
        Reason.DARK: 2,
    }


def test_the_clips_take_turns_and_each_gives_its_strongest() -> None:
    candidates = [one(clip, n, uncertain=n + 1) for clip in "abc" for n in range(5)]
    picked = pick(candidates, hashes(candidates), 6)
    assert Counter(each.clip for each in picked) == {"a": 2, "b": 2, "c": 2}
    assert {each.index for each in picked} == {3, 4}


def test_what_looks_like_a_pick_of_any_clip_is_left_out() -> None:
    candidates = [one("a", 0, dark=2), one("b", 0, dark=1), one("c", 0, dark=0.5)]
    looks = hashes(candidates)
    looks["b", 0] = bytes([looks["a", 0][0] ^ 0b111, *looks["a", 0][1:]])
    assert [each.clip for each in pick(candidates, looks, 9)] == ["a", "c"]


def test_what_lies_within_a_second_of_a_pick_is_left_out() -> None:
    candidates = [one("a", 10, uncertain=1), one("a", 11, flicker=1)]
    candidates[1].timestamp_s = candidates[0].timestamp_s + 0.5
    assert len(pick(candidates, hashes(candidates), 9)) == 1


def test_a_frame_that_could_not_be_read_is_not_picked() -> None:
    candidates = [one("a", 0, dark=2), one("b", 0, dark=1)]
    looks = hashes(candidates)
    del looks["a", 0]
    assert [each.clip for each in pick(candidates, looks, 9)] == ["b"]


def test_fewer_are_picked_where_there_are_no_more() -> None:
    assert pick([], {}, 5) == []
    assert len(pick([one("a", 0, dark=1)], hashes([one("a", 0)]), 5)) == 1
