"""What people made in a tool for labelling: XML of CVAT, JSON of Label Studio, JSON of COCO, which
FiftyOne and most others export.

A box that a person made has confidence 1; one of ours keeps the confidence that was written with
it. Nothing is known of tracks but what we wrote, and CVAT's own. Only rectangles are read; a file
with other shapes is refused, for their labels would be lost.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from oneglance.models.tasks import task_of
from oneglance.perception.convert.boxes import Box, FrameBoxes, safe_name
from oneglance.streams.errors import DataError, UsageError

_CLIP_FRAME = re.compile(r"(?:.*/)?frame_(\d{6,})(?:\.\w+)?", re.IGNORECASE)
_NOT_OURS = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError),
)
_CVAT_SHAPES = ("polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton")
_SHAPES = ("polygonlabels", "brushlabels", "ellipselabels", "keypointlabels", "vectorlabels")
_KNOWN = "CVAT's XML for images or video, or JSON of Label Studio or COCO"


def read_annotations(path: Path) -> Iterator[FrameBoxes]:
    """The annotated images in a file, in its order.

    Raises:
        DataError: it cannot be read, or is no ``_KNOWN`` file.
        UsageError: XML, and the extra ``eval`` is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
    read = _cvat if path.suffix.lower() == ".xml" else _json
    try:
        return iter(list(read(path, data)))  # all or nothing: before a file is written
    except _NOT_OURS as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} is no file of annotations that can be read ({what})") from None


def _json(path: Path, data: bytes) -> Iterator[FrameBoxes]:
    content: Any = json.loads(data)
    if isinstance(content, dict) and "images" in content:
        return _coco(content, content["annotations"])
    if isinstance(content, list) and all("data" in one for one in content):
        return itertools.chain.from_iterable(map(_label_studio, content))
    if isinstance(content, list) and all("image_id" in one for one in content):
        images = path.with_name("images.json")
        if not images.is_file():
            raise DataError(f"{path} holds results of COCO, whose {images.name} is not beside it")
        return _coco(json.loads(images.read_bytes()), content)
    raise DataError(f"{path} is no file of annotations: {_KNOWN} is read")


def _box(name: str, xyxy: tuple[float, float, float, float], score: object, track: object) -> Box:
    return Box(
        task=str(task_of(name) or name),
        class_name=name,
        confidence=1.0 if score in {None, ""} else float(str(score)),
        xyxy=xyxy,
        track_id=None if track in {None, ""} else int(str(track)),
    )


def _frame(
    name: str, *, size: tuple[int, int] | None, boxes: list[Box], about: dict[str, Any]
) -> FrameBoxes:
    """Of the image ``name``. ``about``: ``clip``, ``frame`` and ``timestamp_s``, where known."""
    time_s, index = about.get("timestamp_s"), int(about.get("frame", 0))
    is_of_clip = "clip" in about and PurePosixPath(name).name == f"{index:06}.jpg"
    return FrameBoxes(
        clip=str(about.get("clip", name)),
        index=index,
        timestamp_s=None if time_s is None else float(time_s),
        size=size,
        boxes=tuple(boxes),
        image=None if is_of_clip else safe_name(name),
    )


def _coco(content: dict[str, Any], annotations: list[dict[str, Any]]) -> Iterator[FrameBoxes]:
    names = {one["id"]: str(one["name"]) for one in content["categories"]}
    of_image: dict[Any, list[Box]] = {}
    for one in annotations:
        x, y, width, height = map(float, one["bbox"])
        box = _box(
            names[one["category_id"]],
            (x, y, x + width, y + height),
            one.get("score"),
            one.get("track_id"),
        )
        of_image.setdefault(one["image_id"], []).append(box)
    for image in content["images"]:
        size: tuple[int, int] | None = None
        if "width" in image:
            size = (int(image["width"]), int(image["height"]))
        found = of_image.get(image["id"], [])
        yield _frame(str(image["file_name"]), size=size, boxes=found, about=image)


