"""Which candidates are picked: spread over reasons and clips, no two that look the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from oneglance.perception.mining.looks import bits_apart
from oneglance.perception.mining.reasons import APART_S, Candidate, Reason


def pick(
    candidates: Sequence[Candidate], hashes: Mapping[tuple[str, int], bytes], count: int
) -> list[Candidate]:
    """At most ``count`` candidates, in the order in which they are worth most.

    The reasons take turns; each gives the strongest candidate of the clips that have the fewest
    picks so far. Left out is what lies within ``APART_S`` of a pick of its clip, and what looks the
    same as a pick of any. ``hashes``: of each candidate, by clip and frame; one without one is
    left out.
    """
    from oneglance.models.training.audit.image_stats import SAME_LOOK_BITS

    waiting = {
        reason: [
            one
            for one in sorted(candidates, key=lambda each: -each.reasons.get(reason, 0.0))
            if reason in one.reasons and (one.clip, one.index) in hashes
        ]
        for reason in Reason
    }
    picked: list[Candidate] = []
    clips: Counter[str] = Counter()

    def is_news(one: Candidate) -> bool:
        own = hashes[one.clip, one.index]
        return not any(
            (one.clip == other.clip and abs(one.timestamp_s - other.timestamp_s) < APART_S)
            or bits_apart(own, hashes[other.clip, other.index]) <= SAME_LOOK_BITS
            for other in picked
        )

    while len(picked) < count and any(waiting.values()):
        for mine in waiting.values():
            while mine and len(picked) < count:
                place = min(range(len(mine)), key=lambda n: clips[mine[n].clip])
                one = mine.pop(place)
                if is_news(one):
                    picked.append(one)
                    clips[one.clip] += 1
                    break
    return picked
