"""Real videos and images for tests, small and quick to make, whose frames can be distinguished.

Frame ``i`` is grey of level ``30 + 8·(i mod 25)`` under noise of ±20: codecs here shift a mean
by less than 4, half the step between neighbours, and the noise makes packets large enough to
cut in the middle.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

KINDS = 25
"""Frames that can be distinguished; the 26th looks like the first."""

_QUIET = {"libx265": {"x265-params": "log-level=none"}}


def numbered_image(index: int, size: tuple[int, int] = (64, 48)) -> Pixels:
    """The image of frame ``index``, ``size`` being ``(width, height)``."""
    width, height = size
    noise = np.random.default_rng(index).integers(-20, 21, (height, width, 1))
    grey = np.clip(30 + 8 * (index % KINDS) + noise, 0, 255).astype(np.uint8)
    return np.repeat(grey, 3, axis=2)


def index_of(image: npt.NDArray[np.generic]) -> int:
    """Which frame this is an image of, modulo ``KINDS``.

    >>> index_of(numbered_image(7))
    7
    """
    return round((float(image.mean()) - 30) / 8)


def odd_sampling(jpeg: bytes) -> bytes:
    """A JPEG with one byte wrong, for which libav says "not yet implemented" (PATCHWELCOME)."""
    factors = jpeg.index(b"\xff\xc0") + 11  # of the first of its three components
    return jpeg[:factors] + b"\x33" + jpeg[factors + 1 :]


def large_jpeg_ls(jpeg: bytes) -> bytes:
    """A JPEG with a few bytes wrong, for which libav says "function not implemented" (ENOSYS)."""
    return jpeg[:2] + b"\xff\xf8\x00\x04\x04\x00" + jpeg[8:]


UNKNOWN_TO_LIBAV = [odd_sampling, large_jpeg_ls]
"""Ways to damage a JPEG such that its decoder does not call it invalid."""


def make_video(
    path: Path,
    *,
    frames: int = 25,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 25,
    times_s: Sequence[Fraction] | None = None,
    images: Sequence[Pixels] | None = None,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    audio_s: float = 0.0,
) -> Path:
    """Encode a video; the suffix of ``path`` chooses the container.

    ``times_s``: presentation times, multiples of 1/1000 s, for a variable rate. ``images``
    replaces the grey ones. ``audio_s``: seconds of silence beside the video. ``options`` go to
    the encoder (``{"g": "5", "bf": "0"}``), ``container_options`` to the container
    (``{"movflags": "faststart"}``).
    """
    shown = images if images is not None else [numbered_image(i, size) for i in range(frames)]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(
            codec, rate=Fraction(rate), options={**_QUIET.get(codec, {}), **(options or {})}
        )
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], pix_fmt
        stream.bit_rate = 0 if codec.startswith("libx26") else 4_000_000
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16000) if audio_s else None
        for index, image in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.time_base = Fraction(1, 1000) if times_s is not None else 1 / Fraction(rate)
            frame.pts = index if times_s is None else int(times_s[index] * 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for start in range(0, int(audio_s * 16000), 1024):
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), "fltp", "mono"
                )
                silence.sample_rate, silence.pts = 16000, start
                container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def make_tracks(
    path: Path, *, sizes: Sequence[tuple[int, int]], frames: int = 3, titles: Sequence[str] = ()
) -> Path:
    """One file with a video of each size, as cars with several cameras record it."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, (width, height) in enumerate(sizes):
            stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            if titles:
                stream.metadata["title"] = titles[number]
            streams.append(stream)
        for index in range(frames):
            for stream, size in zip(streams, sizes, strict=True):
                frame = av.VideoFrame.from_ndarray(numbered_image(index, size), format="bgr24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def turn(path: Path, degrees: int) -> Path:
    """Ask players to show an mp4 or mov turned clockwise, as phones do: rewrites its tkhd."""
    one, sides = (
        1 << 16,
        {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)},
    )
    a, b, c, d = (one * side for side in sides[degrees])
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def cut(path: Path, *, keep: float) -> Path:
    """Leave the first ``keep`` (0..1) of the file, as a full disk or a broken copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def photograph(seed: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A colourful image of its own for each seed, ``size`` being ``(width, height)``."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
