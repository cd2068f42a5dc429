"""The loss over what is labelled; figures worked out by hand.

Binary cross-entropy of logit 0 is ln 2 = 0.6931 for either target; of logit ln 3 (probability
3/4) it is -ln 3/4 = 0.2877 for target 1 and -ln 1/4 = 1.3863 for target 0.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.models.training.fit.heads import RoadModel
from oneglance.models.training.fit.losses import (
    EqualTasks,
    LabelMask,
    PartialBCE,
    TeacherPredictions,
    parent_class_of,
)
from oneglance.models.training.recipe import LossWeight

LN3 = math.log(3)
TASKS = (Task.CAR, Task.LIGHT, Task.LIGHT, Task.LIGHT)
"""Of a car, a light, and a light's two colours."""


@pytest.fixture(scope="module")
def network() -> RoadModel:
    torch.manual_seed(0)
    model = RoadModel("yolo26n.yaml", nc=4, verbose=False, classes=FOUR_TASKS)
    model.args = Hyperparameters()  # type: ignore[assignment]
    return model.train()


class Hyperparameters:
    box, cls, dfl, epochs = 7.5, 0.5, 1.5, 10


def batch(*labelled: set[str], classes: list[float]) -> dict[str, Any]:
    """One box in the middle of each image, of the class given."""
    torch.manual_seed(3)
    count = len(classes)
    return {
        "img": torch.rand(count, 3, 64, 96),
        "batch_idx": torch.arange(float(count)),
        "cls": torch.tensor(classes).reshape(-1, 1),
        "bboxes": torch.tensor([[0.5, 0.5, 0.4, 0.3]]).repeat(count, 1),
        "label_mask": LabelMask.of(FOUR_TASKS, labelled),
    }


def last_rows_gradient(network: RoadModel) -> Any:
    """Gradient of each class's weights in both heads' last layers, summed in size: 4 numbers."""
    head = list(network.model)[-1]  # type: ignore[arg-type]
    branches = [*head.cv3, *head.one2one_cv3]
    return sum(b[-1].weight.grad.abs().sum(dim=(1, 2, 3)) + b[-1].bias.grad.abs() for b in branches)


def test_a_fully_labelled_batch_gives_ultralytics_own_loss_bit_for_bit(network: RoadModel) -> None:
    from ultralytics.utils.loss import E2ELoss

    everything = {cls.name for cls in FOUR_TASKS}
    seen = batch(everything, everything, classes=[1.0, 2.0])
    predictions = network(seen["img"])
    ours, _ = network.init_criterion()(predictions, seen)
    theirs, _ = E2ELoss(network)(predictions, seen)
    assert torch.equal(ours, theirs)
    assert theirs.sum() > 0


def test_no_gradient_reaches_the_rows_of_an_unlabelled_task_in_either_head(
    network: RoadModel,
) -> None:
    network.zero_grad()
    seen = batch({"pedestrian", "car"}, {"car"}, classes=[0.0, 1.0])
    loss, _ = network.init_criterion()(network(seen["img"]), seen)
    loss.sum().backward()
    gradient = last_rows_gradient(network)
    assert gradient[:2].min() > 0
    assert gradient[2:].tolist() == [0.0, 0.0]


def test_the_head_that_is_exported_keeps_its_weight_to_the_last_epoch(network: RoadModel) -> None:
    criterion = network.init_criterion()
    before = criterion.o2m
    for _ in range(Hyperparameters.epochs):
        criterion.update()
    assert criterion.o2m == pytest.approx(before)
    assert criterion.o2m > criterion.o2o > 0


@pytest.mark.parametrize("head", ["one2many", "one2one"])
def test_each_head_learns_its_own_predictions(network: RoadModel, head: str) -> None:
    seen = batch({"car"}, classes=[1.0])
    predictions = network(seen["img"])
    scores = {
        name: raw["scores"].detach().permute(0, 2, 1).sigmoid() for name, raw in predictions.items()
    }
    scores[head] = torch.full_like(scores[head], 0.5)  # the other predicts that already
    covered = torch.tensor([True, True, False, True])
    network.zero_grad()
    loss, _ = network.init_criterion()(
        predictions, seen | {"teacher": TeacherPredictions(scores, covered)}
    )
    loss.sum().backward()
    last = list(network.model)[-1]  # type: ignore[arg-type]
    for name, branches in (("one2many", last.cv3), ("one2one", last.one2one_cv3)):
        gradient = sum(b[-1].bias.grad.abs() for b in branches)
        assert gradient[1] > 0  # the labelled car
        assert gradient[2] == 0  # signs are masked
        unlabelled = gradient[[0, 3]]
        assert unlabelled.min() > 0.1 if name == head else unlabelled.max() < 1e-5


