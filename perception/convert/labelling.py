"""What was found as pre-annotations: for people who correct it in a tool for labelling.

Sources: CVAT's "CVAT for images 1.1" (docs.cvat.ai, XML annotation format), Label Studio's import
of predictions (labelstud.io/guide/predictions), FiftyOne's importer ``COCODetectionDataset``
(docs.voxel51.com). No image is written: those of ``oneglance mine`` are named where they lie, and a
frame of a clip as the tool's own task of that clip names it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree as Xml  # only written with: what is read may be hostile

from oneglance.perception.convert.boxes import Box, FrameBoxes
from oneglance.perception.convert.formats import Files, coco_parts, known_size
from oneglance.perception.convert.names import ClipNames, short

LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio addresses a file below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def to_cvat(frames: Iterable[FrameBoxes]) -> Files:
    """``CLIP.xml`` for each clip, "CVAT for images 1.1": upload it to the task that was made of the
    clip, whose frames are ``frame_000000`` and so on; frames with images of their own are all in
    ``annotations.xml``. ``labels.json``: the labels, for the "Raw" field of a new task.

    A box has the attributes ``confidence`` and, where a track holds it, ``track_id``; CVAT leaves
    out those that its task's labels do not have.

    Raises:
        UsageError: the size of a frame is not known.
    """
    names = ClipNames()
    files: dict[str, list[Xml.Element]] = {}
    classes: dict[str, None] = {}
    for frame in frames:
        width, height = known_size(frame, "CVAT")
        shown = Xml.Element(
            "image",
            id=str(frame.index if frame.image is None else len(files.get("annotations", ()))),
            name=frame.image or f"frame_{frame.index:06}",
            width=str(width),
            height=str(height),
        )
        for box in frame.boxes:
            classes[box.class_name] = None
            shown.append(_cvat_box(box))
        name = names(frame.clip) if frame.image is None else "annotations"
        files.setdefault(name, []).append(shown)
    for name, images in files.items():
        root = Xml.Element("annotations")
        Xml.SubElement(root, "version").text = "1.1"
        task = Xml.SubElement(Xml.SubElement(root, "meta"), "task")
        for key, text in {"name": name, "size": len(images), "mode": "annotation"}.items():
            Xml.SubElement(task, key).text = str(text)
        labels = Xml.SubElement(task, "labels")
        for each in classes:
            label = Xml.SubElement(labels, "label")
            Xml.SubElement(label, "name").text = each
            attributes = Xml.SubElement(label, "attributes")
            for word in _ATTRIBUTES:
                _cvat_attribute(Xml.SubElement(attributes, "attribute"), word)
        root.extend(images)
        Xml.indent(root)
        yield f"{name}.xml", Xml.tostring(root, "unicode", xml_declaration=True) + "\n"
    text = {"mutable": True, "input_type": "text", "default_value": "", "values": [""]}
    known = [{"name": word, **text} for word in _ATTRIBUTES]
    spec = [{"name": name, "type": "rectangle", "attributes": known} for name in classes]
    yield "labels.json", json.dumps(spec, indent=2) + "\n"


_ATTRIBUTES = ("confidence", "track_id")


def _cvat_box(box: Box) -> Xml.Element:
    shown = Xml.Element("box", label=box.class_name, source="auto", occluded="0")
    for key, side in zip(("xtl", "ytl", "xbr", "ybr"), box.xyxy, strict=True):
        shown.set(key, f"{side:.2f}")
    shown.set("z_order", "0")
    Xml.SubElement(shown, "attribute", name="confidence").text = f"{short(box.confidence, 6)}"
    if box.track_id is not None:
        Xml.SubElement(shown, "attribute", name="track_id").text = str(box.track_id)
    return shown


def _cvat_attribute(element: Xml.Element, name: str) -> None:
    words = {"name": name, "mutable": "True", "input_type": "text", "default_value": ""}
    for key, text in {**words, "values": ""}.items():
        Xml.SubElement(element, key).text = text


def to_label_studio(frames: Iterable[FrameBoxes], images: str = LOCAL_FILES) -> Files:
    """``tasks.json``: a task for each frame with its boxes as a prediction; ``config.xml``: the
    labelling interface that they belong to.

    ``images`` stands before the name of each image, ``CLIP/000000.jpg`` or its own file. Sides are
    in percent of the image, as there. A track is in the region's ``meta``.

    Raises:
        UsageError: the size of a frame is not known.
    """
    names, numbers = ClipNames(), itertools.count(1)
    classes: dict[str, None] = {}
    tasks = []
    for frame in frames:
        size = known_size(frame, "Label Studio")
        data: dict[str, Any] = {"image": images + names.image(frame), "clip": frame.clip}
        data["frame"] = frame.index
        if frame.timestamp_s is not None:
            data["timestamp_s"] = frame.timestamp_s
        regions = [_region(f"box-{next(numbers)}", box, size) for box in frame.boxes]
        classes.update(dict.fromkeys(box.class_name for box in frame.boxes))
        prediction: dict[str, Any] = {"model_version": "oneglance", "result": regions}
        if frame.boxes:
            mean = sum(box.confidence for box in frame.boxes) / len(frame.boxes)
            prediction["score"] = short(mean, 6)
        tasks.append({"data": data, "predictions": [prediction]})
    yield "tasks.json", json.dumps(tasks)
    view = Xml.Element("View")
    Xml.SubElement(view, "Image", name="image", value="$image")
    labels = Xml.SubElement(view, "RectangleLabels", name="label", toName="image")
    for name in classes:
        Xml.SubElement(labels, "Label", value=name)
    Xml.indent(view)
    yield "config.xml", Xml.tostring(view, "unicode") + "\n"


def _region(name: str, box: Box, size: tuple[int, int]) -> dict[str, Any]:
    width, height = size
    x1, y1, x2, y2 = box.xyxy
    corner = {"x": short(100 * x1 / width, 4), "y": short(100 * y1 / height, 4)}
    extent = {
        "width": short(100 * (x2 - x1) / width, 4),
        "height": short(100 * (y2 - y1) / height, 4),
    }
    region: dict[str, Any] = {
        "id": name,
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": short(box.confidence, 6),
        "value": {**corner, **extent, "rotation": 0, "rectanglelabels": [box.class_name]},
    }
    if box.track_id is not None:
        region["meta"] = {"text": [f"track_id {box.track_id}"]}
    return region


def to_fiftyone(frames: Iterable[FrameBoxes]) -> Files:
    """``labels.json``: a data set of COCO's with what was found as annotations, which FiftyOne's
    importer ``COCODetectionDataset`` reads with ``labels_path`` and, where the images lie,
    ``data_path``; ``score`` becomes a detection's confidence, and with ``extra_attrs=True``
    ``track_id`` one of its attributes.

    Raises:
        UsageError: the size of a frame is not known: its boxes are relative to it there.
    """

    def sized() -> Iterable[FrameBoxes]:
        for frame in frames:
            known_size(frame, "FiftyOne")
            yield frame

    images, found, categories = coco_parts(sized())
    for number, one in enumerate(found, 1):
        _, _, width, height = one["bbox"]
        one.update(id=number, area=short(width * height), iscrowd=0)
    content = {"images": images, "annotations": found, "categories": categories}
    yield "labels.json", json.dumps(content)
