"""Ignore regions, from the label file to the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from ultralytics.utils.instance import Instances

from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, ModelClass, Task
from oneglance.models.training.fit.heads import RoadModel
from oneglance.models.training.fit.losses import LabelMask
from oneglance.models.training.fit.regions import RegionPerspective, Regions, take_regions

EVERYTHING = frozenset(cls.name for cls in FOUR_TASKS)
CAR, LIGHT = 1, 3


def batch_of(*rows: tuple[int, int, list[float]]) -> dict[str, Any]:
    """ultralytics' batch of ``(image, class, xywh)``."""
    return {
        "batch_idx": torch.tensor([float(image) for image, _, _ in rows]),
        "cls": torch.tensor([[float(number)] for _, number, _ in rows]).reshape(-1, 1),
        "bboxes": torch.tensor([box for _, _, box in rows]).reshape(-1, 4),
    }


def test_regions_are_taken_out_of_a_batch_and_boxes_stay() -> None:
    batch = batch_of(
        (0, 1, [0.5, 0.5, 0.2, 0.2]), (1, 4, [0.5, 0.5, 0.5, 1]), (1, 0, [0.2, 0.2, 0.1, 0.1])
    )
    found = take_regions(batch, FOUR_TASKS)
    assert batch["cls"].tolist() == [[1], [0]]
    assert batch["batch_idx"].tolist() == [0, 1]
    assert len(batch["bboxes"]) == 2
    assert found.image.tolist() == [1]
    assert found.classes.tolist() == [[True, False, False, False]]
    assert found.xyxy.tolist() == [[0.25, 0, 0.75, 1]]


def test_a_region_of_lights_is_one_of_every_colour() -> None:
    classes = (FOUR_TASKS[1], FOUR_TASKS[3], *LIGHT_COLOURS)
    found = take_regions(batch_of((0, 6, [0.5, 0.5, 1, 1])), classes)
    assert found.classes.tolist() == [[False, True, True, True, True]]


def test_a_batch_without_regions_has_none() -> None:
    assert len(take_regions(batch_of(), FOUR_TASKS).image) == 0


def test_places_are_inside_by_their_centre_or_by_most_of_their_box() -> None:
    regions = Regions(
        torch.tensor([0]), torch.tensor([[True, False]]), torch.tensor([[0, 0, 0.5, 1.0]])
    )
    anchors = torch.tensor([[10.0, 10], [90, 10], [60, 10], [60, 10]])
    boxes = torch.tensor([[80.0, 0, 99, 9], [80, 0, 99, 9], [20, 0, 80, 9], [21, 0, 80, 9]])
    outside = regions.outside(anchors, torch.stack([boxes, boxes]), (100, 50))
    assert outside[0, :, 0].tolist() == [0, 1, 0, 1]
    assert outside[0, :, 1].tolist() == [1, 1, 1, 1]
    assert outside[1].min() == 1


@pytest.fixture(scope="module")
def network() -> RoadModel:
    torch.manual_seed(0)
    model = RoadModel("yolo26n.yaml", nc=4, verbose=False, classes=FOUR_TASKS)
    model.args = Hyperparameters()  # type: ignore[assignment]
    return model.train()


class Hyperparameters:
    box, cls, dfl, epochs = 7.5, 0.5, 1.5, 10


def gradient(network: RoadModel, *rows: tuple[int, int, list[float]]) -> list[float]:
    """How much each class's weights of both heads are taught by one image with ``rows``."""
    batch: dict[str, Any] = {"img": torch.rand(1, 3, 64, 96), **batch_of(*rows)}
    batch["regions"] = take_regions(batch, FOUR_TASKS)
    batch["label_mask"] = LabelMask.of(FOUR_TASKS, [EVERYTHING])
    network.zero_grad()
    loss, _ = network.init_criterion()(network(batch["img"]), batch)
    loss.sum().backward()
    head = list(network.model)[-1]  # type: ignore[arg-type]
    rows_of = [branch[-1].bias.grad.abs() for branch in (*head.cv3, *head.one2one_cv3)]
    total: list[float] = sum(rows_of[1:], rows_of[0]).tolist()
    return total


def test_a_region_over_the_whole_image_teaches_nothing_of_its_task(network: RoadModel) -> None:
    pedestrian, car, sign, light = gradient(network, (0, 4 + CAR, [0.5, 0.5, 1, 1]))
    assert car == 0
    assert min(pedestrian, sign, light) > 0
    everywhere = [(0, 4 + task, [0.5, 0.5, 1.0, 1.0]) for task in range(4)]
    assert gradient(network, *everywhere) == [0, 0, 0, 0]


def test_an_object_in_a_region_is_taught_and_what_lies_beside_a_region_too(
    network: RoadModel,
) -> None:
    region = (0, 4 + CAR, [0.5, 0.5, 1.0, 1.0])
    assert gradient(network, region, (0, CAR, [0.5, 0.5, 0.4, 0.4]))[CAR] > 0
    half = gradient(network, (0, 4 + CAR, [0.25, 0.5, 0.5, 1.0]))[CAR]
    assert 0 < half < gradient(network)[CAR]


def test_a_region_remains_however_little_of_it_is_left_in_the_image() -> None:
    transform = RegionPerspective(classes=4, translate=0.0, scale=(1.0, 1.0), size=(100, 100))
    # The middle 100 pixels of 400: a region and a car that end 5 pixels inside, one that does not.
    boxes = np.array([[0, 0, 155, 400], [0, 0, 155, 400], [0, 0, 140, 400]], np.float32)
    labels = {
        "img": np.zeros((400, 400, 3), np.uint8),
        "cls": np.array([[5.0], [1.0], [5.0]]),
        "instances": Instances(boxes, np.zeros((0, 1000, 2)), None, "xyxy", normalized=False),
    }
    moved = transform(labels)
    assert moved["cls"].tolist() == [[5]]
    assert moved["instances"].bboxes.tolist() == [[0, 0, 5, 100]]


def test_training_with_regions_ends_in_a_network_of_our_classes_alone(
    make_set: Any, base: Path, tmp_path: Path
) -> None:
    from oneglance.models.training.checkpoints import read_checkpoint
    from oneglance.models.training.fit.finetune import finetune
    from oneglance.models.training.fit.heads import last_layer
    from oneglance.models.training.recipe import Recipe

    lines = "1 0.5 0.5 0.2 0.2\n4 0.25 0.5 0.5 1\n"
    names = ["pedestrian", "car", "sign", "light", "DontCare"]
    data = make_set(train=dict.fromkeys("abcd", lines), val={"v": lines}, names=names)
    recipe = Recipe(epochs=1, size=(96, 64), batch=2, warmup_epochs=0.0)
    model = read_checkpoint(finetune([data], base=base, recipe=recipe, out=tmp_path / "out"))
    assert list(model.names.values()) == [cls.name for cls in FOUR_TASKS]
    assert last_layer(model).nc == 4


def test_regions_are_of_the_tasks_that_the_model_has() -> None:
    classes = (ModelClass("light", Task.LIGHT), ModelClass("car", Task.CAR))
    found = take_regions(batch_of((0, 2, [0.5] * 4), (0, 3, [0.5] * 4)), classes)
    assert found.classes.tolist() == [[True, False], [False, True]]
