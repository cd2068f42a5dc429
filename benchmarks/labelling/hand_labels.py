"""Labels by hand for what some sets' val images show and do not label, to score on.

    python -m benchmarks.labelling.hand_labels benchmarks/data/unlabelled-signs.csv \
        --images ../shared/data --out runs/signs-others

The table has a row a thing: ``task,image,left,top,right,bottom``, in pixels, each image by its
path in the folder that --images gives. Of every folder of which an image is named, all images are
in the new set: those without a row show nothing of the table's tasks.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.labelling.scoring_sets import Box, check_out, write_scoring_set
from benchmarks.options import in_words
from oneglance.models.tasks import Task
from oneglance.models.training.data.datasets import IMAGE_SUFFIXES
from oneglance.streams.errors import DataError, OneglanceError
from oneglance.streams.files.images import read_image

COLUMNS = ["task", "image", "left", "top", "right", "bottom"]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="where the images' paths begin")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(words)
    try:
        check_out(options.out)
        boxes = read_table(options.table, options.images)
        images = images_beside(boxes)
        named = {task for things in boxes.values() for task, _ in things}
        tasks = [task for task in Task if task in named]
        counts = write_scoring_set(options.out, tasks, ((p, boxes.get(p, [])) for p in images))
    except (OneglanceError, OSError) as error:
        print(f"hand_labels: {in_words(error)}", file=sys.stderr)
        return 2
    counted = ", ".join(f"{count} of {task}" for task, count in counts.items())
    print(f"{counted} on {len(boxes)} of {len(images)} images in {options.out}")
    return 0


def read_table(table: Path, root: Path) -> dict[Path, list[tuple[Task, Box]]]:
    """The boxes of each image that has any.

    Raises:
        DataError: no such table, another table, an image that is not there, or a box that is none
            or leaves its image; with the file and line.
    """
    boxes: dict[Path, list[tuple[Task, Box]]] = {}
    try:
        with table.open(newline="", encoding="utf-8") as content:
            rows = csv.DictReader(content)
            if rows.fieldnames != COLUMNS:
                raise DataError(f"{table}:1: the columns must be {','.join(COLUMNS)}")
            for row in rows:
                path, thing = _read_row(row, root, f"{table}:{rows.line_num}")
                boxes.setdefault(path, []).append(thing)
    except OSError as error:
        raise DataError(f"cannot read {table}: {error.strerror}") from None
    if not boxes:
        raise DataError(f"{table} labels nothing")
    return boxes


def images_beside(named: Iterable[Path]) -> list[Path]:
    """All images of the folders that hold those named.

    Raises:
        DataError: two folders have an image of the same name, which one set cannot hold.
    """
    folders = sorted({path.parent for path in named})
    images = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    if twice := [name for name, count in Counter(p.name for p in images).items() if count > 1]:
        raise DataError(f"several folders have an image {twice[0]}: label them in tables apart")
    return images


def _read_row(row: dict[str, str], root: Path, place: str) -> tuple[Path, tuple[Task, Box]]:
    path = root / (row["image"] or "")
    image = read_image(path)
    if image is None:
        raise DataError(f"{place}: cannot read image {path}")
    height, width = image.shape[:2]
    try:
        task = Task(row["task"])
        left, top, right, bottom = (float(row[side]) for side in COLUMNS[2:])
    except (TypeError, ValueError):
        raise DataError(f"{place}: a task and four numbers are needed") from None
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise DataError(f"{place}: the box is empty or leaves the image of {width}×{height}")
    return path, (task, (left / width, top / height, right / width, bottom / height))


if __name__ == "__main__":
    sys.exit(main())