def test_boxes_of_labelled_tasks_train_as_usual(network: RoadModel) -> None:
    partly = batch({"car"}, {"car"}, classes=[1.0, 1.0])
    wholly = batch(*[{cls.name for cls in FOUR_TASKS}] * 2, classes=[1.0, 1.0])
    predictions = network(partly["img"])
    _, partial = network.init_criterion()(predictions, partly)
    _, whole = network.init_criterion()(predictions, wholly)
    assert partial["box_loss"] == whole["box_loss"] > 0
    assert 0 < partial["cls_loss"] < whole["cls_loss"]


def scores_of(*anchors: list[float]) -> Any:
    """Target scores 1×A×C of as many anchors."""
    return torch.tensor([anchors])


class Assigned(torch.nn.Module):  # type: ignore[misc, name-defined]
    """An assigner that returns what it was made with."""

    def __init__(self, scores: Any) -> None:
        super().__init__()
        self.scores = scores

    def forward(self) -> tuple[Any, ...]:
        return "labels", "boxes", self.scores, "foreground", "index"


def test_target_scores_are_scaled_so_that_tasks_have_the_same_sum() -> None:
    # Cars 2 + 2, lights 1.5 in light and 0.5 in red: together 6, so 6/4 and 6/2.
    scores = scores_of([2.0, 0, 0, 0], [2, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 0.5, 0])
    equal = EqualTasks(Assigned(scores), TASKS)
    labels, boxes, scaled, foreground, index = equal()
    assert (labels, boxes, foreground, index) == ("labels", "boxes", "foreground", "index")
    assert equal.factors is not None
    assert equal.factors.tolist() == [1.5, 3, 3, 3]
    assert (scaled[..., 0].sum(), scaled[..., 1:].sum()) == (6, 6)


@pytest.mark.parametrize(
    ("exponent", "cars", "lights"),
    # Cars add up to 4 and lights to 1, together 5: 5/4 and 5/1 to the power of the exponent.
    [(0.0, 1.0, 1.0), (0.5, 1.25**0.5, 5**0.5), (1.0, 1.25, 5.0)],
)
def test_between_every_box_and_every_task_the_same_lies_an_exponent(
    exponent: float, cars: float, lights: float
) -> None:
    scores = scores_of([2.0, 0, 0, 0], [2, 0, 0, 0], [0, 1, 0, 0])
    equal = EqualTasks(Assigned(scores), TASKS, exponent=exponent)
    scaled = equal()[2]
    assert equal.factors is not None
    assert equal.factors.tolist() == pytest.approx([cars, lights, lights, lights])
    # What they count as: 4 and 1, 2 and 1 (the root), the same.
    ratio = (scaled[..., 0].sum() / scaled[..., 1].sum()).item()
    assert ratio == pytest.approx(4 ** (1 - exponent))


def test_a_batch_without_a_box_is_not_divided_by_nothing() -> None:
    equal = EqualTasks(Assigned(scores_of([0.0] * 4)), [cls.task for cls in FOUR_TASKS])
    assert equal()[2].sum() == 0
    assert equal.factors is not None
    assert equal.factors.tolist() == [1] * 4


def test_cross_entropy_is_scaled_and_its_targets_are_not() -> None:
    # Pedestrians 3, signs 1: together 4, so 4/3 and 4; tasks without a box count as 1: 4.
    equal = EqualTasks(Assigned(scores_of([1.0, 0, 1, 0], [2, 0, 0, 0])), list(Task))
    scaled = equal()[2][:, :1]
    loss = PartialBCE(parent_class_of(FOUR_TASKS))
    loss.label_mask = LabelMask.of(FOUR_TASKS, [{"pedestrian", "sign"}])
    loss.equal = equal
    loss.teacher = torch.full((1, 1, 4), 0.5), torch.tensor([False, False, False, True])
    cost = loss(torch.tensor([[[LN3, 0, -LN3, LN3]]]), scaled)
    found, missed = math.log(4 / 3), math.log(4)
    # A pedestrian found, cars not labelled, a sign missed, lights half found by the teacher.
    expected = [4 / 3 * found, 0, 4 * missed, 4 * (found + missed) / 2]
    assert cost[0, 0].tolist() == pytest.approx(expected)


