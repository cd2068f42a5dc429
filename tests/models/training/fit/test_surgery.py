"""Gradient surgery, by hand and through real trainings of a few small images."""

from __future__ import annotations

import copy
import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from ultralytics.cfg import get_cfg

from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, Task
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.execution import Amp, Execution
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.fit.heads import RoadModel, from_scratch
from oneglance.models.training.fit.losses import LabelMask
from oneglance.models.training.fit.surgery import PCGrad, shares, task_losses
from oneglance.models.training.recipe import (
    GradientSurgery,
    LossWeight,
    Recipe,
    TrainableLayers,
)
from oneglance.streams.errors import UsageError

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves

SMALL: dict[str, Any] = {"size": (160, 96), "batch": 4, "warmup_epochs": 0.0}
PCGRAD: dict[str, Any] = SMALL | {"gradient_surgery": GradientSurgery.PCGRAD}
EVERY = frozenset(cls.name for cls in FOUR_TASKS)


def backward(loss: Any) -> None:
    loss.backward()


def gradient(weight: Any) -> Any:
    return weight.grad


def test_gradients_that_conflict_are_projected_onto_each_others_normal_plane() -> None:
    # Losses x + y and y - 3x: gradients (1, 1) and (-3, 1), whose dot product is -2.
    weights = torch.tensor([0.5, 0.25], requires_grad=True)
    losses = [weights[0] + weights[1], weights[1] - 3 * weights[0]]
    total = PCGrad()(losses, [weights])
    assert total.item() == pytest.approx(0.75 - 1.25)
    backward(total)
    # (1, 1) + 2/10 · (-3, 1) = (0.4, 1.2) and (-3, 1) + 2/2 · (1, 1) = (-2, 2).
    assert weights.grad.tolist() == pytest.approx([0.4 - 2, 1.2 + 2])


def test_gradients_that_agree_are_added_up_and_so_are_those_nobody_shares() -> None:
    shared = torch.tensor([1.0, 2.0], requires_grad=True)
    own = torch.tensor([3.0], requires_grad=True)
    losses = [shared.sum() + 5 * own.sum(), shared[0] * own.sum()]
    backward(PCGrad()(losses, [shared], [own]))
    # (1, 1) and (3, 0) do not conflict; 5 and shared[0] are added whatever their signs.
    assert (shared.grad.tolist(), own.grad.tolist()) == ([4, 1], [6])


def test_a_third_task_meets_what_is_left_after_the_others_in_the_order_drawn() -> None:
    # Gradients a = (1, 0), b = (-1, 1), c = (-1, -2). By hand, a meets b first: a·b = -1,
    # a + b/2 = (1/2, 1/2); with c -3/2, over 5: + 3/10 c = (0.2, -0.1). c first: a·c = -1,
    # a + c/5 = (0.8, -0.4); with b -1.2, over 2: + 0.6 b = (0.2, 0.2).
    a, b, c = torch.tensor([[1.0, 0], [-1, 1], [-1, -2]])
    gram = [[float(x @ y) for y in (a, b, c)] for x in (a, b, c)]
    for order, left in (([1, 2], (0.2, -0.1)), ([2, 1], (0.2, 0.2))):
        found = shares(gram, [order, [], []])
        step = found[0] * a + found[1] * b + found[2] * c
        assert (step - b - c).tolist() == pytest.approx(left, abs=1e-6)


def test_a_task_without_a_loss_in_the_batch_changes_nothing() -> None:
    weights = torch.tensor([0.5, 0.25], requires_grad=True)
    nothing = (weights * 0).sum()
    backward(PCGrad()([nothing, weights[1] - 3 * weights[0], nothing], [weights]))
    assert weights.grad.tolist() == [-3, 1]
    weights.grad = None
    backward(PCGrad()([nothing, nothing], [weights]))
    assert weights.grad.tolist() == [0, 0]


