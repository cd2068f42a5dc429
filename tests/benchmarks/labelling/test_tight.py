"""Boxes that an augmentation made wide are drawn close again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from benchmarks.labelling.tight import CONFIDENCE, tight
from oneglance.models import Detector, Task
from oneglance.models.overlap import iou
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.zoo import DEFAULT
from oneglance.streams.errors import DataError, SinkError
from oneglance.streams.rendered.dataset import write_dataset

WIDER, HIGHER = 1.4, 1.1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered frames with their true boxes of cars and lights."""
    folder = tmp_path_factory.mktemp("whole")
    file = write_dataset(folder, frames=12, seed=3, size=(544, 320), val_share=0.25)
    file.write_text(file.read_text() + "labels: [car, light]\n")
    return file


@pytest.fixture
def loose(whole: Path, tmp_path: Path) -> Path:
    """The same images with boxes that are too large about their middle."""
    folder = tmp_path / "loose"
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "images").symlink_to(whole.parent / "images")
    (folder / "labels" / "val").symlink_to(whole.parent / "labels" / "val")
    for file in (whole.parent / "labels" / "train").glob("*.txt"):
        lines = []
        for line in file.read_text().splitlines():
            number, *sides = line.split()
            x, y, width, height = map(float, sides)
            width = min(WIDER * width, 2 * x, 2 * (1 - x))  # no box leaves its image
            height = min(HIGHER * height, 2 * y, 2 * (1 - y))
            lines.append(f"{number} {x} {y} {width:.6f} {height:.6f}\n")
        (folder / "labels" / "train" / file.name).write_text("".join(lines))
    (folder / "data.yaml").write_text(whole.read_text())
    return folder / "data.yaml"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(DEFAULT, confidence=CONFIDENCE)


def boxes(dataset: Dataset) -> list[tuple[str, int, tuple[float, float, float, float]]]:
    """Of all training images in order: image, class, left, top, width, height."""
    return [
        (image.name, box.class_id, (box.x - box.width / 2, box.y - box.height / 2, *size))
        for image in dataset.images("train")
        for box in dataset.read_labels(image).boxes
        for size in [(box.width, box.height)]
    ]


def fit(ones: Dataset, others: Dataset) -> float:
    """The mean IoU of boxes at the same places of two sets."""
    pairs = zip(boxes(ones), boxes(others), strict=True)
    return float(np.mean([iou(np.array([a[2]]), np.array([b[2]]))[0, 0] for a, b in pairs]))


def test_wide_boxes_become_what_the_network_sees_and_the_rest_as_much_smaller(
    whole: Path, loose: Path, detector: Detector, tmp_path: Path
) -> None:
    true, before = read_dataset(whole), read_dataset(loose)
    new = read_dataset(tight(loose, tmp_path / "new", detector))
    assert [each[:2] for each in boxes(new)] == [each[:2] for each in boxes(true)]
    assert fit(before, true) == pytest.approx(1 / (WIDER * HIGHER), abs=0.05)
    assert fit(new, true) > fit(before, true) + 0.05
    assert new.names == before.names
    assert new.labelled_tasks == {Task.CAR, Task.LIGHT}
    for split in ("train", "val"):
        images = [each.resolve() for each in new.images(split)]
        assert images == [each.resolve() for each in true.images(split)]
    assert new.count_boxes(new.images("val")) == true.count_boxes(true.images("val"))


def test_a_set_is_made_once_and_stays(loose: Path, detector: Detector, tmp_path: Path) -> None:
    made = tight(loose, tmp_path / "new", detector)
    label = next((tmp_path / "new" / "labels" / "train").glob("*.txt"))
    stamp = label.stat().st_mtime_ns
    assert tight(loose, tmp_path / "new", detector) == made
    assert label.stat().st_mtime_ns == stamp


def test_a_set_made_of_other_labels_is_not_taken_for_this_one(
    loose: Path, detector: Detector, tmp_path: Path
) -> None:
    tight(loose, tmp_path / "new", detector)
    changed = next((loose.parent / "labels" / "train").glob("*.txt"))
    changed.write_text("1 0.5 0.5 0.25 0.25\n")
    with pytest.raises(DataError, match="was made of other images or labels"):
        tight(loose, tmp_path / "new", detector)


def test_where_nothing_is_found_or_something_lies_nothing_is_written(
    loose: Path, tmp_path: Path
) -> None:
    blind = Detector.load(DEFAULT, confidence=0.999)
    with pytest.raises(DataError, match="finds none of its boxes"):
        tight(loose, tmp_path / "new", blind)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(SinkError, match="mine"):
        tight(loose, tmp_path / "mine", blind)
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["notes.txt"]
