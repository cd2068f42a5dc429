"""Task-wise branches: nothing changes at the start, and later each task learns in its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("onnxslim", reason="needs the 'train' extra")

from oneglance.models import Detector
from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.execution import Execution
from oneglance.models.training.export import export
from oneglance.models.training.fit.branches import (
    add_task_branches,
    branched_tasks,
    hidden_layer,
    network_flops,
)
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.fit.heads import (
    RoadModel,
    class_branches,
    from_scratch,
    with_new_last_layer,
)
from oneglance.models.training.recipe import GradientSurgery, Recipe
from oneglance.models.training.running.plan import plan_training
from oneglance.streams.errors import UsageError

pytestmark = [
    pytest.mark.filterwarnings("default"),  # ultralytics and torch warn of themselves
    pytest.mark.usefixtures("one_thread"),
]

CLASSES = FOUR_TASKS + LIGHT_COLOURS
SMALL: dict[str, Any] = {"size": (160, 96), "batch": 4, "warmup_epochs": 0.0}


def branched(base: Path, classes: Any = CLASSES) -> RoadModel:
    model = with_new_last_layer(read_checkpoint(base), classes)
    add_task_branches(model)
    return model


def foreign_filters(model: Any, classes: Any = CLASSES) -> Any:
    """The weights with which classes see other tasks' branches."""
    order = list(dict.fromkeys(cls.task for cls in classes))
    found = []
    for branches in class_branches(model):
        for branch in branches:
            rows = branch[-1].weight.detach().reshape(len(classes), len(order), -1)
            for row, cls in zip(rows, classes, strict=True):
                found += [part for task, part in zip(order, row, strict=True) if task != cls.task]
    return torch.stack(found)


def test_a_network_with_branches_answers_at_first_as_the_one_without(coco_base: Path) -> None:
    plain = with_new_last_layer(read_checkpoint(coco_base), CLASSES).eval()
    model = branched(coco_base).eval()
    images = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (expected, raw), (found, other) = plain(images), model(images)
    assert torch.allclose(found, expected, atol=1e-5)
    for head in ("one2many", "one2one"):
        assert torch.allclose(other[head]["scores"], raw[head]["scores"], atol=1e-5)
    assert raw["one2many"]["scores"].std() > 0
    assert branched_tasks(model) == ["pedestrian", "car", "sign", "light"]
    assert branched_tasks(plain) == []
    assert foreign_filters(model).abs().sum() == 0


def test_the_flops_of_branches_are_counted(data: Path) -> None:
    plain, model = from_scratch(FOUR_TASKS), from_scratch(FOUR_TASKS)
    add_task_branches(model)
    more = network_flops(model, (160, 96)) - network_flops(plain, (160, 96))
    # Three more of the 1×1 convolution from 64 to 64 channels and of the four classes' filters,
    # twice for multiply and add, at 20×12, 10×6 and 5×3 places.
    assert more == 2 * 3 * (64 * 64 + 64 * 4) * (240 + 60 + 15)
    recipe = Recipe(epochs=1, task_branches=True, **SMALL)
    plan = plan_training([data], recipe=recipe, execution=Execution())
    assert plan.branch_flops == more
    assert 0 < more < 0.08 * plan.flops


def test_each_task_learns_in_its_own_branch_and_the_file_needs_nothing_of_ours(
    data: Path, base: Path, tmp_path: Path
) -> None:
    recipe = Recipe(
        epochs=1,
        learning_rate=0.01,
        task_branches=True,
        gradient_surgery=GradientSurgery.PCGRAD,
        alpha=0.5,
        **SMALL,
    )
    weights = finetune([data], base=base, recipe=recipe, out=tmp_path / "out")
    trained = read_checkpoint(weights)
    assert branched_tasks(trained) == [cls.name for cls in FOUR_TASKS]
    assert foreign_filters(trained, FOUR_TASKS).abs().sum() == 0
    layer = hidden_layer(class_branches(trained)[0][0])
    parts = layer.conv.weight.detach().chunk(4)
    assert all(not torch.equal(parts[0], part) for part in parts[1:])

    # One ONNX graph that a Detector reads, of all classes and of some.
    for only in (None, FOUR_TASKS[1:3]):
        file = tmp_path / "m.onnx"
        export(weights, file, name="m", size=(160, 96), only=only)  # proves it equal to torch
        detector = Detector.load(file, threads=1, confidence=0.0001)
        assert [cls.name for cls in detector.classes] == [c.name for c in only or FOUR_TASKS]
        assert detector(np.full((96, 160, 3), 90, np.uint8)).xyxy.shape[1] == 4

    # It is trained on with its branches, and not without them or for other tasks.
    again = Recipe(epochs=1, task_branches=True, **SMALL)
    more = finetune([data], base=weights, recipe=again, out=tmp_path / "more")
    assert foreign_filters(read_checkpoint(more), FOUR_TASKS).abs().sum() == 0
    without = Recipe(epochs=1, **SMALL)
    with pytest.raises(UsageError, match=r"has branches by task: give --task-branches"):
        finetune([data], base=weights, recipe=without, out=tmp_path / "no")
    with pytest.raises(UsageError, match="has branches for pedestrian, car, sign, light, not for"):
        finetune([data], base=weights, recipe=again, out=tmp_path / "no", classes=FOUR_TASKS[1:])
    with pytest.raises(UsageError, match="sign is the only task: leave out --task-branches"):
        finetune([data], base=base, recipe=again, out=tmp_path / "no", classes=FOUR_TASKS[2:3])
    assert not (tmp_path / "no").exists()