def test_a_task_with_twice_the_loss_counts_half_as_much() -> None:
    # Two boxes each of pedestrians and cars, none of the others.
    scores = scores_of([1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0])
    equal = EqualTasks(Assigned(scores), list(Task), by_uncertainty=True)
    equal()
    assert equal.factors is not None
    assert equal.factors.tolist() == [2, 2, 4, 4]  # nothing is known yet
    loss = scores_of([0.5, 0, 0.1, 0], [0.5, 0, 0, 0], [0, 1.0, 0, 0], [0, 1.0, 0, 0])
    equal.note(loss, scores)
    equal()
    # 1/0.5 and 1/1 of a mean of 1.5; of signs, which had no box, nothing is known.
    assert equal.factors.tolist() == pytest.approx([2 * 4 / 3, 2 * 2 / 3, 4, 4])


def test_what_is_known_of_a_loss_follows_it_slowly_and_outlives_batches_without_boxes() -> None:
    one = scores_of([1.0, 0, 0, 0], [0, 1, 0, 0])
    equal = EqualTasks(Assigned(one), list(Task), by_uncertainty=True)
    equal()
    equal.note(scores_of([1.0, 0, 0, 0], [0, 1, 0, 0]), one)
    equal.note(scores_of([3.0, 0, 0, 0], [0, 0, 0, 0]), scores_of([1.0, 0, 0, 0]))
    equal()
    assert equal.factors is not None
    pedestrians, cars = 1 / 1.1, 1.0  # 0.95 of 1 and 0.05 of 3; as it was
    mean = (pedestrians + cars) / 2
    assert equal.factors.tolist()[:2] == pytest.approx([2 * pedestrians / mean, 2 * cars / mean])


def test_uncertainty_begins_as_every_task_the_same(network: RoadModel) -> None:
    seen = batch({"car", "sign"}, {"car", "sign"}, classes=[1.0, 2.0])
    (by_task, _), (by_uncertainty, _) = (
        loss_of(network, weight, seen) for weight in (LossWeight.TASK, LossWeight.UNCERTAINTY)
    )
    assert torch.equal(by_task, by_uncertainty)


def loss_of(network: RoadModel, weight: LossWeight, seen: dict[str, Any]) -> Any:
    """The loss and its parts where ``loss_weight`` is."""
    network.loss_weight = weight
    try:
        criterion = network.init_criterion()
    finally:
        network.loss_weight = LossWeight.BOX
    return criterion(network(seen["img"]), seen)


def test_one_task_alone_weighs_as_its_boxes_do_bit_for_bit(network: RoadModel) -> None:
    seen = batch({"car"}, {"car"}, classes=[1.0, 1.0])
    (by_task, _), (by_box, _) = (
        loss_of(network, weight, seen) for weight in (LossWeight.TASK, LossWeight.BOX)
    )
    assert torch.equal(by_task, by_box)


def test_the_loss_is_the_mean_of_each_tasks_own(network: RoadModel) -> None:
    labelled = [{"car", "sign"}] * 24
    seen = batch(*labelled, classes=[1.0] * 16 + [2.0] * 8)  # twice as many cars

    def own(task: str, number: float) -> Any:
        mine = seen["cls"][:, 0] == number
        boxes = {key: seen[key][mine] for key in ("batch_idx", "cls", "bboxes")}
        labelled = {"label_mask": LabelMask.of(FOUR_TASKS, [{task}] * 24)}
        return loss_of(network, LossWeight.BOX, seen | boxes | labelled)[0]

    mean = (own("car", 1.0) + own("sign", 2.0)) / 2
    assert torch.allclose(loss_of(network, LossWeight.TASK, seen)[0], mean, rtol=1e-5)
    assert not torch.allclose(loss_of(network, LossWeight.BOX, seen)[0], mean, rtol=1e-3)
