"""Towers for kinds alone: what they add, what they leave as it was, and how they are stored."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models import Detector
from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, SIGN_KINDS
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.export import export
from oneglance.models.training.finetune import finetune
from oneglance.models.training.heads import (
    RoadModel,
    from_scratch,
    grow_towers,
    last_layer,
    with_new_last_layer,
)
from oneglance.models.training.recipe import Depth, Recipe
from oneglance.streams.errors import DataError, ModelError, UsageError

from .conftest import awaken

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves

CLASSES = (*FOUR_TASKS[:2], LIGHT_COLOURS[0], *FOUR_TASKS[2:], *LIGHT_COLOURS[1:])
"""Kinds among the plain classes, so that the rows' order counts."""

PLAIN = [i for i, cls in enumerate(CLASSES) if cls.plain]
KINDS = [i for i, cls in enumerate(CLASSES) if not cls.plain]
SIZE = (160, 96)
RECIPE = Recipe(
    epochs=1, size=SIZE, batch=4, warmup_epochs=0.0, learning_rate=0.01, train=Depth.KINDS
)


@pytest.fixture
def lights(make_set: Callable[..., Path]) -> Path:
    """Coloured lights, and nothing else labelled."""
    boxes = {str(i): f"{i % 2} 0.5 0.5 0.3 0.6" for i in range(8)}
    names = {0: "light_red", 1: "light_green"}
    return make_set("lights", train=boxes, val=boxes, names=names, labels=["light"])


@pytest.fixture(scope="module")
def grown() -> RoadModel:
    """Never trained, but it answers loudly, and its towers differ."""
    torch.manual_seed(1)
    model = from_scratch(CLASSES)
    for branch in last_layer(model).cv3:
        torch.nn.init.normal_(branch[-1].weight, std=0.3)
        torch.nn.init.zeros_(branch[-1].bias)
    awaken(model)
    grow_towers(model)
    with torch.no_grad():
        for branch in last_layer(model).cv3:
            for weight in branch.kinds.parameters():
                weight.mul_(1 + 0.2 * torch.rand_like(weight))
    last_layer(model).end2end = False
    return model.eval()


def test_stored_as_ultralytics_own_layers_both_towers_say_the_same(grown: RoadModel) -> None:
    image = torch.rand(1, 3, *SIZE[::-1])
    merged = copy.deepcopy(grown).as_plain()
    assert {type(m).__module__.split(".")[0] for m in merged.modules()} <= {"torch", "ultralytics"}
    with torch.no_grad():
        expected, found = grown(image)[0], merged(image)[0]
    torch.testing.assert_close(found, expected)
    plain, kind = (4 + CLASSES.index(cls) for cls in (FOUR_TASKS[3], LIGHT_COLOURS[0]))
    assert not torch.allclose(found[:, plain], found[:, kind])


def test_the_file_runs_whole_and_without_some_classes(grown: RoadModel, tmp_path: Path) -> None:
    trained = tmp_path / "model.pt"
    torch.save({"model": copy.deepcopy(grown).as_plain(), "train_args": {}}, trained)
    assert export(trained, tmp_path / "all.onnx", name="all", size=SIZE).holds
    fewer = (CLASSES[PLAIN[0]], CLASSES[KINDS[0]])
    assert export(trained, tmp_path / "few.onnx", name="few", size=SIZE, only=fewer).holds
    assert Detector.load(tmp_path / "few.onnx").classes == fewer


def test_kinds_are_learnt_and_everything_else_stays_as_it_was(
    lights: Path, coco_base: Path, tmp_path: Path
) -> None:
    trained = finetune([lights], base=coco_base, recipe=RECIPE, out=tmp_path, classes=CLASSES)
    start = with_new_last_layer(read_checkpoint(coco_base), CLASSES).eval()
    after = read_checkpoint(trained)
    for model in (start, after):
        last_layer(model).end2end = False
    image = torch.rand(1, 3, *SIZE[::-1])
    with torch.no_grad():
        before, now = start(image)[0], after(image)[0]
    torch.testing.assert_close(now[:, :4], before[:, :4])
    torch.testing.assert_close(now[:, 4:][:, PLAIN], before[:, 4:][:, PLAIN])
    moved = (now[:, 4:][:, KINDS] - before[:, 4:][:, KINDS]).abs().amax(dim=(0, 2))
    assert (moved > 1e-4).all()


def test_an_interrupted_training_of_kinds_goes_on(
    lights: Path, coco_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oneglance.models.training.trainer import RoadTrainer

    recipe, saved = replace(RECIPE, epochs=2), RoadTrainer.save_model

    def interrupt(self: RoadTrainer) -> None:
        saved(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RoadTrainer, "save_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            finetune([lights], base=coco_base, recipe=recipe, out=tmp_path, classes=CLASSES)
    half = torch.load(tmp_path / "weights" / "last.pt", weights_only=False)["ema"].state_dict()
    resumed = finetune([lights], base=coco_base, recipe=recipe, out=tmp_path, classes=CLASSES)
    plain = "model.23.cv3.0.plain.1.0.conv.weight"  # ultralytics' resumed weights, kept frozen
    whole = read_checkpoint(resumed).state_dict()["model.23.cv3.0.1.0.conv.weight"]
    assert torch.equal(whole[: len(half[plain])], half[plain].float())


def test_what_cannot_be_added_to_is_told(lights: Path, coco_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it needs a --base, and kinds among --classes"):
        finetune([lights], base=coco_base, recipe=RECIPE, out=tmp_path)
    with pytest.raises(UsageError, match="it needs a --base"):
        finetune([lights], base=None, recipe=RECIPE, out=tmp_path, classes=CLASSES)
    signs = (*CLASSES, *SIGN_KINDS)
    with pytest.raises(DataError, match="no training image for sign"):
        finetune([lights], base=coco_base, recipe=RECIPE, out=tmp_path / "s", classes=signs)
    once = finetune([lights], base=coco_base, recipe=RECIPE, out=tmp_path / "1", classes=CLASSES)
    with pytest.raises(ModelError, match="have a tower for kinds already"):
        finetune([lights], base=once, recipe=RECIPE, out=tmp_path / "2", classes=CLASSES)
