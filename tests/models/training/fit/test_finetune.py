"""Real trainings, of a few small images for a few steps."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.recipe import (
    LossWeight,
    Recipe,
    TrainableLayers,
    Unlabelled,
)
from oneglance.streams.errors import DataError, UsageError
from oneglance.streams.rendered.dataset import write_dataset

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves

SMALL: dict[str, Any] = {"size": (160, 96), "batch": 4, "warmup_epochs": 0.0}


def changed(base: Path, trained: Path) -> set[str]:
    """Names of what training changed, BatchNorm statistics included."""
    before, after = read_checkpoint(base).state_dict(), read_checkpoint(trained).state_dict()
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_training_the_last_layer_changes_its_rows_and_nothing_else(
    data: Path, base: Path, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, learning_rate=0.01, trainable=TrainableLayers.LAST, **SMALL)
    names = changed(base, finetune([data], base=base, recipe=recipe, out=tmp_path / "out"))
    assert names == {
        f"model.23.{branch}.{level}.2.{kind}"
        for branch in ("cv3", "one2one_cv3")
        for level in range(3)
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("trainable", "first"),
    [(TrainableLayers.HEAD, 23), (TrainableLayers.NECK, 13), (TrainableLayers.ALL, 0)],
)
def test_layers_before_the_depth_keep_weights_and_statistics(
    data: Path, base: Path, tmp_path: Path, trainable: TrainableLayers, first: int
) -> None:
    recipe = Recipe(epochs=1, learning_rate=0.01, trainable=trainable, **SMALL)
    names = changed(base, finetune([data], base=base, recipe=recipe, out=tmp_path / "out"))
    layers = {int(name.split(".")[1]) for name in names}
    assert min(layers) == first
    assert any("running_mean" in name for name in names)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oneglance.models.training.fit.trainer import RoadTrainer

    recipe = Recipe(epochs=3, mosaic=0.0, calm_share=0.0, scale=0.0, **SMALL)
    whole = finetune([data], base=base, recipe=recipe, out=tmp_path / "whole")
    saved = RoadTrainer.save_model

    def interrupt(self: Any) -> None:
        saved(self)
        if self.epoch == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RoadTrainer, "save_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            finetune([data], base=base, recipe=recipe, out=tmp_path / "parted")
    assert not (tmp_path / "parted" / "model.pt").exists()
    parted = finetune([data], base=base, recipe=recipe, out=tmp_path / "parted")
    reported = json.loads((tmp_path / "parted" / "recipe.json").read_text())
    assert reported["epochs_of_last_session"] == 2
    # What is drawn depends on the epoch alone; sums in several threads may be rounded otherwise.
    start, one, two = (read_checkpoint(f).state_dict() for f in (base, whole, parted))
    keys = [name for name in start if name.endswith(".weight")]
    moved = sum((one[k] - start[k]).abs().sum().item() for k in keys)
    apart = sum((one[k] - two[k]).abs().sum().item() for k in keys)
    assert apart < 1e-3 * moved


def test_a_finished_training_is_not_done_again(data: Path, base: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, trainable=TrainableLayers.LAST, **SMALL)
    first = finetune([data], base=base, recipe=recipe, out=tmp_path / "out")
    stamp = first.stat().st_mtime_ns
    assert finetune([data], base=base, recipe=recipe, out=tmp_path / "out") == first
    assert first.stat().st_mtime_ns == stamp
    # Nor is one that is older than a field of the recipe.
    file = tmp_path / "out" / "recipe.json"
    told = json.loads(file.read_text())
    assert told["run"]["recipe"].pop("gradient_surgery") == "none"
    file.write_text(json.dumps(told))
    finetune([data], base=base, recipe=recipe, out=tmp_path / "out")
    assert first.stat().st_mtime_ns == stamp


def test_what_a_trained_base_was_made_of_is_reported_too(
    data: Path, base: Path, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, trainable=TrainableLayers.LAST, **SMALL)
    first = finetune([data], base=base, recipe=recipe, out=tmp_path / "first")
    second = finetune([data], base=first, recipe=recipe, out=tmp_path / "second")
    facts = json.loads((second.parent / "recipe.json").read_text())
    assert facts["base_training"]["run"]["base"] == base.name
    assert facts["base_training"]["run"]["data"] == [data.parent.name]


def test_another_recipe_does_not_continue_a_run(data: Path, base: Path, tmp_path: Path) -> None:
    finetune(
        [data],
        base=base,
        recipe=Recipe(epochs=1, trainable=TrainableLayers.LAST, **SMALL),
        out=tmp_path,
    )
    other = Recipe(epochs=2, trainable=TrainableLayers.LAST, **SMALL)
    with pytest.raises(DataError, match=r"another way \(different recipe\): give another --out"):
        finetune([data], base=base, recipe=other, out=tmp_path)


def test_strict_training_refuses_what_could_be_mended(base: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "set", frames=8, seed=5, size=(160, 96))
    label = next((tmp_path / "set" / "labels" / "train").glob("*.txt"))
    label.write_text("1 0.95 0.5 0.2 0.2\n")  # reaches 1.05
    with pytest.raises(DataError, match=rf"{label.name}:1"):
        finetune(
            [data], base=base, recipe=Recipe(epochs=1, **SMALL), out=tmp_path / "out", strict=True
        )
    assert not (tmp_path / "out" / "data").exists()


def test_the_class_branches_can_learn_faster_than_the_rest(
    data: Path, base: Path, tmp_path: Path
) -> None:
    start = read_checkpoint(base).state_dict()
    recipe = Recipe(epochs=1, class_rate=10, **SMALL)
    trained = finetune([data], base=base, recipe=recipe, out=tmp_path / "out")
    after = read_checkpoint(trained).state_dict()
    last, rest = "model.23.cv3.0.2.weight", "model.23.cv2.0.2.weight"
    moved = {name: (after[name] - start[name]).abs().mean() for name in (last, rest)}
    # Alike at one rate: AdamW moves all weights about as far.
    assert moved[last] > 4 * moved[rest]


def test_what_is_not_labelled_can_be_taught_by_the_pretrained_network(
    coco_base: Path, data: Path, tmp_path: Path
) -> None:
    lights = data.with_name("lights.yaml")
    lights.write_text(data.read_text() + "labels: [light]\n")
    whole = write_dataset(tmp_path / "whole", frames=8, seed=6, size=(160, 96))

    def class_loss(unlabelled: Unlabelled) -> float:
        out = tmp_path / unlabelled
        recipe = Recipe(epochs=1, mosaic=0.0, unlabelled=unlabelled, **SMALL)
        finetune([lights, whole], base=coco_base, recipe=recipe, out=out)
        with (out / "results.csv").open(encoding="utf-8") as lines:
            return float(next(csv.DictReader(lines))["train/cls_loss"])

    # The same steps on the same images: only the answers are more to learn.
    assert class_loss(Unlabelled.DISTILL) > class_loss(Unlabelled.IGNORE)


def test_networks_of_ours_can_teach_what_they_know(data: Path, base: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, trainable=TrainableLayers.LAST, **SMALL)
    out = tmp_path / "taught"
    taught = finetune([data], base=base, recipe=recipe, out=out, teachers=[base])
    alone = finetune([data], base=base, recipe=recipe, out=tmp_path / "alone")
    one, other = (read_checkpoint(f).state_dict() for f in (taught, alone))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert finetune([data], base=base, recipe=recipe, out=out, teachers=[base]) == taught
    with pytest.raises(DataError, match="different teachers"):
        finetune([data], base=base, recipe=recipe, out=out)
    negative = Recipe(epochs=1, unlabelled=Unlabelled.NEGATIVE, **SMALL)
    with pytest.raises(UsageError, match="leave out --unlabelled negative"):
        finetune([data], base=base, recipe=negative, out=tmp_path / "no", teachers=[base])
    assert not (tmp_path / "no").exists()


def test_images_can_be_shown_in_other_weather(data: Path, base: Path, tmp_path: Path) -> None:
    weights = []
    for name, share in (("fair", 0.0), ("foul", 1.0)):
        recipe = Recipe(epochs=1, trainable=TrainableLayers.LAST, weather=share, **SMALL)
        weights.append(finetune([data], base=base, recipe=recipe, out=tmp_path / name))
    one, other = (read_checkpoint(file).state_dict() for file in weights)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    reported = json.loads((tmp_path / "foul" / "recipe.json").read_text())
    assert reported["run"]["recipe"]["weather"] == 1.0


def test_every_task_can_weigh_the_same(data: Path, base: Path, tmp_path: Path) -> None:
    def trained(weight: LossWeight) -> Any:
        recipe = Recipe(epochs=1, loss_weight=weight, **SMALL)
        weights = finetune([data], base=base, recipe=recipe, out=tmp_path / weight)
        return read_checkpoint(weights).state_dict()

    by_box, by_task = trained(LossWeight.BOX), trained(LossWeight.TASK)
    assert by_box.keys() == by_task.keys()
    assert not torch.equal(by_box["model.0.conv.weight"], by_task["model.0.conv.weight"])


def test_only_a_pretrained_network_can_teach(data: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, unlabelled=Unlabelled.DISTILL, **SMALL)
    with pytest.raises(UsageError, match=r"no answers|--base"):
        finetune([data], base=None, recipe=recipe, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_from_scratch_needs_no_base(data: Path, tmp_path: Path) -> None:
    trained = finetune([data], base=None, recipe=Recipe(epochs=1, **SMALL), out=tmp_path / "out")
    assert list(read_checkpoint(trained).names.values()) == ["pedestrian", "car", "sign", "light"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"size": (640, 380)}, "640x380: both sides must be multiples of 32"),
        ({"epochs": 0}, "at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"balance": 1.5}, "balance must be from 0 to 1, not 1.5"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Recipe(**wrong)


def test_a_share_of_the_images_is_trained_on(data: Path, base: Path, tmp_path: Path) -> None:
    part = Recipe(epochs=1, trainable=TrainableLayers.LAST, share=0.5, **SMALL)
    finetune([data], base=base, recipe=part, out=tmp_path)
    images = list((tmp_path / "data" / "images" / "train").iterdir())
    reported = json.loads((tmp_path / "recipe.json").read_text())
    assert reported["train_images"] == len(images) == round(0.5 * len(list_images(data)))


def list_images(data: Path) -> list[Path]:
    return list((data.parent / "images" / "train").iterdir())


def test_paths_are_printed_whole_whatever_signs_are_in_them(
    data: Path, base: Path, tmp_path: Path, oneglance: Any
) -> None:
    out = tmp_path / "runs [v2] of [bold]a long name, as folders of experiments have" / "[/]"
    size = ("--size", "96x64")
    last = ("--epochs", 1, "--trainable-layers", "last")
    trained = oneglance("train", data, "--base", base, "--out", out, *size, *last)
    assert trained.code == 0, trained.err
    assert f"trained: {out}/model.pt (how: {out}/recipe.json)\n" in trained.out
    onnx = out / "a[b].onnx"
    exported = oneglance("export", out / "model.pt", "--out", onnx, *size)
    assert exported.code == 0, exported.err
    assert exported.out.startswith(f"{onnx}: largest difference")
