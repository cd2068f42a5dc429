"""Real trainings: stopped in time, on several processes, and without the memory."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.execution import Amp, Cache, Execution
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.fit.trainer import RoadTrainer
from oneglance.models.training.recipe import Recipe, TrainableLayers
from oneglance.models.training.running import devices, session, time_limit
from oneglance.models.training.running.plan import plan_training
from oneglance.streams.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves

SMALL: dict[str, Any] = {"size": (160, 96), "batch": 4, "warmup_epochs": 0.0}


def facts(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "recipe.json").read_text())
    return found


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is for time limits, in seconds: one number, to be changed."""
    now = [0.0]
    made = time_limit.TimeLimit

    def limit(minutes: float) -> time_limit.TimeLimit:
        return made(minutes, clock=lambda: now[0])

    monkeypatch.setattr("oneglance.models.training.fit.finetune.TimeLimit", limit)
    return now


def every_batch_takes(seconds: float, clock: list[float], patch: pytest.MonkeyPatch) -> None:
    step = RoadTrainer.optimizer_step

    def stepped(self: Any) -> None:
        step(self)  # type: ignore[no-untyped-call]
        clock[0] += seconds
        self.epoch_time_start -= seconds  # what the epoch took

    patch.setattr(RoadTrainer, "optimizer_step", stepped)


@pytest.mark.parametrize("batches", [1, 3])
def test_a_training_stopped_in_time_has_usable_weights_and_goes_on(
    data: Path,
    base: Path,
    tmp_path: Path,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
) -> None:
    # An epoch is two batches: one limit falls into the first epoch, the other into the second.
    every_batch_takes(60, clock, monkeypatch)
    recipe = Recipe(epochs=2, **SMALL)
    limit = Execution(minutes=batches)
    stopped = finetune([data], base=base, recipe=recipe, out=tmp_path, execution=limit)
    done = batches // 2
    assert facts(tmp_path)["stopped"] == {"epochs_done": done, "of": 2}
    assert read_checkpoint(stopped).names[3] == "light"
    assert [row["epoch"] for row in (rows(tmp_path) if done else [])] == ["1"] * done
    before = read_checkpoint(stopped).state_dict()
    finetune([data], base=base, recipe=recipe, out=tmp_path)
    assert "stopped" not in facts(tmp_path)
    assert facts(tmp_path)["epochs_of_last_session"] == 2 - done
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2"]
    after = read_checkpoint(tmp_path / "model.pt").state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_shortened_training_brings_its_learning_rate_down_within_the_limit(
    data: Path, base: Path, tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    every_batch_takes(30, clock, monkeypatch)  # an epoch takes a minute
    recipe = Recipe(epochs=30, trainable=TrainableLayers.LAST, **SMALL)
    execution = Execution(minutes=4.2, shorten=True)
    finetune([data], base=base, recipe=recipe, out=tmp_path, execution=execution)
    reported = facts(tmp_path)
    assert reported["shortened_to_epochs"] == 4
    assert "stopped" not in reported
    rates = [float(row["lr/pg0"]) for row in rows(tmp_path)]
    assert len(rates) == 4
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.25 * recipe.learning_rate
    # It is complete: nothing is trained again without a limit.
    stamp = (tmp_path / "model.pt").stat().st_mtime_ns
    finetune([data], base=base, recipe=recipe, out=tmp_path)
    assert (tmp_path / "model.pt").stat().st_mtime_ns == stamp


def test_two_processes_learn_what_one_does(data: Path, base: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        epochs=2, learning_rate=1e-4, mosaic=0.0, scale=0.0, **SMALL | {"warmup_epochs": 0.0}
    )

    def losses(device: str) -> list[float]:
        out = tmp_path / device
        execution = Execution(device=device, amp=Amp.OFF)
        finetune([data], base=base, recipe=recipe, out=out, execution=execution)
        assert read_checkpoint(out / "model.pt").names[0] == "pedestrian"
        assert facts(out)["device"] == device
        return [
            sum(float(loss) for name, loss in row.items() if name.startswith("train/"))
            for row in rows(out)
        ]

    one, two = losses("cpu"), losses("cpu,cpu")
    assert len(one) == len(two) == 2
    assert two == pytest.approx(one, rel=0.2)  # other shares of the images in BatchNorm


def test_an_error_in_several_processes_is_reported_as_it_is(
    data: Path, base: Path, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, **SMALL)
    execution = Execution(device="cpu,cpu", cache=Cache.DISK, cache_folder=base / "below a file")
    with pytest.raises(DataError, match=r"cannot write .*below a file"):
        finetune([data], base=base, recipe=recipe, out=tmp_path, execution=execution)


def test_images_decoded_once_train_as_those_decoded_anew(
    data: Path, base: Path, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, trainable=TrainableLayers.LAST, **SMALL)
    weights = []
    for cache in (Cache.OFF, Cache.DISK):  # RAM draws a number to see whether it fits
        execution = Execution(cache=cache, cache_folder=tmp_path / "cache")
        out = tmp_path / cache
        file = finetune([data], base=base, recipe=recipe, out=out, execution=execution)
        weights.append(read_checkpoint(file).state_dict()["model.23.cv3.0.2.weight"])
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 1
    assert torch.equal(weights[0], weights[1])


def test_a_batch_too_large_is_refused_with_one_that_fits(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, execution = Recipe(epochs=1, **SMALL), Execution(amp=Amp.OFF)
    image = session.bytes_per_image(SMALL["size"], Amp.OFF)  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(session, "free_bytes", lambda _: 3 * image)
        with pytest.raises(UsageError, match=r"batch of 4: an image takes .* --batch 2 would fit"):
            finetune([data], base=base, recipe=recipe, out=tmp_path, execution=execution)
    # Nothing is in the way of the smaller batch.
    smaller = Recipe(epochs=1, trainable=TrainableLayers.LAST, **SMALL | {"batch": 2})
    assert finetune([data], base=base, recipe=smaller, out=tmp_path).is_file()


def test_memory_that_ends_in_a_step_is_an_error_and_no_smaller_batch(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def out_of_memory(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8")

    def used_up(self: Any, batch: dict[str, Any]) -> dict[str, Any]:
        asked.append(len(batch["img"]))
        monkeypatch.setattr(devices, "from_scratch", out_of_memory)  # no network fits any more
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(RoadTrainer, "preprocess_batch", used_up)
    with pytest.raises(UsageError, match=r"not enough memory on cpu for a batch of 4"):
        finetune([data], base=base, recipe=Recipe(epochs=1, **SMALL), out=tmp_path)
    assert asked == [4]


def test_a_plan_counts_steps_and_trains_nothing(data: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, oversample=(2,), **SMALL)
    plan = plan_training([data], recipe=recipe, execution=Execution())
    images = 2 * len(list((data.parent / "images" / "train").iterdir()))
    assert plan.images == images
    assert plan.steps == 3 * plan.steps_per_epoch == 3 * -(-images // 4)
    assert plan.bytes_per_batch == 4 * plan.bytes_per_image
    assert plan.seconds_per_image > 0
