"""Data sets that people reported to other tools, as they lie in ../shared/faults/training."""

from __future__ import annotations

from pathlib import Path

import pytest

from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, SIGN_SUBCLASSES, Task
from oneglance.models.training.data.checks import check
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.merging import merge
from oneglance.streams.errors import DataError

EVERYTHING = (*FOUR_TASKS, *LIGHT_COLOURS, *SIGN_SUBCLASSES)


@pytest.fixture
def reported(shared: Path) -> Path:
    """The folder of reported data sets; skips where it is absent."""
    folder = shared / "faults" / "training"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


def classes_taught(file: Path, out: Path) -> list[str]:
    """The names of our classes that training is given, box by box, in the order of the images."""
    dataset = read_dataset(file)
    tasks = [cls for cls in EVERYTHING if cls.task in dataset.labelled_tasks]
    merge([dataset], tasks, out)
    names = [
        *(cls.name for cls in tasks),
        *(f"ignore_{t}" for t in dict.fromkeys(c.task for c in tasks)),
    ]
    files = sorted((out / "labels" / "train").iterdir())
    return [names[int(line.split()[0])] for text in files for line in text.read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "taught"),
    [
        ("d1_off", ["light_red", "light_yellow", "light_green", "light"]),
        ("d2_oct", ["sign_prohibitory", "sign_prohibitory", "sign_danger", "sign_danger"]),
        ("k_dontcare", ["car", "car", "ignore_car", "ignore_pedestrian"]),
        ("l1_bom", ["car"] * 4),
        ("l7_mixed", ["car"] * 4),
        ("y_test", ["car"] * 4),
    ],
)
def test_what_was_lost_in_silence_is_taught(
    reported: Path, tmp_path: Path, name: str, taught: list[str]
) -> None:
    assert classes_taught(reported / name / "data.yaml", tmp_path / "out") == taught


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("k_plural", r"'cars', 'persons', 'Pedestrians', 'trafficlights' are almost"),
        (
            "f_annotations",
            r"train: not one of 4 images has a label file.*'annotations: annotations'",
        ),
        ("i_bmptrunc", r"x\.bmp: not an image that can be read"),
    ],
)
def test_what_cannot_be_right_is_refused_before_a_training(
    reported: Path, tmp_path: Path, name: str, expected: str
) -> None:
    with pytest.raises(DataError, match=f"(?s){expected}"):
        merge([read_dataset(reported / name / "data.yaml")], FOUR_TASKS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["f_annotations", "i_bmptrunc"])
def test_an_audit_says_that_training_refuses_it(reported: Path, name: str) -> None:
    assert any(not problem.usable for problem in check(read_dataset(reported / name / "data.yaml")))


def test_kittis_dontcare_hides_every_labelled_task(reported: Path) -> None:
    dataset = read_dataset(reported / "k_dontcare" / "data.yaml")
    (image,) = dataset.images("val")
    *_, region = dataset.read_labels(image).boxes
    assert dataset.ignored_in(region) == {Task.PEDESTRIAN, Task.CAR}
