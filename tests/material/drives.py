"""Short drives in several codings, for tests of what gets lost or damaged on the way.

The clips move, so that a frame that depends on a wrong one differs from what was filmed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from media import make_video
from oneglance.streams import ConnectOptions, Frame, Stream, StreamError, open_stream
from oneglance.streams.decoding.source import AvSource

FRAMES, GROUP, RATE = 24, 12, 25
SMALL, LARGE = (128, 96), (320, 192)


@dataclass(frozen=True)
class Coding:
    """``noticed``: by the decoder when an image's bytes were changed: H.265's never does, and
    H.264's variable-length codes may by chance fall into step again."""

    codec: str
    options: dict[str, str]
    noticed: bool = True


def x264(**more: str) -> Coding:
    group = {"g": str(GROUP), "keyint_min": str(GROUP), "sc_threshold": "0", "preset": "veryfast"}
    return Coding("libx264", {**group, "crf": "24", **more})


def x265(more: str) -> Coding:
    fixed = f"log-level=none:keyint={GROUP}:min-keyint={GROUP}:scenecut=0:pools=none:b-adapt=0"
    params = {"x265-params": f"{fixed}:frame-threads=1:{more}", "preset": "ultrafast"}
    return Coding("libx265", params, noticed=False)


CODINGS = {
    "h264": x264(bf="0"),
    "h264 b-frames": x264(bf="2", b_strategy="0"),
    "h264 cavlc": replace(x264(bf="0", profile="baseline"), noticed=False),
    "h265": x265("bframes=0"),
    "h265 b-frames": x265("bframes=2"),
    "h265 open groups": x265("bframes=3:open-gop=1"),
    "h265 threads": x265("bframes=2"),
    "mpeg4": Coding("mpeg4", {"g": str(GROUP), "bf": "0"}),
    "mpeg4 b-frames": Coding("mpeg4", {"g": str(GROUP), "bf": "2"}),
}


THREADS = {"threads": "3"}
"""Encoders code otherwise with each number of threads, and take theirs from the machine's CPUs."""


@cache
def scenery() -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 256, (40, 80, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (800, 400), interpolation=cv2.INTER_CUBIC), np.uint8)


def clip(
    folder: Path, name: str, coding: str, size: tuple[int, int] = SMALL, *, loops: int = 1
) -> Path:
    """A drive past random scenery, each frame 9 pixels further, with a ball that rolls along;
    ``loops``: so many times over."""
    shown = []
    for index in range(FRAMES):
        image = scenery()[20 : 20 + size[1], 9 * index : 9 * index + size[0]].copy()
        cv2.circle(image, (20 + 4 * index, 40 + index), 14, (20, 40 + 8 * index, 230), -1)
        shown.append(image)
    how = CODINGS[coding]
    return make_video(
        folder / name,
        codec=how.codec,
        options=how.options | THREADS,
        images=shown * loops,
        size=size,
        rate=RATE,
    )


@dataclass(frozen=True)
class Played:
    frames: list[Frame]
    damaged: int
    produced: int
    message: str


def play(path: Path, options: ConnectOptions | None = None) -> Played:
    stream = open_stream(path, options)
    assert isinstance(stream, AvSource)
    frames, message = [], ""  # type: ignore[var-annotated]
    try:
        frames.extend(stream)
    except StreamError as error:
        message = str(error)
    return Played(frames, stream.stats.damaged, stream.stats.produced, message)


def differs(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether more than 1 in 200 of the blocks of 16×16 pixels is another to the eye."""
    apart = cv2.absdiff(one, other).mean(-1)
    height, width = apart.shape
    blocks = apart.reshape(height // 16, 16, width // 16, 16).mean((1, 3))
    return bool((blocks > 12).mean() > 0.005)


def wrong(found: Played, whole: list[Frame]) -> list[int]:
    """Frames that were passed off as whole, and are others than those filmed at that time."""
    filmed = {round(frame.timestamp_s * RATE): frame.image for frame in whole}
    return [
        frame.index
        for frame in found.frames
        if frame.index != round(frame.timestamp_s * RATE)
        or differs(frame.image, filmed[frame.index])
    ]


def check_counted(found: Played, whole: Played, at: object = None) -> None:
    """Every frame of ``whole`` is counted, and those that are delivered are as they were, at their
    times; ``at``: where it was damaged, for who reads what is wrong."""
    assert len(found.frames) + found.damaged == found.produced == len(whole.frames), at
    for frame in found.frames:
        assert frame.timestamp_s == whole.frames[frame.index].timestamp_s, at
        assert not differs(frame.image, whole.frames[frame.index].image), at


def check_lost_sectors(path: Path, places: range, size: int) -> None:
    """Zeros of that ``size`` at some of those places: every frame is counted, and those that are
    delivered are as they were, at their times."""
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    for at in random.Random(1).sample(places, min(len(places), 14)):
        path.write_bytes(content[:at] + bytes(size) + content[at + size :])
        found = play(path)
        check_counted(found, whole, at)
        assert bool(found.message) == (len(found.frames) < FRAMES), at


def watch(stream: Stream) -> tuple[Played, StreamError]:
    """Play a live source until it is lost."""
    assert isinstance(stream, AvSource)
    frames = []  # type: ignore[var-annotated]
    with stream, pytest.raises(StreamError) as lost:
        frames.extend(stream)
    stats = stream.stats
    return Played(frames, stats.damaged, stats.produced, str(lost.value)), lost.value
