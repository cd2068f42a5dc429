"""Labels of people and cars on images that were labelled for something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from benchmarks.labelling.beyond import CONFIDENCE, beyond
from oneglance.models import Detector, Task
from oneglance.models.overlap import iou
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.zoo import DEFAULT
from oneglance.streams.errors import DataError
from oneglance.streams.rendered.dataset import write_dataset

SIZE = (544, 320)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered frames with all their true boxes."""
    folder = tmp_path_factory.mktemp("whole")
    return write_dataset(folder, frames=12, seed=3, size=SIZE, val_share=0.25)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(DEFAULT, confidence=CONFIDENCE)


def some(whole: Path, claims: str) -> Path:
    """The same set, which says that it labels ``claims`` alone."""
    file = whole.with_name("some.yaml")
    file.write_text(f"{whole.read_text()}labels: {claims}\n")
    return file


def boxes(dataset: Dataset, task: Task) -> dict[str, list[tuple[float, float, float, float]]]:
    """Those of ``task`` by training image: left, top, width, height in pixels."""
    width, height = SIZE
    return {
        image.name: [
            (
                (box.x - box.width / 2) * width,
                (box.y - box.height / 2) * height,
                box.width * width,
                box.height * height,
            )
            for box in dataset.read_labels(image).boxes
            if dataset.tasks[box.class_id] is task
        ]
        for image in dataset.images("train")
    }


def test_what_a_set_does_not_label_is_labelled_in_part_and_the_rest_stays(
    whole: Path, detector: Detector, tmp_path: Path
) -> None:
    true = read_dataset(whole)
    old = read_dataset(some(whole, "{sign: partial, light: complete}"))
    new = read_dataset(beyond(old.file, tmp_path / "new", detector))
    assert new.labelled_tasks == set(Task)
    assert new.partial_tasks == {Task.SIGN, Task.PEDESTRIAN, Task.CAR}
    for task in (Task.SIGN, Task.LIGHT):
        before, after = boxes(old, task), boxes(new, task)
        assert before.keys() == after.keys()
        for name, own in before.items():
            np.testing.assert_allclose(after[name], own, atol=0.01)
    found = [(b, name) for name, each in boxes(new, Task.CAR).items() for b in each]
    assert len(found) > 10
    of_file = [each for some in boxes(true, Task.CAR).values() for each in some]
    assert not {each for each, _ in found} & set(of_file)  # they were left out
    fits = [iou(np.array([b]), np.array(boxes(true, Task.CAR)[name])).max() for b, name in found]
    assert np.mean(np.array(fits) > 0.5) > 0.8
    assert new.count_boxes(new.images("val"))[Task.LIGHT] > 0


def test_a_set_is_made_once_and_only_where_something_is_left_to_label(
    whole: Path, detector: Detector, tmp_path: Path
) -> None:
    file = some(whole, "[car, light]")
    made = beyond(file, tmp_path / "new", detector)
    assert read_dataset(made).partial_tasks == {Task.PEDESTRIAN}
    stamp = made.stat().st_mtime_ns
    assert beyond(file, tmp_path / "new", detector) == made
    assert made.stat().st_mtime_ns == stamp
    with pytest.raises(DataError, match="labels pedestrian and car already"):
        beyond(whole, tmp_path / "other", detector)
    assert not (tmp_path / "other").exists()
