"""The loss over what is labelled; figures worked out by hand.

Binary cross-entropy of logit 0 is ln 2 = 0.6931 for either target; of logit ln 3 (probability
3/4) it is -ln 3/4 = 0.2877 for target 1 and -ln 1/4 = 1.3863 for target 0.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS, ModelClass, Task
from oneglance.models.training.fit.heads import RoadModel
from oneglance.models.training.fit.losses import (
    EqualTasks,
    LabelMask,
    PartialBCE,
    TeacherPredictions,
    parent_class_of,
)
from oneglance.models.training.recipe import LossWeight

LN2, LN3 = math.log(2), math.log(3)
LIGHTS = (
    ModelClass("car", Task.CAR),
    ModelClass("light", Task.LIGHT),
    ModelClass("light_red", Task.LIGHT),
    ModelClass("light_green", Task.LIGHT),
)
COLOURS = {"light_red", "light_green"}


def bce(classes: tuple[ModelClass, ...], *labelled: set[str]) -> PartialBCE:
    loss = PartialBCE(parent_class_of(classes))
    loss.label_mask = LabelMask.of(classes, labelled)
    return loss


def test_a_task_that_an_image_does_not_label_costs_nothing_and_has_no_gradient() -> None:
    logits = torch.tensor([[[0.0, LN3, 5.0, -5.0]]], requires_grad=True)
    loss = bce(FOUR_TASKS, {"pedestrian", "car"})(logits, torch.tensor([[[0.0, 1, 0, 0]]]))
    assert loss[0, 0].tolist() == pytest.approx([LN2, math.log(4 / 3), 0, 0])
    loss.sum().backward()
    assert logits.grad is not None
    # d/dx = p - target: 1/2 - 0, 3/4 - 1, and exactly nothing.
    assert logits.grad[0, 0].tolist() == pytest.approx([0.5, -0.25, 0, 0])
    assert logits.grad[0, 0, 2:].tolist() == [0.0, 0.0]


def test_each_image_of_a_batch_is_judged_by_what_its_own_source_labels() -> None:
    zeros = torch.zeros(2, 3, 4)
    loss = bce(FOUR_TASKS, {"sign"}, {"pedestrian", "car", "sign", "light"})(zeros, zeros)
    assert (loss > 0).sum(dim=(1, 2)).tolist() == [3, 12]


def test_everything_labelled_is_the_loss_of_torch_bit_for_bit() -> None:
    torch.manual_seed(1)
    logits, targets = torch.randn(2, 9, 4), torch.rand(2, 9, 4)
    all_known = {cls.name for cls in FOUR_TASKS}
    unmasked = torch.nn.BCEWithLogitsLoss(reduction="none")(logits, targets)
    assert torch.equal(bce(FOUR_TASKS, all_known, all_known)(logits, targets), unmasked)


def test_a_light_of_unlabelled_colour_teaches_no_colour_but_its_surroundings_do() -> None:
    # Two anchors: a light whose colour the source does not tell, and nothing.
    targets = torch.tensor([[[0.0, 1, 0, 0], [0, 0, 0, 0]]])
    loss = bce(LIGHTS, {"car", "light"})(torch.zeros(1, 2, 4), targets)
    on_the_light, beside = loss[0].tolist()
    assert on_the_light == pytest.approx([LN2, LN2, 0, 0])
    assert beside == pytest.approx([LN2] * 4)


def test_a_red_light_is_a_light_and_no_green_one() -> None:
    logits = torch.tensor([[[0.0, LN3, LN3, LN3]]])
    loss = bce(LIGHTS, COLOURS)(logits, torch.tensor([[[0.0, 0, 1, 0]]]))
    # Cars are not labelled; light and light_red are there, light_green is not.
    assert loss[0, 0].tolist() == pytest.approx(
        [0, math.log(4 / 3), math.log(4 / 3), math.log(4)], rel=1e-6
    )


def test_subclasses_know_the_parent_class_of_their_task() -> None:
    assert parent_class_of(LIGHTS) == {2: 1, 3: 1}
    assert parent_class_of(FOUR_TASKS) == {}
    assert parent_class_of((ModelClass("light_red", Task.LIGHT),)) == {}


def test_an_answer_is_the_target_where_nothing_is_labelled_and_nowhere_else() -> None:
    # The car is labelled; light is not and is taught by the teacher; its subclasses are not.
    loss = bce(LIGHTS, {"car"})
    predicted = torch.tensor([[[0.25, 0.75, 0.9, 0.9]]])
    loss.teacher = predicted, torch.tensor([True, True, False, False])
    logits = torch.tensor([[[0.0, LN3, LN3, LN3]]], requires_grad=True)
    cost = loss(logits, torch.tensor([[[1.0, 0, 0, 0]]]))
    # ln 3 is probability 3/4: what the answer says, so there is nothing to learn.
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert cost[0, 0].tolist() == pytest.approx([LN2, entropy, 0, 0], rel=1e-6)
    cost.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].tolist() == pytest.approx([-0.5, 0, 0, 0], abs=1e-7)


def test_teachers_share_the_target_with_labels_and_have_it_alone_without() -> None:
    # Cars are labelled, lights are not; nobody teaches signs. Labels count for a quarter.
    loss = bce(FOUR_TASKS, {"car", "sign"})
    predicted = torch.tensor([[[0.9, 0.4, 0.9, 0.75]]])
    loss.teacher = predicted, torch.tensor([False, True, False, True])
    loss.label_share = 0.25
    logits = torch.tensor([[[0.0, 0, 0, LN3]]], requires_grad=True)
    loss(logits, torch.tensor([[[0.0, 1, 0, 0]]])).sum().backward()
    assert logits.grad is not None
    # d/dx = p - target; the car's target is a quarter of 1 and three quarters of 0.4.
    assert logits.grad[0, 0].tolist() == pytest.approx([0, 0.5 - 0.55, 0.5, 0], abs=1e-7)


def partial_bce(classes: tuple[ModelClass, ...], labelled: set[str], *tasks: Task) -> PartialBCE:
    """The loss of one image that labels ``tasks`` in part."""
    loss = PartialBCE(parent_class_of(classes))
    loss.label_mask = LabelMask.of(classes, [labelled], [set(tasks)])
    return loss


def test_of_a_task_labelled_in_part_boxes_teach_and_their_absence_does_not() -> None:
    # Two anchors: a sign that has a box, and one where none is. Cars are labelled completely.
    logits = torch.tensor([[[5.0, 0, LN3, 5], [5, 0, LN3, 5]]], requires_grad=True)
    loss = partial_bce(FOUR_TASKS, {"car", "sign"}, Task.SIGN)
    cost = loss(logits, torch.tensor([[[0.0, 0, 1, 0], [0, 0, 0, 0]]]))
    assert cost[0].tolist() == [
        pytest.approx([0, LN2, math.log(4 / 3), 0]),
        pytest.approx([0, LN2, 0, 0]),
    ]
    cost.sum().backward()
    assert logits.grad is not None
    # d/dx = p - target: 1/2 - 0 for cars at both, 3/4 - 1 for the sign, and exactly nothing.
    assert logits.grad[0].tolist() == [
        pytest.approx([0, 0.5, -0.25, 0]),
        pytest.approx([0, 0.5, 0, 0]),
    ]
    assert logits.grad[0, 1, 2] == 0


def test_on_a_box_of_a_task_labelled_in_part_its_subclasses_are_distinguished() -> None:
    # A red light that has a box; where none is, neither light nor colours are labelled.
    targets = torch.tensor([[[0.0, 0, 1, 0], [0, 0, 0, 0]]])
    loss = partial_bce(LIGHTS, {"light", *COLOURS}, Task.LIGHT)
    on_the_light, beside = loss(torch.zeros(1, 2, 4), targets)[0].tolist()
    assert on_the_light == pytest.approx([0, LN2, LN2, LN2])
    assert beside == [0, 0, 0, 0]


def test_where_a_task_labelled_in_part_has_no_box_the_answer_is_the_target() -> None:
    loss = partial_bce(FOUR_TASKS, {"light"}, Task.LIGHT)
    predicted = torch.full((1, 2, 4), 0.25)
    loss.teacher = predicted, torch.tensor([False, False, False, True])
    logits = torch.tensor([[[0.0, 0, 0, LN3], [0, 0, 0, LN3]]], requires_grad=True)
    loss(logits, torch.tensor([[[0.0, 0, 0, 1], [0, 0, 0, 0]]])).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 3].tolist() == pytest.approx([0.75 - 1, 0.75 - 0.25])
    assert logits.grad[0, :, :3].abs().sum() == 0


def test_each_image_of_a_batch_is_complete_or_not_by_its_own_source() -> None:
    loss = PartialBCE({})
    loss.label_mask = LabelMask.of(FOUR_TASKS, [{"sign"}, {"sign"}], [{Task.SIGN}, set()])
    cost = loss(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4))
    assert (cost > 0).sum(dim=(1, 2)).tolist() == [0, 3]


def test_a_batch_without_a_label_mask_is_a_bug_of_ours() -> None:
    with pytest.raises(RuntimeError, match="not set"):
        PartialBCE({})(torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))


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
    equal = EqualTasks(Assigned(scores), [cls.task for cls in LIGHTS])
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
    equal = EqualTasks(Assigned(scores), [cls.task for cls in LIGHTS], exponent=exponent)
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
    loss = bce(FOUR_TASKS, {"pedestrian", "sign"})
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
