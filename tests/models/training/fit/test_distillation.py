"""The pretrained network's predictions: its own scores, for what its classes mean."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.tasks import ModelClass, Task
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.distillation import Distiller

CLASSES = (
    ModelClass("car", Task.CAR),
    ModelClass("sign", Task.SIGN),
    ModelClass("light", Task.LIGHT),
    ModelClass("light_red", Task.LIGHT),
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_its_predictions_are_the_pretrained_networks_scores_of_the_related_classes(
    coco_base: Path,
) -> None:
    images = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
    predicted = Distiller(coco_base, CLASSES).predict(images)
    pretrained = read_checkpoint(coco_base).eval()
    list(pretrained.model)[-1].training = True  # type: ignore[arg-type]
    with torch.no_grad():
        raw = pretrained(images)
    related = [2, 11, 9, 9]  # COCO's car, stop sign, traffic light
    for head in ("one2many", "one2one"):
        expected = raw[head]["scores"][:, related].sigmoid().permute(0, 2, 1)
        assert torch.allclose(predicted.scores[head], expected, atol=1e-5)
        assert expected.std() > 0


def test_it_predicts_no_sign_and_no_subclass(coco_base: Path) -> None:
    predicted = Distiller(coco_base, CLASSES).predict(torch.rand(1, 3, 64, 64))
    assert predicted.covered.tolist() == [True, False, True, False]


def test_its_predictions_carry_no_gradient(coco_base: Path) -> None:
    predicted = Distiller(coco_base, CLASSES).predict(torch.rand(1, 3, 64, 64))
    assert not any(scores.requires_grad for scores in predicted.scores.values())
