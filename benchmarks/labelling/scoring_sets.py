"""Sets to score on alone: links to images that others labelled in part, and what those show more.

A study that is given such a set trains as without it: there are no training images in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import yaml

from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.streams.errors import UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import replace_file

_LAST = "data.yaml"
"""What is written last."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in shares (0..1) of the image's sides."""


def check_out(out: Path) -> None:
    """Refuse a folder that is there, but for a set that was stopped half-way.

    Raises:
        UsageError: it is.
    """
    is_begun = OutputFolder(out, "labelling").marked and not (out / _LAST).exists()
    if out.exists() and not is_begun:
        raise UsageError(f"{out} exists: give another --out")


def write_scoring_set(
    out: Path, tasks: Sequence[Task], labelled: Iterable[tuple[Path, Sequence[tuple[Task, Box]]]]
) -> dict[Task, int]:
    """Write each image's link and boxes, of which there may be none, and ``data.yaml``.

    Returns: how many boxes of each task.

    Raises:
        SinkError: ``out`` holds what was not written by this.
    """
    counts = dict.fromkeys(tasks, 0)
    place = OutputFolder(out, "labelling")
    place.claim_anew(_LAST, f"{out} holds a set already: give another folder")
    images, labels = out / "images" / "val", out / "labels" / "val"
    with place.making() as note:
        for folder in (images, labels):
            folder.mkdir(parents=True)
        _write(note, labelled, counts, images.resolve())
        content = {
            "path": ".",
            "val": "images/val",
            "labels": [task.value for task in tasks],
            "names": {number: cls.name for number, cls in enumerate(FOUR_TASKS)},
        }
        replace_file(note(_LAST), yaml.safe_dump(content, sort_keys=False))  # last
    return counts


def _write(
    note: Callable[[str], Path],
    labelled: Iterable[tuple[Path, Sequence[tuple[Task, Box]]]],
    counts: dict[Task, int],
    images: Path,
) -> None:
    numbers = {Task(cls.name): number for number, cls in enumerate(FOUR_TASKS)}
    for path, boxes in labelled:
        lines = []
        for task, (left, top, right, bottom) in boxes:
            counts[task] += 1
            box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            lines.append(" ".join([str(numbers[task]), *(f"{side:.6f}" for side in box)]))
        note(f"images/val/{path.name}").symlink_to(os.path.relpath(path.resolve(), images))
        text = "".join(f"{line}\n" for line in lines)
        note(f"labels/val/{path.stem}.txt").write_text(text)
