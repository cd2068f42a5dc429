"""What a base must be, reported before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
tasks = pytest.importorskip("ultralytics.nn.tasks", reason="needs the 'train' extra")

from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.bases import check_base
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.recipe import Recipe, TrainableLayers, Unlabelled
from oneglance.streams.errors import ModelError, OneglanceError, UsageError

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves


def untrained(folder: Path, description: str) -> Path:
    """A checkpoint of ultralytics' for our four tasks."""
    torch.manual_seed(0)
    model = tasks.DetectionModel(description, nc=4, verbose=False)
    model.names = dict(enumerate(("person", "car", "stop sign", "traffic light")))
    file = folder / "base.pt"
    torch.save({"model": model.half(), "train_args": {}}, file)
    return file


def refused(data: Path, base: Path, out: Path, **how: object) -> str:
    """What training complains of; nothing is written."""
    with pytest.raises(OneglanceError) as caught:
        finetune([data], base=base, recipe=Recipe(epochs=1, batch=2, **how), out=out)  # type: ignore[arg-type]
    assert not out.exists()
    return str(caught.value)


def test_sizes_are_multiples_of_the_networks_own_stride(data: Path, tmp_path: Path) -> None:
    base = untrained(tmp_path, "yolov8n-p6.yaml")
    assert refused(data, base, tmp_path / "out", size=(352, 224)) == (
        "size 352x224: both sides must be multiples of 64 for this network, such as 384x256"
    )
    recipe = Recipe(
        epochs=1, size=(128, 64), batch=4, warmup_epochs=0.0, trainable=TrainableLayers.LAST
    )
    trained = finetune([data], base=base, recipe=recipe, out=tmp_path / "out")
    assert max(read_checkpoint(trained).stride) == 64


@pytest.mark.parametrize("description", ["yolo26n.yaml", "yolo11n.yaml"])
def test_a_network_that_was_fused_is_refused(tmp_path: Path, description: str) -> None:
    model = read_checkpoint(untrained(tmp_path, description))
    check_base(model, tmp_path / "base.pt", (96, 64))
    with pytest.raises(ModelError, match=r"base\.pt holds a network made ready .* \(fused\)"):
        check_base(model.fuse(verbose=False), tmp_path / "base.pt", (96, 64))


def test_a_network_with_one_head_is_distilled_too(data: Path, tmp_path: Path) -> None:
    base = untrained(tmp_path, "yolo11n.yaml")
    recipe = Recipe(
        epochs=1, size=(96, 64), batch=4, warmup_epochs=0.0, unlabelled=Unlabelled.DISTILL
    )
    trained = finetune([data], base=base, recipe=recipe, out=tmp_path / "out")
    again = finetune([data], base=trained, recipe=recipe, out=tmp_path / "again")
    names = [name for name, _ in read_checkpoint(again).named_modules()]
    assert any(name.endswith(".cv2") for name in names)
    assert not any("one2one" in name for name in names)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, 1e6, float("inf"), float("nan")])
def test_a_learning_rate_out_of_bounds_is_refused_with_them(rate: float) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1, not"):
        Recipe(learning_rate=rate)
    with pytest.raises(UsageError, match="above 0 and at most 1000, not"):
        Recipe(class_rate=rate * 1e3)


def test_a_network_for_something_else_leaves_no_folder(data: Path, tmp_path: Path) -> None:
    model = tasks.SegmentationModel("yolo26n-seg.yaml", verbose=False)
    torch.save({"model": model.half(), "train_args": {}}, tmp_path / "seg.pt")
    with pytest.raises(ModelError, match="holds a segmentation network"):
        finetune([data], base=tmp_path / "seg.pt", recipe=Recipe(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
