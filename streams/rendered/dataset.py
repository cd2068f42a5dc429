"""Rendered frames as a labelled data set, in the layout that training reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from oneglance.streams.errors import SinkError, UsageError
from oneglance.streams.frame import Image
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import output_error, replace_file
from oneglance.streams.rendered.stream import RenderedStream
from oneglance.streams.rendered.things import LABELLED
from oneglance.streams.rendered.truth import RenderedBox

CLASS_ID = {kind.value: number for number, kind in enumerate(LABELLED)}

LEAST_VISIBLE = 0.35
"""Objects less visible than this are not labelled: a person would not see them either."""

FRAMES_A_DRIVE = 4
SECONDS_APART = 4


def write_dataset(
    folder: str | os.PathLike[str],
    *,
    frames: int,
    seed: int,
    size: tuple[int, int] = (1088, 640),
    val_share: float = 0.2,
) -> Path:
    """Write ``frames`` labelled images and a ``data.yaml`` below ``folder``; returns the latter.

    Every four images are a drive of their own (town, weather, camera), four seconds apart.
    Whole drives go to ``train`` or to ``val``, so no scene is in both; ``train`` has at least
    one and, from two drives on, so has ``val`` when its share is above 0. ``size``: (width,
    height) in pixels. The same arguments give the same files. ``data.yaml`` is written last:
    without it the set is not whole.

    Raises:
        UsageError: no frame, a negative seed, a share outside 0..1, or a size that cannot be
            rendered.
        SinkError: the folder cannot be written, or holds anything but what an earlier call that
            was stopped left there.
    """
    if frames < 1 or seed < 0 or not 0 <= val_share < 1:
        raise UsageError(
            f"cannot render {frames} frames from seed {seed} with a val share of {val_share}: "
            "frames start at 1, seeds at 0, and the share is 0 or more and below 1"
        )
    root = Path(folder)
    place = OutputFolder(root, "render")
    refusal = f"{root} already holds images: give another folder"
    _drive(seed, 0, size)  # refuses a size before anything is written
    held_out = _val_drives(-(-frames // FRAMES_A_DRIVE), val_share)
    try:
        place.check()
        if place.marked and (root / "data.yaml").exists():
            raise SinkError(refusal)
        place.claim_anew("data.yaml", refusal)
        with place.making() as made:
            for split in ("train", "val"):
                made(f"images/{split}").mkdir(parents=True)
                made(f"labels/{split}").mkdir(parents=True)
            for drive in range(-(-frames // FRAMES_A_DRIVE)):
                split = "val" if drive in held_out else "train"
                stream = _drive(seed, drive, size)
                for step in range(min(FRAMES_A_DRIVE, frames - drive * FRAMES_A_DRIVE)):
                    _write(made, (split, f"{drive:05d}_{step}"), *stream.render(step + 1))
            file = made("data.yaml")
    except OSError as error:
        raise output_error(root, error) from None
    names = "\n".join(f"  {number}: {name}" for name, number in CLASS_ID.items())
    text = f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}\n"
    return place.write(file.name, text)


def _drive(seed: int, drive: int, size: tuple[int, int]) -> RenderedStream:
    """The drive of that number: seeds of neighbouring data sets do not meet."""
    (mixed,) = np.random.SeedSequence((seed, drive)).generate_state(1)
    return RenderedStream(
        seed=int(mixed), width=size[0], height=size[1], frame_rate=Fraction(1, SECONDS_APART)
    )


def _val_drives(drives: int, share: float) -> frozenset[int]:
    """Which of ``drives`` are held out, spread evenly."""
    wanted = min(max(round(drives * share), int(share > 0)), drives - 1)
    return frozenset((2 * number + 1) * drives // (2 * wanted) for number in range(wanted))


def _write(
    made: Callable[[str], Path],
    place: tuple[str, str],
    image: Image,
    boxes: tuple[RenderedBox, ...],
) -> None:
    """Image and labels of one frame; ``place``: split and name."""
    split, name = place
    height, width = image.shape[:2]
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    replace_file(made(f"images/{split}/{name}.jpg"), jpeg.tobytes())
    lines = []
    for box in boxes:
        if box.visible >= LEAST_VISIBLE:
            x1, y1, x2, y2 = box.xyxy
            centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
            extent = (x2 - x1) / width, (y2 - y1) / height
            numbers = " ".join(f"{value:.6f}" for value in (*centre, *extent))
            lines.append(f"{CLASS_ID[box.name]} {numbers}\n")
    replace_file(made(f"labels/{split}/{name}.txt"), "".join(lines).encode())
