"""What is written is what the tools' own readers read."""

from __future__ import annotations

import contextlib
import gc
import io
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from oneglance.perception.convert.boxes import Box, FrameBoxes
from oneglance.perception.convert.formats import Format
from oneglance.perception.convert.names import ClipNames
from oneglance.perception.convert.writers import WRITERS
from oneglance.streams import UsageError
from present import present

CAR = Box("car", "car", 0.875, (10.0, 20.0, 30.5, 40.0), 7)
RED = Box("light", "light_red", 0.5, (0.0, 0.0, 4.0, 8.0), None)


def frames() -> Iterator[FrameBoxes]:
    yield FrameBoxes("s3://a/drive.mp4", 0, 0.0, (64, 48), (CAR, RED))
    yield FrameBoxes("s3://a/drive.mp4", 1, 0.04, (64, 48), ())
    yield FrameBoxes("s3://b/drive.mp4", 5, 0.2, (128, 96), (CAR,))


def written(to: Format, folder: Path) -> list[str]:
    """The names of the files of a format, written to ``folder``."""
    names = []
    for name, content in WRITERS[to](frames()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        names.append(name)
    return sorted(names)


def test_pycocotools_reads_the_results_of_coco(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    assert written(Format.COCO, tmp_path) == ["images.json", "results.json"]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(tmp_path / "images.json")
        found = truth.loadRes(str(tmp_path / "results.json"))
    boxes = found.loadAnns(found.getAnnIds())
    assert [(b["image_id"], b["score"], b.get("track_id")) for b in boxes] == [
        (1, 0.875, 7),
        (1, 0.5, None),
        (3, 0.875, 7),
    ]
    assert boxes[0]["bbox"] == [10.0, 20.0, 20.5, 20.0]
    names = [truth.loadCats(b["category_id"])[0]["name"] for b in boxes]
    assert names == ["car", "light_red", "car"]
    assert [(i["clip"], i["frame"], i["width"]) for i in truth.loadImgs([1, 2, 3])] == [
        ("s3://a/drive.mp4", 0, 64),
        ("s3://a/drive.mp4", 1, 64),
        ("s3://b/drive.mp4", 5, 128),
    ]


def test_trackers_reads_motchallenge(tmp_path: Path) -> None:
    from trackers.io.mot import load_mot_file

    assert written(Format.MOT, tmp_path) == ["drive-2.txt", "drive.txt"]
    found = load_mot_file(tmp_path / "drive.txt")
    assert list(found) == [1]
    assert found[1].ids.tolist() == [7, -1]
    assert found[1].boxes.tolist() == [[10.0, 20.0, 20.5, 20.0], [0.0, 0.0, 4.0, 8.0]]
    assert found[1].confidences.tolist() == [0.875, 0.5]
    assert list(load_mot_file(tmp_path / "drive-2.txt")) == [6]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # old supervision's
def test_supervision_reads_yolo(tmp_path: Path) -> None:
    import supervision as sv

    names = written(Format.YOLO, tmp_path)
    assert names == [
        "classes.txt",
        "labels/drive-2_000005.txt",
        "labels/drive_000000.txt",
        "labels/drive_000001.txt",
    ]
    images = tmp_path / "images"
    images.mkdir()
    for frame, name in zip(
        frames(), ("drive_000000", "drive_000001", "drive-2_000005"), strict=True
    ):
        width, height = present(frame.size)
        cv2.imwrite(str(images / f"{name}.png"), np.zeros((height, width, 3), np.uint8))
    classes = (tmp_path / "classes.txt").read_text().split()
    (tmp_path / "data.yaml").write_text(json.dumps({"names": classes}))
    found = sv.DetectionDataset.from_yolo(
        str(images), str(tmp_path / "labels"), str(tmp_path / "data.yaml")
    )
    gc.collect()
    boxes = {Path(path).stem: detections for path, _, detections in found}
    for frame, name in zip(
        frames(), ("drive_000000", "drive_000001", "drive-2_000005"), strict=True
    ):
        expected = np.array([box.xyxy for box in frame.boxes]).reshape(-1, 4)
        assert np.allclose(boxes[name].xyxy, expected, atol=0.01)
        names = [classes[i] for i in present(boxes[name].class_id)]
        assert names == [box.class_name for box in frame.boxes]


def test_yolo_without_the_frames_size_says_what_to_do() -> None:
    frame = FrameBoxes("a.mp4", 0, 0.0, None, (CAR,))
    with pytest.raises(UsageError, match="--size"):
        list(WRITERS[Format.YOLO]([frame]))


def test_kitti_has_sixteen_fields_of_which_the_box_is_known(tmp_path: Path) -> None:
    assert written(Format.KITTI, tmp_path) == [
        "drive-2/000005.txt",
        "drive/000000.txt",
        "drive/000001.txt",
    ]
    lines = (tmp_path / "drive" / "000000.txt").read_text().splitlines()
    first, second = (line.split() for line in lines)
    assert len(first) == len(second) == 16
    assert first[0] == "car"
    assert second[0] == "light_red"
    assert list(map(float, first[4:8])) == [10.0, 20.0, 30.5, 40.0]
    assert float(first[15]) == 0.875
    assert (tmp_path / "drive" / "000001.txt").read_text() == ""


def test_bdd100k_names_videos_frames_and_boxes(tmp_path: Path) -> None:
    assert written(Format.BDD100K, tmp_path) == ["frames.json"]
    found = json.loads((tmp_path / "frames.json").read_text())
    assert [(f["videoName"], f["frameIndex"], len(f["labels"])) for f in found] == [
        ("drive", 0, 2),
        ("drive", 1, 0),
        ("drive-2", 5, 1),
    ]
    assert found[0]["labels"][0] == {
        "id": "track-7",
        "category": "car",
        "score": 0.875,
        "box2d": {"x1": 10.0, "y1": 20.0, "x2": 30.5, "y2": 40.0},
    }


def test_clips_whose_names_are_odd_have_files_of_their_own() -> None:
    names = ClipNames()
    odd = ["a/b.mp4", "a/B.mp4", "../..", "https://h/x?token=***", "ü ñ.mp4", "a/b.mp4"]
    given = [names(clip) for clip in odd]
    assert given == ["b", "B-2", "clip", "x", "ü_ñ", "b"]
