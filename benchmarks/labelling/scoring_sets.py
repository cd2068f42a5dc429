"""Sets to score on alone: links to images that others labelled in part, and what those show more.

A study that is given such a set trains as without it: there are no training images in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from benchmarks.labelling.linked_images import LAST, label_line, link_split
from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.streams.errors import UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import replace_file

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in shares (0..1) of the image's sides."""


def check_out(out: Path) -> None:
    """Refuse a folder that is there, but for a set that was stopped half-way.

    Raises:
        UsageError: it is.
    """
    is_begun = OutputFolder(out, "labelling").marked and not (out / LAST).exists()
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
    place.claim_anew(LAST, f"{out} holds a set already: give another folder")
    numbers = {Task(cls.name): number for number, cls in enumerate(FOUR_TASKS)}

    def lines(boxes: Sequence[tuple[Task, Box]]) -> Iterator[str]:
        for task, (left, top, right, bottom) in boxes:
            counts[task] += 1
            yield label_line(numbers[task], (left, top, right - left, bottom - top), (1, 1))

    with place.making() as note:
        link_split(out, "val", ((path, lines(boxes)) for path, boxes in labelled), note)
        content = {
            "path": ".",
            "val": "images/val",
            "labels": [task.value for task in tasks],
            "names": {number: cls.name for number, cls in enumerate(FOUR_TASKS)},
        }
        replace_file(note(LAST), yaml.safe_dump(content, sort_keys=False))  # last
    return counts
