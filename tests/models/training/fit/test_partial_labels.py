"""What an image does not label, or labels in part, teaches nothing; figures worked out by hand.

Binary cross-entropy of logit 0 is ln 2 = 0.6931 for either target; of logit ln 3 (probability
3/4) it is -ln 3/4 = 0.2877 for target 1 and -ln 1/4 = 1.3863 for target 0.
"""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS, ModelClass, Task
from oneglance.models.training.fit.losses import (
    LabelMask,
    PartialBCE,
    parent_class_of,
)

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