def _label_studio(task: dict[str, Any]) -> Iterator[FrameBoxes]:
    """What a person made of a task, or the prediction where nobody did."""
    about = task["data"]
    address = str(about["image"])
    name = unquote(address.partition("?d=")[2] or address.partition("?")[0])
    done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
    regions = [*task.get("predictions", ()), *done][-1:]
    size: tuple[int, int] | None = None
    boxes = []
    for region in regions[0]["result"] if regions else ():
        if region.get("type") in _SHAPES:
            raise ValueError(f"{name} has {region['type']}: only rectangles are read")
        if region.get("type") != "rectanglelabels":
            continue  # what is said of the whole image, or of nothing in it
        value = region["value"]
        if value.get("rotation"):
            raise ValueError(f"a rectangle of {name} is turned")
        size = (int(region["original_width"]), int(region["original_height"]))
        x, y = value["x"] * size[0] / 100, value["y"] * size[1] / 100
        width, height = value["width"] * size[0] / 100, value["height"] * size[1] / 100
        found = re.search(r"track_id (\d+)", " ".join(region.get("meta", {}).get("text", ())))
        box = _box(
            str(value["rectanglelabels"][0]),
            (x, y, x + width, y + height),
            region.get("score"),
            None if found is None else found[1],
        )
        boxes.append(box)
    yield _frame(name, size=size, boxes=boxes, about=about)


def _cvat(path: Path, data: bytes) -> Iterator[FrameBoxes]:
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError:
        raise UsageError("defusedxml is not installed: pip install 'oneglance[eval]'") from None
    try:
        root: Any = ElementTree.fromstring(data)
    except (ElementTree.ParseError, DefusedXmlException, LookupError) as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if root.tag != "annotations":
        raise DataError(f"{path} is no file of annotations: {_KNOWN} is read")
    for shape in _CVAT_SHAPES:
        if next(root.iter(shape), None) is not None:
            raise ValueError(f"it holds <{shape}>: only boxes are read")
    yield from _cvat_images(path.stem, root)
    yield from _cvat_tracks(path.stem, root)


def _cvat_images(clip: str, root: Any) -> Iterator[FrameBoxes]:
    for image in root.iter("image"):
        boxes = [_cvat_box(box, box.attrib["label"], None) for box in image.iter("box")]
        name = image.attrib["name"]
        of_clip = _CLIP_FRAME.fullmatch(name)
        yield FrameBoxes(
            clip=clip,
            index=int(of_clip[1] if of_clip else image.attrib["id"]),
            timestamp_s=None,
            size=(int(image.attrib["width"]), int(image.attrib["height"])),
            boxes=tuple(boxes),
            image=None if of_clip else safe_name(name),
        )


def _cvat_tracks(clip: str, root: Any) -> Iterator[FrameBoxes]:
    """ "CVAT for video 1.1": boxes in the order of their tracks."""
    frames: dict[int, list[Box]] = {}
    for track in root.iter("track"):
        for box in track.iter("box"):
            if box.attrib["outside"] != "1":
                found = _cvat_box(box, track.attrib["label"], track.attrib["id"])
                frames.setdefault(int(box.attrib["frame"]), []).append(found)
    shown = root.find("meta/task/original_size")
    if shown is None:
        shown = root.find("meta/job/original_size")
    size = None
    if shown is not None:
        size = (int(shown.findtext("width")), int(shown.findtext("height")))
    for index in sorted(frames):
        yield FrameBoxes(clip, index, None, size, tuple(frames[index]))


def _cvat_box(box: Any, label: str, track: str | None) -> Box:
    if float(box.attrib.get("rotation", 0)):
        raise ValueError(f"a box of '{label}' is turned")
    said = {one.attrib["name"]: one.text for one in box.iter("attribute")}
    x1, y1, x2, y2 = (float(box.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
    return _box(label, (x1, y1, x2, y2), said.get("confidence"), track or said.get("track_id"))
