"""How a source's packets are to be decoded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from oneglance.streams.decoding.loss_marks import LossCount
from oneglance.streams.files.transport import Loss
from oneglance.streams.options import Damaged

FindLoss = Callable[[int, int], Loss | None]
"""What was lost from the frame that begins at one byte to the one that begins at the other."""

IsWrongAt = Callable[[int], bool]
"""Whether a checksum shows that what lies around a byte is not as it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How to decode.

    ``joins``: a live source, joined in the middle: what cannot be decoded at first is none of
    ours. ``damaged``: what becomes of damaged frames. ``clock``: seconds; what
    ``DecodedFrame.arrival_s`` comes from. ``find_loss``, ``is_wrong_at``: where the packets' bytes
    can be had, and where they have checksums. ``losses``: of a source that marks what it lost
    among those bytes.
    """

    joins: bool = False
    damaged: str = Damaged.SKIP
    clock: Callable[[], float] = time.perf_counter
    find_loss: FindLoss | None = None
    is_wrong_at: IsWrongAt | None = None
    losses: LossCount | None = None
