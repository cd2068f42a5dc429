"""A training that no longer learns anything is stopped and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.fit.heads import from_scratch, last_layer
from oneglance.models.training.recipe import Recipe
from oneglance.models.training.running.divergence import loss_is_finite, what_is_wrong
from oneglance.streams.errors import UsageError

pytestmark = [
    pytest.mark.filterwarnings("default"),  # ultralytics and torch warn of themselves
    pytest.mark.usefixtures("one_thread"),
]

SMALL = {"size": (96, 64), "batch": 4, "warmup_epochs": 0.0}
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    model = from_scratch(FOUR_TASKS)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = None  # the average over all that follows
    with torch.no_grad():
        model.train()(images())
    return model.eval()


def images() -> Any:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_loss_is_finite_when_all_its_parts_are(value: float) -> None:
    good = {"box_loss": torch.tensor(1.0), "cls_loss": torch.tensor([2.0, 3.0])}
    assert loss_is_finite(torch.ones(3), good)
    assert not loss_is_finite(torch.tensor([1.0, value]), good)
    assert not loss_is_finite(torch.ones(3), good | {"l1_loss": torch.tensor(value)})


def test_a_healthy_network_can_be_kept(network: Any) -> None:
    assert what_is_wrong(network, images()) is None
    assert what_is_wrong(network, None) is None


@pytest.mark.parametrize(
    ("value", "what"),
    [(NAN, "is not finite"), (INF, "is not finite"), (7e4, "is larger than a checkpoint can hold")],
)
def test_weights_that_no_checkpoint_can_hold_are_named(
    network: Any, value: float, what: str
) -> None:
    with torch.no_grad():
        network.model[0].conv.weight[0, 0, 0, 0] = value
    assert what_is_wrong(network, images()) == f"a weight (model.0.conv.weight) {what}"


@pytest.mark.parametrize("branches", ["cv2", "one2one_cv2"])
def test_boxes_far_out_in_either_head_are_reported(network: Any, branches: str) -> None:
    with torch.no_grad():
        for branch in getattr(last_layer(network), branches):
            branch[-1].weight.fill_(6e4)
    assert what_is_wrong(network, images()) == "it places boxes far outside of every image"


def test_answers_that_overflow_are_reported(network: Any) -> None:
    with torch.no_grad():
        for layer in network.model[:8]:
            for name, found in layer.named_parameters():
                if name.endswith("bn.weight"):
                    found.mul_(6e4)
    assert what_is_wrong(network, images()) in {
        "its answers are not finite",
        "it places boxes far outside of every image",
    }


def test_a_training_that_diverges_at_once_keeps_nothing_and_may_be_begun_again(
    data: Path, base: Path, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=8, learning_rate=1.0, **SMALL)  # type: ignore[arg-type]
    reported = r"diverged in epoch 1 of 8: .* \(learning rate 1\)"
    with pytest.raises(UsageError, match=reported) as caught:
        finetune([data], base=base, recipe=recipe, out=tmp_path / "out")
    assert str(caught.value).endswith("; give a lower --learning-rate")
    assert not list((tmp_path / "out").rglob("*.pt"))
    healthy = Recipe(epochs=1, **SMALL)  # type: ignore[arg-type]
    assert finetune([data], base=base, recipe=healthy, out=tmp_path / "out").is_file()


def test_a_training_that_diverges_later_keeps_the_weights_before(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oneglance.models.training.fit.trainer import RoadTrainer

    saved = RoadTrainer.save_model

    def spoil(self: Any) -> bool:
        done = saved(self)
        with torch.no_grad():
            self.model.model[0].conv.weight.fill_(NAN)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(RoadTrainer, "save_model", spoil)
        with pytest.raises(UsageError, match=r"diverged in epoch 2 of 3: .*not finite") as caught:
            finetune([data], base=base, recipe=Recipe(epochs=3, **SMALL), out=tmp_path / "out")  # type: ignore[arg-type]
    last = tmp_path / "out" / "weights" / "last.pt"
    assert "another --out (here are the weights before, of epoch 1)" in str(caught.value)
    assert not (tmp_path / "out" / "model.pt").exists()
    kept = torch.load(last, weights_only=True)["ema"]
    assert all(torch.isfinite(value).all() for value in kept.values())
    whole = finetune([data], base=base, recipe=Recipe(epochs=3, **SMALL), out=tmp_path / "out")  # type: ignore[arg-type]
    assert whole.is_file()
