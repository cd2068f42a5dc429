"""The frames that were picked, as a data set: images, pre-labels, why, and a page to look at."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from oneglance.models.tasks import CLASSES, Task
from oneglance.perception.convert.boxes import Box, FrameBoxes
from oneglance.perception.convert.formats import to_yolo
from oneglance.perception.convert.names import ClipNames
from oneglance.perception.mining.looks import to_jpeg
from oneglance.perception.mining.reasons import Candidate, Reason
from oneglance.streams.frame import Frame
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import output_error

LIST = "picked.jsonl"
PAGE = "index.html"
WHOLE = "data.yaml"
"""Written last: where it is there, all is."""


@dataclass(frozen=True, slots=True)
class Picked:
    """A frame that was picked: its ``image`` is named from the data set's folder, with ``/``."""

    image: str
    clip: str
    index: int
    timestamp_s: float
    size: tuple[int, int]
    reasons: Mapping[Reason, float]
    boxes: tuple[Box, ...]


def write_mined(
    folder: OutputFolder, frames: Iterable[tuple[Candidate, Frame]], *, sure: float, about: str
) -> list[Picked]:
    """Write a data set into a folder that was claimed; ``data.yaml`` is last: without it the set
    is not whole.

    ``images/train/CLIP_000000.jpg``; ``labels/train/CLIP_000000.txt`` with the boxes of
    confidence ``sure`` and more, tasks being ``partial``: a box is true, no box says nothing;
    ``picked.jsonl`` with every box and the reasons, which ``oneglance convert`` reads;
    ``index.html`` to look at. ``about``: a line on where it comes from.

    Raises:
        SinkError: it cannot be written.
    """
    names, picked = ClipNames(), list[Picked]()
    try:
        with folder.making() as note:
            for inside in ("images/train", "labels/train"):
                note(inside).mkdir(parents=True, exist_ok=True)
            for one, frame in frames:
                name = f"images/train/{names(one.clip)}_{one.index:06}.jpg"
                note(name)
                folder.write(name, to_jpeg(frame.image))
                picked.append(
                    Picked(
                        image=name,
                        clip=one.clip,
                        index=one.index,
                        timestamp_s=frame.timestamp_s,
                        size=frame.size,
                        reasons=dict(one.reasons),
                        boxes=one.boxes,
                    )
                )
            for name, content in (
                *_labels(picked, sure),
                (LIST, "".join(f"{json.dumps(_line(one))}\n" for one in picked)),
                (PAGE, page(picked, sure=sure, about=about)),
                (WHOLE, _data_yaml(picked, sure, about)),
            ):
                note(name)
                folder.write(name, content)
    except OSError as error:
        raise output_error(folder.name, error) from None
    return picked


def page(picked: Sequence[Picked], *, sure: float, about: str) -> str:
    """A page that shows each image with its boxes, and why it was picked: whole lines are
    pre-labels, dashed ones were not sure enough."""
    shown = "".join(_figure(one, sure) for one in picked)
    return (
        '<!doctype html>\n<meta charset="utf-8"><title>Picked by oneglance mine</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{len(picked)} frames</h1><p>{html.escape(about)}</p>\n"
        f"<main>\n{shown}</main>\n"
    )


_STYLE = (
    "body{font:14px sans-serif;margin:1em}main{display:grid;gap:1em;grid-template-columns:"
    "repeat(auto-fill,minmax(420px,1fr))}figure{margin:0}svg{width:100%;display:block}"
    "rect{fill:none;stroke:#ff0;stroke-width:2;vector-effect:non-scaling-stroke}"
    "rect.unsure{stroke:#f60;stroke-dasharray:6 4}code{font-size:12px}"
)


def _figure(one: Picked, sure: float) -> str:
    width, height = one.size
    boxes = "".join(
        f'<rect x="{b.xyxy[0]:.1f}" y="{b.xyxy[1]:.1f}" width="{b.xyxy[2] - b.xyxy[0]:.1f}" '
        f'height="{b.xyxy[3] - b.xyxy[1]:.1f}"{"" if b.confidence >= sure else " class=unsure"}>'
        f"<title>{html.escape(b.class_name)} {b.confidence:.2f}</title></rect>"
        for b in one.boxes
    )
    why = ", ".join(f"{reason} {strength:.2f}" for reason, strength in one.reasons.items())
    return (
        f'<figure><svg viewBox="0 0 {width} {height}"><image href="{html.escape(one.image)}" '
        f'width="{width}" height="{height}"/>{boxes}</svg><figcaption><b>{why}</b><br>'
        f"<code>{html.escape(one.clip)}, frame {one.index}, {one.timestamp_s:.2f} s</code>"
        "</figcaption></figure>\n"
    )


def _labels(picked: Sequence[Picked], sure: float) -> Iterator[tuple[str, str]]:
    frames = (
        FrameBoxes(
            one.clip,
            one.index,
            one.timestamp_s,
            one.size,
            tuple(_inside(box, one.size) for box in one.boxes if box.confidence >= sure),
            one.image,
        )
        for one in picked
    )
    return ((name, content) for name, content in to_yolo(frames) if name != "classes.txt")


def _inside(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that the image shows: a data set's sides are from 0 to 1."""
    x1, y1, x2, y2 = box.xyxy
    width, height = size
    x1, x2 = (min(max(side, 0.0), float(width)) for side in (x1, x2))
    y1, y2 = (min(max(side, 0.0), float(height)) for side in (y1, y2))
    return replace(box, xyxy=(x1, y1, x2, y2))


def _line(one: Picked) -> dict[str, object]:
    return {
        "image": one.image,
        "source": one.clip,
        "frame": one.index,
        "timestamp_s": round(one.timestamp_s, 6),
        "size": list(one.size),
        "reasons": {reason.value: round(value, 4) for reason, value in one.reasons.items()},
        "detections": [
            {
                "task": box.task,
                "class": box.class_name,
                "confidence": round(box.confidence, 4),
                "xyxy": [round(side, 2) for side in box.xyxy],
                "track_id": box.track_id,
            }
            for box in one.boxes
        ],
    }


def _data_yaml(picked: Sequence[Picked], sure: float, about: str) -> str:
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(CLASSES))
    found = {box.task for one in picked for box in one.boxes if box.confidence >= sure}
    # Training refuses a task of which there is no box at all.
    unseen = "" if found else "  # no pre-label yet\n"
    labels = "".join(
        f"  {'' if task in found or not found else '# no box yet: '}{task}: partial\n"
        for task in Task
    )
    return (
        f"# {' '.join(about.split())}\n"
        f"# Pre-labels: what the network was sure of ({sure:g} and more). A person makes labels\n"
        "# of them; a task in which every object has its box then is complete, not partial.\n"
        f"path: .\ntrain: images/train\nnames:\n{names}labels:\n{unseen}{labels}"
    )