def test_batches_add_up_and_a_loss_scale_stays_a_scale() -> None:
    weights = torch.tensor([0.5, 0.25], requires_grad=True)

    def total() -> Any:
        return PCGrad()([weights[0] + weights[1], weights[1] - 3 * weights[0]], [weights])

    backward(1024 * total())  # as a GradScaler does
    assert weights.grad.tolist() == pytest.approx([1024 * -1.6, 1024 * 3.2])
    backward(total())
    assert weights.grad.tolist() == pytest.approx([1025 * -1.6, 1025 * 3.2])


def batch(names: list[set[str] | frozenset[str]], classes: Any = FOUR_TASKS) -> dict[str, Any]:
    """Images that label ``names``; in each a pedestrian, a car, a sign and a light."""
    count = len(names)
    places = torch.tensor([[0.2, 0.3], [0.7, 0.6], [0.4, 0.7], [0.6, 0.2]])
    return {
        "img": torch.rand(count, 3, 96, 160, generator=torch.Generator().manual_seed(3)),
        "batch_idx": torch.arange(count).repeat_interleave(4).float(),
        "cls": torch.arange(4.0).repeat(count)[:, None],
        "bboxes": torch.cat([places, torch.full((4, 2), 0.25)], dim=1).repeat(count, 1),
        "label_mask": LabelMask.of(classes, names),
    }


def network(classes: Any = FOUR_TASKS, weight: LossWeight = LossWeight.BOX) -> RoadModel:
    torch.manual_seed(0)
    model = from_scratch(classes)
    settings: Any = get_cfg()
    model.args = settings
    model.loss_weight = weight
    return model.train()


@pytest.mark.parametrize("weight", [LossWeight.BOX, LossWeight.TASK])
@pytest.mark.parametrize("classes", [FOUR_TASKS, FOUR_TASKS + LIGHT_COLOURS])
def test_the_tasks_losses_add_up_to_the_loss_in_value_and_gradient(
    weight: LossWeight, classes: Any
) -> None:
    whole = network(classes, weight)
    split = copy.deepcopy(whole)
    split.surgery = PCGrad()
    images = batch([EVERY, {"car", "sign"}], classes)
    loss, items = whole.loss(dict(images))
    loss.sum().backward()
    total, same = split.loss(dict(images))
    assert total.item() == pytest.approx(loss.sum().item(), rel=1e-5)
    assert {name: float(item) for name, item in same.items()} == pytest.approx(
        {name: float(item) for name, item in items.items()}, rel=1e-5
    )
    of_tasks = task_losses(split.criterion)
    assert len(of_tasks) == 4
    assert all(loss.item() > 0 for loss in of_tasks)
    torch.stack(of_tasks).sum().backward()
    for (name, one), two in zip(whole.named_parameters(), split.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, rtol=1e-3, atol=1e-5), name


