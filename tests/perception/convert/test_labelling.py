"""What is written is what the tools for labelling read, and what they give back is read again."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from oneglance.perception.convert.boxes import FrameBoxes
from oneglance.perception.convert.formats import Format
from oneglance.perception.convert.reading import read_results
from oneglance.perception.convert.writers import WRITERS
from oneglance.streams import UsageError

ROUND_TRIPS = {
    Format.CVAT: "annotations.xml",
    Format.LABEL_STUDIO: "tasks.json",
    Format.FIFTYONE: "labels.json",
    Format.COCO: "results.json",
}

# label_studio_sdk 2.1.2: label_interface.control_tags.RectangleLabelsValue.model_json_schema()
RECTANGLE_LABELS: dict[str, Any] = {
    "properties": {
        "x": {"maximum": 100, "type": "number"},
        "y": {"maximum": 100, "type": "number"},
        "width": {"maximum": 100, "type": "number"},
        "height": {"maximum": 100, "type": "number"},
        "rotation": {"anyOf": [{"maximum": 360, "type": "number"}, {"type": "null"}]},
        "rectanglelabels": {"items": {"type": "string"}, "type": "array"},
    },
    "required": ["x", "y", "width", "height", "rectanglelabels"],
    "type": "object",
}


def written(to: Format, frames: list[FrameBoxes], folder: Path) -> list[str]:
    """The names of the files of a format, written to ``folder``."""
    names = []
    for name, content in WRITERS[to](frames):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        names.append(name)
    return sorted(names)


@pytest.mark.parametrize("to", list(ROUND_TRIPS))
def test_what_is_written_is_read_again(
    to: Format, image_frames: list[FrameBoxes], tmp_path: Path
) -> None:
    written(to, image_frames, tmp_path)
    again = list(read_results(tmp_path / ROUND_TRIPS[to]))
    assert [frame.image for frame in again] == [frame.image for frame in image_frames]
    for found, wrote in zip(again, image_frames, strict=True):
        assert [replace(box, xyxy=(0, 0, 0, 0)) for box in found.boxes] == [
            replace(box, xyxy=(0, 0, 0, 0)) for box in wrote.boxes
        ]
        for a, b in zip(found.boxes, wrote.boxes, strict=True):
            assert a.xyxy == pytest.approx(b.xyxy, abs=0.01)
        if wrote.boxes:
            assert found.size == wrote.size
        if to is not Format.CVAT:  # whose files hold neither
            assert (found.clip, found.timestamp_s) == (wrote.clip, wrote.timestamp_s)


@pytest.mark.parametrize("to", list(ROUND_TRIPS))
def test_frames_of_clips_are_read_again_as_frames_of_clips(
    to: Format, clip_frames: list[FrameBoxes], tmp_path: Path
) -> None:
    written(to, clip_frames, tmp_path)
    files = sorted(tmp_path.glob("*.xml")) if to is Format.CVAT else [tmp_path / ROUND_TRIPS[to]]
    again = [frame for file in files for frame in read_results(file)]
    assert sorted((f.index, len(f.boxes), f.image) for f in again) == [
        (0, 2, None),
        (1, 0, None),
        (5, 1, None),
    ]


def test_globox_reads_cvat(image_frames: list[FrameBoxes], tmp_path: Path) -> None:
    globox = pytest.importorskip("globox")
    assert written(Format.CVAT, image_frames, tmp_path) == ["annotations.xml", "labels.json"]
    found = globox.AnnotationSet.from_cvat(tmp_path / "annotations.xml")
    assert set(found.image_ids) == {frame.image for frame in image_frames}
    boxes = found["images/train/0.jpg"].boxes
    assert [(box.label, *box.ltrb) for box in boxes] == [
        ("car", 10.0, 20.0, 30.5, 40.0),
        ("light_red", 0.0, 0.0, 4.0, 8.0),
    ]
    assert found["images/train/2.jpg"].image_size == (128, 96)


def test_a_cvat_task_of_a_clip_finds_its_frames_and_labels(
    clip_frames: list[FrameBoxes], tmp_path: Path
) -> None:
    assert written(Format.CVAT, clip_frames, tmp_path) == [
        "drive-2.xml",
        "drive.xml",
        "labels.json",
    ]
    root = ElementTree.parse(tmp_path / "drive-2.xml").getroot()
    assert root.findtext("version") == "1.1"
    (image,) = root.iter("image")
    assert (image.get("id"), image.get("name")) == ("5", "frame_000005")
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert [(label["name"], label["type"]) for label in labels] == [
        ("car", "rectangle"),
        ("light_red", "rectangle"),
    ]
    assert [a["name"] for a in labels[0]["attributes"]] == ["confidence", "track_id"]


def test_datumaro_reads_cvat(image_frames: list[FrameBoxes], tmp_path: Path) -> None:
    components = pytest.importorskip("datumaro.components.dataset", reason="read once by hand")
    written(Format.CVAT, image_frames, tmp_path)
    for frame in image_frames:
        assert frame.image is not None
        assert frame.size is not None
        (tmp_path / "images" / frame.image).parent.mkdir(parents=True, exist_ok=True)
        blank = np.zeros((*frame.size[::-1], 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / frame.image), blank)
    found = components.Dataset.import_from(str(tmp_path), "cvat")
    assert sum(len(item.annotations) for item in found) == 3


def test_label_studios_schema_holds(clip_frames: list[FrameBoxes], tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert written(Format.LABEL_STUDIO, clip_frames, tmp_path) == ["config.xml", "tasks.json"]
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    (control,) = ElementTree.parse(tmp_path / "config.xml").getroot().iter("RectangleLabels")
    (image,) = ElementTree.parse(tmp_path / "config.xml").getroot().iter("Image")
    labels = {label.get("value") for label in control}
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert len(regions) == 3
    assert len({region["id"] for region in regions}) == 3
    for region in regions:
        jsonschema.validate(region["value"], RECTANGLE_LABELS)
        assert region["type"] == control.tag.lower()
        assert (region["from_name"], region["to_name"]) == (
            control.get("name"),
            control.get("toName"),
        )
        assert region["to_name"] == image.get("name")
        assert set(region["value"]["rectanglelabels"]) <= labels
        assert 0 <= region["score"] <= 1
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=drive/000000.jpg"
    value = regions[0]["value"]
    assert (value["x"], value["width"]) == (pytest.approx(15.625), pytest.approx(32.0312))


def test_label_studios_own_checks_hold(clip_frames: list[FrameBoxes], tmp_path: Path) -> None:
    sdk = pytest.importorskip("label_studio_sdk.label_interface", reason="checked once by hand")
    written(Format.LABEL_STUDIO, clip_frames, tmp_path)
    interface = sdk.LabelInterface((tmp_path / "config.xml").read_text())
    for task in json.loads((tmp_path / "tasks.json").read_text()):
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []


def test_pycocotools_reads_what_fiftyones_importer_of_coco_reads(
    image_frames: list[FrameBoxes], tmp_path: Path
) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    assert written(Format.FIFTYONE, image_frames, tmp_path) == ["labels.json"]
    with contextlib.redirect_stdout(io.StringIO()):
        found = coco.COCO(tmp_path / "labels.json")
    boxes = found.loadAnns(found.getAnnIds())
    assert [(b["id"], b["image_id"], b["score"], b["area"], b["iscrowd"]) for b in boxes] == [
        (1, 1, 0.875, 410.0, 0),
        (2, 1, 0.5, 32.0, 0),
        (3, 3, 0.875, 410.0, 0),
    ]
    assert [i["file_name"] for i in found.loadImgs([1, 2, 3])] == [f.image for f in image_frames]


def test_fiftyones_importer_reads_it(image_frames: list[FrameBoxes], tmp_path: Path) -> None:
    fiftyone = pytest.importorskip("fiftyone.utils.coco", reason="read once by hand")
    written(Format.FIFTYONE, image_frames, tmp_path)
    for frame in image_frames:
        assert frame.image is not None
        (tmp_path / "data" / frame.image).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / frame.image).touch()
    importer = fiftyone.COCODetectionDatasetImporter(
        data_path=str(tmp_path / "data"),
        labels_path=str(tmp_path / "labels.json"),
        extra_attrs=True,
        include_id=False,
    )
    with importer:
        labels = [label for _, _, label in importer]
    found = [one for label in labels if label for one in label.detections]
    assert [(one.label, one.confidence) for one in found] == [
        ("car", 0.875),
        ("light_red", 0.5),
        ("car", 0.875),
    ]


def test_supervisions_own_sink_writes_the_same_table(
    clip_frames: list[FrameBoxes], tmp_path: Path
) -> None:
    import supervision as sv

    written(Format.CSV, clip_frames, tmp_path)
    with (tmp_path / "detections.csv").open() as content:
        rows = list(csv.DictReader(content))
    sink = sv.CSVSink(str(tmp_path / "own.csv"))
    with sink:
        for frame in clip_frames:
            if not frame.boxes:
                continue
            detections = sv.Detections(
                xyxy=np.array([box.xyxy for box in frame.boxes]),
                confidence=np.array([box.confidence for box in frame.boxes]),
                class_id=np.zeros(len(frame.boxes), int),
                tracker_id=np.array([box.track_id or -1 for box in frame.boxes]),
                data={"class_name": np.array([box.class_name for box in frame.boxes])},
            )
            sink.append(detections, {"clip": frame.clip, "frame": frame.index})
    with (tmp_path / "own.csv").open() as content:
        own = list(csv.DictReader(content))
    assert len(rows) == len(own) == 3
    for ours, theirs in zip(rows, own, strict=True):
        same = set(theirs) - {"class_id"}
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}


@pytest.mark.parametrize("to", [Format.CVAT, Format.LABEL_STUDIO, Format.FIFTYONE])
def test_a_frame_of_unknown_size_says_what_to_do(to: Format, clip_frames: list[FrameBoxes]) -> None:
    with pytest.raises(UsageError, match="--size"):
        list(WRITERS[to]([replace(clip_frames[0], size=None)]))
