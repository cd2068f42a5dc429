"""Rendered frames as a labelled data set, in the layout that training reads."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import cv2

from oneglance.streams.errors import SinkError
from oneglance.streams.rendered import RenderedBox, RenderedStream
from oneglance.streams.scene import LABELLED, Kind

CLASS_ID = {kind.value: i for i, kind in enumerate(k for k in Kind if k in LABELLED)}

LEAST_VISIBLE = 0.35
"""Objects less visible than this are not labelled: a person would not see them either."""

FRAMES_A_DRIVE = 6


def write_dataset(
    folder: str | os.PathLike[str],
    *,
    frames: int,
    seed: int,
    size: tuple[int, int] = (1088, 640),
    val_share: float = 0.2,
) -> Path:
    """Write ``frames`` labelled images and a ``data.yaml`` below ``folder``; returns the latter.

    Every six images are a drive of their own, three seconds apart; whole drives go to train
    or to val, so no scene is in both. ``size``: (width, height) in pixels.

    Raises:
        SinkError: the folder cannot be written, or already holds a data set.
    """
    root = Path(folder)
    file = root / "data.yaml"
    if file.exists():
        raise SinkError(f"{root} already holds a data set: give another folder")
    try:
        for split in ("train", "val"):
            (root / "images" / split).mkdir(parents=True, exist_ok=True)
            (root / "labels" / split).mkdir(parents=True, exist_ok=True)
        for number in range(frames):
            drive, step = divmod(number, FRAMES_A_DRIVE)
            split = "val" if drive % max(2, round(1 / val_share)) == 1 else "train"
            stream = RenderedStream(
                seed=seed * 10_000 + drive, width=size[0], height=size[1], frame_rate=Fraction(1, 3)
            )
            _write(root, split, f"{drive:04d}_{step}", *stream.render(step + 1))
        names = "\n".join(f"  {i}: {name}" for name, i in CLASS_ID.items())
        file.write_text(
            f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}\n", encoding="utf-8"
        )
    except OSError as error:
        raise SinkError(f"cannot write {root}: {error.strerror}") from None
    return file


def _write(
    root: Path, split: str, name: str, image: cv2.typing.MatLike, boxes: tuple[RenderedBox, ...]
) -> None:
    height, width = image.shape[:2]
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    (root / "images" / split / f"{name}.jpg").write_bytes(jpeg.tobytes())
    lines = []
    for box in boxes:
        if box.visible >= LEAST_VISIBLE:
            x1, y1, x2, y2 = box.xyxy
            centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
            extent = (x2 - x1) / width, (y2 - y1) / height
            numbers = " ".join(f"{value:.6f}" for value in (*centre, *extent))
            lines.append(f"{CLASS_ID[box.name]} {numbers}\n")
    (root / "labels" / split / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
