"""What is damaged: small whole inputs of every kind, made here or taken from real clips."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks import facts
from oneglance.models.zoo import resolve_model

SHARED = facts.ROOT.parent / "shared"
CLIPS, BAGS = SHARED / "clips", SHARED / "bags"
WEIGHTS = SHARED / "weights" / "yolo26n-coco.pt"

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
    ("h264.mov", "libx264", {"g": "6", "bf": "2"}),
    ("h264.nut", "libx264", {"g": "6"}),
    ("mpeg2.ts", "mpeg2video", {}),
    ("ffv1.mkv", "ffv1", {}),
    ("vp8.webm", "libvpx", {}),
    ("moving.gif", "gif", {}),
    ("moving.apng", "apng", {}),
)

_PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8", "apng": "rgb24"}
"""By codec, where it is not yuv420p."""

_IMAGES = (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm")

_DATA = """\
path: .
train: images/train
val: images/val
names: {0: pedestrian, 1: car, 2: sign, 3: light}
labels: [pedestrian, car, sign, light]
classes: {car: car, sign: sign}
"""

_COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "train.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "pedestrian"}, {"id": 2, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 8, 20], "iscrowd": 0},
            {
                "id": 2,
                "image_id": 1,
                "category_id": 2,
                "iscrowd": 1,
                "bbox": [20, 9, 30, 20],
                "segmentation": [[20, 9, 50, 9, 50, 29]],
            },
        ],
    },
    indent=1,
)

_VOC = """\
<annotation>
  <filename>train.jpg</filename>
  <size><width>64</width><height>48</height><depth>3</depth></size>
  <object>
    <name>car</name><difficult>0</difficult>
    <bndbox><xmin>20</xmin><ymin>9</ymin><xmax>50</xmax><ymax>29</ymax></bndbox>
  </object>
</annotation>
"""

_CVAT = """\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <image id="0" name="frame_000000.jpg" width="64" height="48">
    <box label="car" xtl="20.5" ytl="9.0" xbr="50.0" ybr="29.0" occluded="0"></box>
  </image>
</annotations>
"""

_RUN = "".join(
    json.dumps(
        {
            "source": "drive.mp4",
            "frame": index,
            "timestamp_s": index / 25,
            "dropped": 0,
            "detections": [
                {
                    "task": "car",
                    "class": "car",
                    "confidence": 0.9,
                    "xyxy": [20.5, 9.0, 50.0, 29.0],
                    "track_id": 1,
                }
            ],
            "timings_ms": {"inference": 9.5},
        }
    )
    + "\n"
    for index in range(4)
)

_LABELS = "0 0.5 0.5 0.2 0.4\n1 0.25 0.25 0.1 0.1\n2 0.8 0.1 0.05 0.05\n"


@dataclass(frozen=True, slots=True)
class Seed:
    """A whole input. ``door``: see ``doors.DOORS``."""

    door: str
    name: str
    content: bytes
    text: bool = False


def all_seeds(folder: Path) -> list[Seed]:
    """Every seed; ``folder`` is where videos are encoded."""
    return [*_media(folder), *_data_sets(), *_models(), *_results()]


def write_data_set(
    folder: Path,
    *,
    data: bytes | None = None,
    labels: bytes | None = None,
    annotations: tuple[str, bytes] | None = None,
) -> Path:
    """A data set of two images in ``folder``, with a part of it given; its data.yaml.

    ``annotations``: suffix and content of the training images' labels in another form, COCO's
    ``.json`` or VOC's ``.xml``.
    """
    form = "" if annotations is None else annotations[0]
    for split in ("train", "val"):
        images, texts = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        texts.mkdir(parents=True)
        cv2.imwrite(str(images / f"{split}.jpg"), _image(len(split)))
        if annotations is not None and form == ".xml" and split == "train":
            (texts / "train.xml").write_bytes(annotations[1])
        else:
            (texts / f"{split}.txt").write_bytes(labels or _LABELS.encode())
    file = folder / "data.yaml"
    file.write_bytes(_DATA.encode() if data is None else data)
    if annotations is not None and form == ".json":
        (folder / "train.json").write_bytes(annotations[1])
        (folder / "val.json").write_text(_COCO.replace("train.jpg", "val.jpg"), encoding="utf-8")
        with file.open("a", encoding="utf-8") as text:
            text.write("annotations: {train: train.json, val: val.json}\n")
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
    bags = sorted(BAGS.iterdir()) if BAGS.is_dir() else []
    seeds += [Seed("media", f"bag-{bag.name}", bag.read_bytes()) for bag in bags]
    return seeds


def _data_sets() -> list[Seed]:
    return [
        Seed("data", "data.yaml", _DATA.encode(), text=True),
        Seed("labels", "labels.txt", _LABELS.encode(), text=True),
        Seed("annotations", "train.json", _COCO.encode(), text=True),
        Seed("annotations", "train.xml", _VOC.encode(), text=True),
    ]


def _models() -> list[Seed]:
    file = resolve_model("road4-n-416")
    checkpoints = [WEIGHTS] if WEIGHTS.is_file() else []
    return [
        Seed("model", file.name, file.read_bytes()),
        *(Seed("checkpoint", each.name, each.read_bytes()) for each in checkpoints),
    ]


def _results() -> list[Seed]:
    return [
        Seed("results", "run.jsonl", _RUN.encode(), text=True),
        Seed("results", "coco.json", _COCO.encode(), text=True),
        Seed("results", "cvat.xml", _CVAT.encode(), text=True),
    ]


def _encode(file: Path, codec: str, options: dict[str, str]) -> None:
    container_options: dict[str, Any] = (
        {"movflags": "frag_keyframe+empty_moov"} if file.name.startswith("frag") else {}
    )
    with av.open(str(file), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = _PIXELS.get(codec, "yuv420p")
        for index in range(18):
            frame = av.VideoFrame.from_ndarray(_image(index), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _image(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC))
