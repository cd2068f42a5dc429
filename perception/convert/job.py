"""From results that were written before to another format, whole or with an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from oneglance.perception.convert.boxes import MOST_PIXELS, FrameBoxes
from oneglance.perception.convert.formats import Format
from oneglance.perception.convert.labelling import to_label_studio
from oneglance.perception.convert.reading import read_results
from oneglance.perception.convert.writers import WRITERS
from oneglance.streams.errors import UsageError
from oneglance.streams.output_folder import OutputFolder


def convert_results(
    source: Path,
    to: Format,
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    images: str | None = None,
) -> int:
    """Write what ``source`` holds (see ``read_results``) into the folder ``out``; returns how many
    files that were. ``size``: width and height of frames whose size the source does not say.
    ``images``: what stands before the name of an image in Label Studio.

    Raises:
        DataError, UsageError: the source cannot be read, or lacks what the format needs; or
            ``images`` is given for another format.
        SinkError: the folder holds what we did not make, or cannot be written.
    """
    if size is not None and not all(1 <= side <= MOST_PIXELS for side in size):
        raise UsageError(f"no frame is {size[0]}x{size[1]} pixels: --size WxH")
    write = WRITERS[to]
    if images is not None:
        if to is not Format.LABEL_STUDIO:
            raise UsageError(f"--images is for --to {Format.LABEL_STUDIO} alone")
        write = partial(to_label_studio, images=images)
    folder = OutputFolder(out, "convert")
    folder.check([source])
    # Read before anything is written: a source that cannot be used leaves no folder behind.
    frames = read_results(source)
    first = next(frames, None)
    return folder.refill(write(_sized(first, frames, size)))


def _sized(
    first: FrameBoxes | None, rest: Iterator[FrameBoxes], size: tuple[int, int] | None
) -> Iterator[FrameBoxes]:
    for frame in chain([] if first is None else [first], rest):
        if frame.size is None and size is not None:
            _check_size(frame, size)
        yield replace(frame, size=frame.size or size)


def _check_size(frame: FrameBoxes, size: tuple[int, int]) -> None:
    """Refuse a size that is another frame's: a box may stick out, but not by half of the frame."""
    width, height = size
    for x1, y1, x2, y2 in (box.xyxy for box in frame.boxes):
        if x1 >= width or y1 >= height or x2 > 1.5 * width or y2 > 1.5 * height:
            raise UsageError(
                f"--size {width}x{height} is not that of {frame.clip}: frame {frame.index} has a "
                f"box that reaches to {x2:g}, {y2:g}"
            )