def test_of_tasks_that_conflict_the_network_learns_the_projected_sum() -> None:
    model = network(FOUR_TASKS[:2])
    model.surgery = PCGrad()
    images = batch([EVERY], FOUR_TASKS[:2])
    images |= {key: images[key][:2] for key in ("batch_idx", "cls", "bboxes")}
    total, _ = model.loss(dict(images))
    own = re.compile(r"cv3\.\d\.2\.(weight|bias)$")  # one row a class
    weights = [weight for name, weight in model.named_parameters() if not own.search(name)]
    one, two = (
        torch.cat(
            [
                torch.zeros(weight.numel()) if found is None else found.reshape(-1)
                for weight, found in zip(
                    weights,
                    torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True),
                    strict=True,
                )
            ]
        )
        for loss in task_losses(model.criterion)
    )
    along = one @ two
    assert along < 0  # this network has a conflict, or nothing would be tested
    backward(total)
    learnt = torch.cat([gradient(weight).reshape(-1) for weight in weights])
    expected = one + two - along / (two @ two) * two - along / (one @ one) * one
    assert torch.allclose(learnt, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_images_that_label_one_task_train_as_without_surgery() -> None:
    whole = network()
    split = copy.deepcopy(whole)
    split.surgery = PCGrad()
    images = batch([{"car"}])
    of_cars = images["cls"].view(-1) == 1
    images |= {key: images[key][of_cars] for key in ("batch_idx", "cls", "bboxes")}
    whole.loss(dict(images))[0].sum().backward()
    split.loss(dict(images))[0].backward()
    for (name, one), two in zip(whole.named_parameters(), split.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, rtol=1e-3, atol=1e-5), name


def weights_of(file: Path) -> dict[str, Any]:
    state: dict[str, Any] = read_checkpoint(file).state_dict()
    return {name: value for name, value in state.items() if name.endswith(".weight")}


def test_an_interrupted_training_with_surgery_ends_as_an_uninterrupted_one(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oneglance.models.training.fit.trainer import RoadTrainer

    recipe = Recipe(epochs=2, mosaic=0.0, calm_share=0.0, scale=0.0, **PCGRAD)
    whole = finetune([data], base=base, recipe=recipe, out=tmp_path / "whole")
    reported = json.loads((tmp_path / "whole" / "recipe.json").read_text())
    assert reported["run"]["recipe"]["gradient_surgery"] == "pcgrad"
    saved = RoadTrainer.save_model

    def interrupt(self: Any) -> None:
        saved(self)
        assert isinstance(self.model.surgery, PCGrad)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RoadTrainer, "save_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            finetune([data], base=base, recipe=recipe, out=tmp_path / "parted")
    parted = finetune([data], base=base, recipe=recipe, out=tmp_path / "parted")
    start, one, two = map(weights_of, (base, whole, parted))
    moved = sum((one[k] - start[k]).abs().sum().item() for k in one)
    assert sum((one[k] - two[k]).abs().sum().item() for k in one) < 1e-3 * moved


PROCESS = """
import json, sys, torch
from oneglance.models.training.fit.surgery import PCGrad

torch.distributed.init_process_group("gloo")
first = torch.distributed.get_rank() == 0
weights = torch.tensor([0.5, 0.25], requires_grad=True)
one = 2 * weights.sum() if first else 0 * weights.sum()
two = weights[1] - 3 * weights[0]
PCGrad()([one, two], [weights]).backward()
open(f"{sys.argv[1]}.{int(first)}", "w").write(json.dumps(weights.grad.tolist()))
torch.distributed.destroy_process_group()
"""


def test_processes_operate_on_the_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    script, found = tmp_path / "process.py", tmp_path / "found"
    script.write_text(PROCESS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run([*launch, str(script), str(found)], check=True)
    # On average over both (1, 1) and (-3, 1), as in the first test; one process has no conflict.
    for process in ("0", "1"):
        learnt = json.loads(found.with_suffix(f".{process}").read_text())
        assert learnt == pytest.approx([-1.6, 3.2])


def test_two_processes_train_with_surgery(data: Path, base: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, learning_rate=1e-4, mosaic=0.0, scale=0.0, **PCGRAD)
    losses = []
    for device in ("cpu", "cpu,cpu"):
        execution = Execution(device=device, amp=Amp.OFF)
        finetune([data], base=base, recipe=recipe, out=tmp_path / device, execution=execution)
        with (tmp_path / device / "results.csv").open(encoding="utf-8") as lines:
            (row,) = csv.DictReader(lines)
        losses.append(sum(float(row[f"train/{n}"]) for n in ("box_loss", "cls_loss", "l1_loss")))
    assert losses[1] == pytest.approx(losses[0], rel=0.2)  # BatchNorm sees other shares


def test_surgery_is_refused_where_nothing_is_shared(data: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="last layer has a part for each: train more"):
        Recipe(trainable=TrainableLayers.LAST, **PCGRAD)
    car = tuple(cls for cls in FOUR_TASKS if cls.task is Task.CAR)
    recipe = Recipe(epochs=1, **PCGRAD)
    with pytest.raises(UsageError, match="between tasks, and car is the only one"):
        finetune([data], base=base, recipe=recipe, out=tmp_path / "out", classes=car)
    assert not (tmp_path / "out").exists()
