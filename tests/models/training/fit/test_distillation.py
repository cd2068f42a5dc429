"""The pretrained network's predictions: its own scores, for what its classes mean."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.tasks import ModelClass, Task
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.distillation import Distiller, SingleTaskTeachers
from oneglance.models.training.fit.heads import from_scratch
from oneglance.streams.errors import UsageError

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


def single(folder: Path, cls: ModelClass) -> Path:
    """A network of ours for one class, never trained."""
    torch.manual_seed(len(cls.name))
    model = from_scratch((cls,))
    file = folder / f"{cls.name}.pt"
    torch.save({"model": model.as_ultralytics(), "train_args": {}}, file)
    return file


def test_single_task_models_teach_each_its_own_class(tmp_path: Path) -> None:
    files = [single(tmp_path, CLASSES[2]), single(tmp_path, CLASSES[0])]
    images = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
    predicted = SingleTaskTeachers(files, CLASSES).predict(images, 0.25)
    assert predicted.label_share == 0.25
    assert predicted.covered.tolist() == [True, False, True, False]
    for file, ours in zip(files, (2, 0), strict=True):
        network = read_checkpoint(file).float().eval()
        list(network.model)[-1].training = True  # type: ignore[arg-type]
        with torch.no_grad():
            raw = network(images)
        for head in ("one2many", "one2one"):
            expected = raw[head]["scores"][:, 0].sigmoid()
            assert torch.allclose(predicted.scores[head][..., ours], expected, atol=1e-6)
            assert predicted.scores[head][..., 1].abs().sum() == 0
            assert not predicted.scores[head].requires_grad


def test_teachers_of_other_classes_or_of_the_same_are_refused(tmp_path: Path) -> None:
    car = single(tmp_path, CLASSES[0])
    with pytest.raises(UsageError, match=r"car\.pt has none of the classes to train \(sign\)"):
        SingleTaskTeachers([car], CLASSES[1:2])
    with pytest.raises(UsageError, match="both know car: give one for each class"):
        SingleTaskTeachers([car, car], CLASSES)


def test_a_teacher_whose_car_is_another_is_refused(coco_base: Path) -> None:
    with pytest.raises(UsageError, match=r"other classes than ours \(person, bicycle, .*: give a"):
        SingleTaskTeachers([coco_base], CLASSES)
