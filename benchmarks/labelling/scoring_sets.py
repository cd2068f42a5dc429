"""Sets to score on alone: links to images that others labelled in part, and what those show more.

A study that is given such a set trains as without it: there are no training images in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.streams.output_folder import OutputFolder

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in shares (0..1) of the image's sides."""


def write_scoring_set(
    out: Path, tasks: Sequence[Task], labelled: Iterable[tuple[Path, Sequence[tuple[Task, Box]]]]
) -> dict[Task, int]:
    """Write each image's link and boxes, of which there may be none, and ``data.yaml``.

    Returns: how many boxes of each task.

    Raises:
        SinkError: ``out`` holds what was not written by this.
    """
    numbers = {Task(cls.name): number for number, cls in enumerate(FOUR_TASKS)}
    counts = dict.fromkeys(tasks, 0)
    OutputFolder(out, "labelling").claim()
    images, labels = out / "images" / "val", out / "labels" / "val"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for path, boxes in labelled:
        lines = []
        for task, (left, top, right, bottom) in boxes:
            counts[task] += 1
            box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            lines.append(" ".join([str(numbers[task]), *(f"{side:.6f}" for side in box)]))
        (images / path.name).symlink_to(os.path.relpath(path.resolve(), images.resolve()))
        (labels / f"{path.stem}.txt").write_text("".join(f"{line}\n" for line in lines))
    content = {
        "path": ".",
        "val": "images/val",
        "labels": [task.value for task in tasks],
        "names": {number: task.value for task, number in numbers.items()},
    }
    (out / "data.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return counts
