"""How a source's packets are to be decoded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from oneglance.streams.decoding.loss_marks import LossCount
from oneglance.streams.files.avi_index import AviIndex
from oneglance.streams.files.layout import Look
from oneglance.streams.files.transport import Loss
from oneglance.streams.options import Damaged

FindLoss = Callable[[int, int | None], Loss | None]
"""What was lost from the frame that begins at one byte to the one that begins at the other (None:
to the end)."""

STRICT = {"mjpeg": "explode", "apng": "crccheck+explode"} | dict.fromkeys(
    ("msmpeg4", "msmpeg4v1", "msmpeg4v2", "wmv1", "wmv2"), "bitstream+buffer"
)
"""Decoders that play on over wrong codes or checksums unless asked to look (``err_detect``)."""

NOTICING = frozenset(("h264", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "ffv1", "flv", "h263"))
"""Decoders that notice most wrong bytes, and know whose they are better than a checksum over many
frames does."""

PARSED = frozenset(("mpegts", "hls", "rtsp"))
"""Formats whose packets libav splits anew: a flag comes to lie on the packet before the damaged."""

OF_PARTS = "mpjpeg"
"""The format of a camera's images over HTTP, one part of an answer each; libav may call the last
one cut when it is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How to decode.

    ``joins``: a live source, joined in the middle: what cannot be decoded at first is none of
    ours. ``damaged``: what becomes of damaged frames. ``clock``: seconds; what
    ``DecodedFrame.arrival_s`` comes from. ``find_loss``, ``look``: where the packets' bytes can
    be had, and where their container shows what is wrong with them. ``losses``: of a source that
    marks what it lost among those bytes. ``index``: of an AVI. ``is_cut``: the last packet is one
    in part, unless ``find_loss`` knows better. ``ends_early``: asked at the end, whether frames are
    missing there. ``find_end``: likewise, up to which time, None where it is not known.
    """

    joins: bool = False
    damaged: str = Damaged.SKIP
    clock: Callable[[], float] = time.perf_counter
    find_loss: FindLoss | None = None
    look: Look | None = None
    losses: LossCount | None = None
    index: AviIndex | None = None
    is_cut: bool = False
    ends_early: Callable[[], bool] = lambda: False
    find_end: Callable[[], int | None] = lambda: None
