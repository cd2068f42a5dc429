"""A new last layer on a pretrained network: what is transferred, bit for bit, and what is new."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from ultralytics.nn.tasks import DetectionModel

from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, ModelClass, Task
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.heads import (
    frozen_layers,
    last_layer,
    with_new_last_layer,
)
from oneglance.models.training.recipe import HeadInit, TrainableLayers

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # ultralytics and torch warn of themselves
    pytest.mark.usefixtures("one_thread"),
]

COCO_CLASS_IDS = {"pedestrian": 0, "car": 2, "sign": 11, "light": 9}
"""COCO's person, car, stop sign and traffic light."""

ROWS = [
    f"model.23.{branch}.{level}.2.{kind}"
    for branch in ("cv3", "one2one_cv3")
    for level in range(3)
    for kind in ("weight", "bias")
]


@pytest.fixture(scope="module")
def base(one_thread: None, coco_base: Path) -> DetectionModel:
    return read_checkpoint(coco_base)


@pytest.fixture(scope="module")
def four(base: DetectionModel) -> DetectionModel:
    """A network of our four tasks on ``base``."""
    return with_new_last_layer(base, FOUR_TASKS)


def test_the_new_rows_are_exactly_the_pretrained_rows_of_related_classes(
    base: DetectionModel, four: DetectionModel
) -> None:
    before, after = base.state_dict(), four.state_dict()
    for name in ROWS:
        assert after[name].shape[0] == 4
        for i, cls in enumerate(FOUR_TASKS):
            assert torch.equal(after[name][i], before[name][COCO_CLASS_IDS[cls.name]]), (
                name,
                cls.name,
            )


def test_everything_but_the_rows_is_transferred_bit_for_bit(
    base: DetectionModel, four: DetectionModel
) -> None:
    before, after = base.state_dict(), four.state_dict()
    assert before.keys() == after.keys()
    same = {name for name in before if before[name].shape == after[name].shape}
    assert set(before) - same == set(ROWS)
    assert all(torch.equal(before[name], after[name]) for name in same)


def test_colours_start_from_the_traffic_light_and_several_may_share_it(
    base: DetectionModel,
) -> None:
    before = base.state_dict()
    after = with_new_last_layer(base, (FOUR_TASKS[3], *LIGHT_COLOURS)).state_dict()
    for name in ROWS:
        for weights in after[name]:
            assert torch.equal(weights, before[name][COCO_CLASS_IDS["light"]])


def test_a_network_of_ours_gives_its_rows_to_classes_of_the_same_name(
    four: DetectionModel,
) -> None:
    four = copy.deepcopy(four)
    with torch.no_grad():
        for name in ROWS:
            four.state_dict()[name] += 1  # no longer COCO's
    before = four.state_dict()
    turned = with_new_last_layer(four, FOUR_TASKS[::-1]).state_dict()
    for name in ROWS:
        assert torch.equal(turned[name], before[name].flip(0))
    coloured = with_new_last_layer(four, LIGHT_COLOURS).state_dict()
    assert torch.equal(coloured[ROWS[0]][1], before[ROWS[0]][3])


def test_new_rows_start_at_random_and_the_rest_is_transferred(four: DetectionModel) -> None:
    before = four.state_dict()
    after = with_new_last_layer(four, FOUR_TASKS, head_init=HeadInit.RANDOM).state_dict()
    weights = [name for name in ROWS if name.endswith("weight")]
    assert not any(torch.equal(before[name], after[name]) for name in weights)
    assert all(torch.equal(before[name], after[name]) for name in before if name not in ROWS)


def test_the_network_knows_its_new_classes_and_the_base_keeps_its_own(
    base: DetectionModel, four: DetectionModel
) -> None:
    assert four.names == {0: "pedestrian", 1: "car", 2: "sign", 3: "light"}
    assert last_layer(four).nc == 4
    assert len(base.names) == 80


def test_related_rows_answer_as_the_pretrained_network_does(
    base: DetectionModel, four: DetectionModel
) -> None:
    base, model = copy.deepcopy(base).eval(), copy.deepcopy(four).eval()
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    last_layer(base).end2end = False
    last_layer(model).end2end = False
    with torch.no_grad():
        expected, found = base(image)[0], model(image)[0]
    channels = [4 + COCO_CLASS_IDS[cls.name] for cls in FOUR_TASKS]
    torch.testing.assert_close(found[:, 4:], expected[:, channels])
    torch.testing.assert_close(found[:, :4], expected[:, :4])


@pytest.mark.parametrize(
    ("trainable", "trained"),
    [(TrainableLayers.ALL, 24), (TrainableLayers.NECK, 13), (TrainableLayers.HEAD, 1)],
)
def test_freezing_counts_layers_from_the_camera(
    base: DetectionModel, trainable: TrainableLayers, trained: int
) -> None:
    # YOLO26: layers 0 to 10 are the backbone, 11 to 22 the neck, 23 the head.
    frozen = frozen_layers(base, trainable)
    assert frozen == [str(i) for i in range(24 - trained)]


def test_the_real_backbone_gives_its_weights(shared: Path) -> None:
    base = read_checkpoint(shared / "weights" / "yolo26n-coco.pt")
    classes = (ModelClass("pedestrian", Task.PEDESTRIAN), ModelClass("sign_other", Task.SIGN))
    after = with_new_last_layer(base, classes).state_dict()
    for name in ROWS:
        assert torch.equal(after[name][0], base.state_dict()[name][0])
        assert torch.equal(after[name][1], base.state_dict()[name][11])
