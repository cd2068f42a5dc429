"""What is damaged: small whole inputs of every kind, made here or taken from real clips."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks import facts
from oneglance.models.zoo import resolve_model

CLIPS = facts.ROOT.parent / "shared" / "clips"

_CLIP_BYTES = 300_000
"""So much of the beginning of a real clip is enough to have many packets in it."""

_VIDEOS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("h264.mp4", "libx264", {"g": "6"}),
    ("fragments.mp4", "libx264", {"g": "6"}),
    ("h264.ts", "libx264", {"g": "6"}),
    ("h264.mkv", "libx264", {"g": "6", "bf": "2"}),
    ("h264.avi", "libx264", {"g": "6", "bf": "2"}),
    ("h264.flv", "libx264", {"g": "6"}),
    ("h265.mp4", "libx265", {"g": "6", "x265-params": "log-level=none"}),
    ("h265.ts", "libx265", {"g": "6", "x265-params": "log-level=none"}),
    ("mpeg4.avi", "mpeg4", {"g": "6"}),
    ("mpeg4.mp4", "mpeg4", {"g": "6"}),
    ("mpeg2.mpg", "mpeg2video", {}),
    ("mjpeg.avi", "mjpeg", {}),
    ("vp9.webm", "libvpx-vp9", {}),
    ("raw.h264", "libx264", {"g": "6"}),
)

_IMAGES = (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm")

_DATA = """\
path: .
train: images/train
val: images/val
names: {0: pedestrian, 1: car, 2: sign, 3: light}
labels: [pedestrian, car, sign, light]
classes: {car: car, sign: sign}
"""

_LABELS = "0 0.5 0.5 0.2 0.4\n1 0.25 0.25 0.1 0.1\n2 0.8 0.1 0.05 0.05\n"


@dataclass(frozen=True, slots=True)
class Seed:
    """A whole input. ``door``: media, data, labels or model."""

    door: str
    name: str
    content: bytes
    text: bool = False


def all_seeds(folder: Path) -> list[Seed]:
    """Every seed; ``folder`` is where videos are encoded."""
    return [*_media(folder), *_data_sets(), *_models()]


def write_data_set(folder: Path, *, data: bytes | None = None, labels: bytes | None = None) -> Path:
    """A data set of two images in ``folder``, with a part of it given; its data.yaml."""
    for split in ("train", "val"):
        images, texts = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        texts.mkdir(parents=True)
        cv2.imwrite(str(images / f"{split}.jpg"), _image(len(split)))
        (texts / f"{split}.txt").write_bytes(labels or _LABELS.encode())
    file = folder / "data.yaml"
    file.write_bytes(_DATA.encode() if data is None else data)
    return file


def _media(folder: Path) -> list[Seed]:
    seeds = []
    for name, codec, options in _VIDEOS:
        file = folder / name
        _encode(file, codec, options)
        seeds.append(Seed("media", name, file.read_bytes()))
    for suffix in _IMAGES:
        _, content = cv2.imencode(suffix, _image(3))
        seeds.append(Seed("media", f"image{suffix}", content.tobytes()))
    for clip in sorted(CLIPS.rglob("*.*")) if CLIPS.is_dir() else []:
        if clip.suffix in {".mp4", ".mkv", ".webm"}:
            with clip.open("rb") as file_:
                seeds.append(Seed("media", f"clip-{clip.name}", file_.read(_CLIP_BYTES)))
    return seeds


def _data_sets() -> list[Seed]:
    return [
        Seed("data", "data.yaml", _DATA.encode(), text=True),
        Seed("labels", "labels.txt", _LABELS.encode(), text=True),
    ]


def _models() -> list[Seed]:
    file = resolve_model("road4-n-416")
    return [Seed("model", file.name, file.read_bytes())]


def _encode(file: Path, codec: str, options: dict[str, str]) -> None:
    container_options: dict[str, Any] = (
        {"movflags": "frag_keyframe+empty_moov"} if file.name.startswith("frag") else {}
    )
    with av.open(str(file), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(18):
            frame = av.VideoFrame.from_ndarray(_image(index), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _image(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC))
