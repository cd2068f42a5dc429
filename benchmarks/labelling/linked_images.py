"""Images of a set, linked into another one beside label files of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

LAST = "data.yaml"
"""What is written last of a set."""

Sides = Sequence[float]
"""Left, top, width and height in pixels."""


def link_split(
    folder: Path,
    split: str,
    labelled: Iterable[tuple[Path, Iterable[str]]],
    note: Callable[[str], Path],
) -> None:
    """Link each image into ``images/SPLIT`` and write its lines into ``labels/SPLIT``, which are
    made. ``note``: of ``OutputFolder.making``."""
    images, labels = folder / "images" / split, folder / "labels" / split
    for each in (images, labels):
        each.mkdir(parents=True)
    for image, lines in labelled:
        link = os.path.relpath(image.resolve(), images.resolve())
        note(f"images/{split}/{image.name}").symlink_to(link)
        text = "".join(f"{line}\n" for line in lines)
        note(f"labels/{split}/{image.stem}.txt").write_text(text)


def label_line(class_id: int, sides: Sides, size: tuple[int, int]) -> str:
    """A line of a label file: centre and size in shares of an image of ``size`` (width, height)."""
    left, top, width, height = sides
    centre = (left + width / 2) / size[0], (top + height / 2) / size[1]
    shares = (*centre, width / size[0], height / size[1])
    return " ".join([str(class_id), *(f"{each:.6f}" for each in shares)])
