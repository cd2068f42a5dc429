"""Fine-tune a pretrained network on our classes, with ultralytics doing the stepping.

The last layer is replaced (see ``heads``), everything else transferred, all layers trained.
Two things are ours. Images are trained at the rectangle they run at (640×384, not a padded
640×640: 40 % less work for the same pixels). And checkpoints are not chosen by their score on
the validation images: the last epoch's averaged weights are the result, so the figures
measured on these images afterwards stay honest.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import ultralytics
from ultralytics.data.augment import (
    Compose,
    Format,
    Mosaic,
    RandomFlip,
    RandomHSV,
    RandomPerspective,
)
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import IterableSimpleNamespace

from oneglance.models.cpus import available_cpus
from oneglance.models.tasks import FOUR_TASKS, ModelClass
from oneglance.models.training.data import Dataset, read_dataset, stage
from oneglance.models.training.heads import load_base, with_new_last_layer
from oneglance.streams.errors import DataError, UsageError

STRIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is fine-tuned. Gentle by default: see ``heads`` for what that avoids.

    ``size``: (width, height) of the input in pixels, multiples of 32. ``learning_rate``: peak
    rate of AdamW, cosine to a hundredth of it. ``mosaic``: share of training images that are
    four in one; none in the last ``calm_epochs``.
    """

    epochs: int = 20
    size: tuple[int, int] = (640, 384)
    batch: int = 16
    learning_rate: float = 4e-4
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    mosaic: float = 0.5
    calm_epochs: int = 5
    scale: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise UsageError("epochs and batch must be at least 1")
        if any(side < STRIDE or side % STRIDE for side in self.size):
            width, height = self.size
            raise UsageError(f"size {width}x{height}: both sides must be multiples of {STRIDE}")


def finetune(
    data: Sequence[Path],
    *,
    base: Path,
    recipe: Recipe,
    out: Path,
    classes: Sequence[ModelClass] = FOUR_TASKS,
) -> Path:
    """Fine-tune ``base`` on the data set files ``data``; returns ``out/model.pt``.

    Checkpoints every epoch into ``out/weights``. Called again with the same arguments it
    resumes where an interrupted run stopped, or returns at once when the run is complete.
    ``out/recipe.json`` says how the weights were made.

    Raises:
        DataError: a data set cannot be used, or ``out`` holds a run made another way.
        ModelError: ``base`` is not a YOLO detection checkpoint.
    """
    datasets = [read_dataset(file) for file in data]
    load_base(base)
    description = _describe(datasets, base, recipe, classes)
    model_file, recipe_file = out / "model.pt", out / "recipe.json"
    if recipe_file.is_file():
        _same_run(json.loads(recipe_file.read_text(encoding="utf-8")), description, out)
        if model_file.is_file():
            return model_file
    out.mkdir(parents=True, exist_ok=True)
    staged = stage(datasets, classes, out / "data")
    recipe_file.write_text(json.dumps({"run": description}, indent=2) + "\n", encoding="utf-8")
    started = time.monotonic()
    last = out / "weights" / "last.pt"
    trainer = RoadTrainer(
        classes=classes,
        size=recipe.size,
        overrides=_overrides(
            recipe, staged, out, last if last.is_file() else base, resume=last.is_file()
        ),
    )
    first_epoch = _epochs_done(last)
    trainer.train()  # type: ignore[no-untyped-call]
    _save(trainer, model_file)
    facts = {
        "minutes_of_last_session": round((time.monotonic() - started) / 60, 1),
        "epochs_of_last_session": recipe.epochs - first_epoch,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(trainer.device),
        "precision": "bfloat16 mixed"
        if trainer.bf16
        else "float16 mixed"
        if trainer.amp
        else "float32",
        "train_images": len(trainer.train_loader.dataset),
        "torch": torch.__version__,
        "ultralytics": ultralytics.__version__,
    }
    recipe_file.write_text(
        json.dumps({"run": description, **facts}, indent=2) + "\n", encoding="utf-8"
    )
    return model_file


def _describe(
    datasets: Sequence[Dataset], base: Path, recipe: Recipe, classes: Sequence[ModelClass]
) -> dict[str, Any]:
    return {
        "data": [str(dataset.file) for dataset in datasets],
        "base": base.name,
        "base_sha256": hashlib.sha256(base.read_bytes()).hexdigest(),
        "classes": [{"name": cls.name, "task": cls.task.value} for cls in classes],
        "recipe": asdict(recipe) | {"size": list(recipe.size)},
    }


def _same_run(found: dict[str, Any], wanted: dict[str, Any], out: Path) -> None:
    old = found.get("run", {})
    differing = sorted(key for key in wanted if wanted[key] != old.get(key))
    if differing:
        raise DataError(
            f"{out} holds a run made another way (different {', '.join(differing)}): "
            "give another --out, or the same arguments to resume it"
        )


def _overrides(
    recipe: Recipe, staged: Path, out: Path, weights: Path, *, resume: bool
) -> dict[str, Any]:
    return {
        "model": str(weights),
        "resume": str(weights) if resume else False,
        "data": str(staged),
        "save_dir": str(out),
        "imgsz": max(recipe.size),
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "nbs": recipe.batch,
        "seed": recipe.seed,
        "optimizer": "AdamW",
        "lr0": recipe.learning_rate,
        "lrf": 0.01,
        "cos_lr": True,
        "weight_decay": recipe.weight_decay,
        "warmup_epochs": recipe.warmup_epochs,
        "warmup_bias_lr": 0.0,
        "mosaic": recipe.mosaic,
        "close_mosaic": min(recipe.calm_epochs, recipe.epochs),
        "scale": recipe.scale,
        "amp": torch.cuda.is_available(),
        "cache": "ram",
        "plots": False,
        "val": False,
        "patience": 0,
    }


def cpu_has_bf16() -> bool:
    """Whether this processor computes bfloat16 natively (measured: 2.4 times fp32's rate)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _epochs_done(last: Path) -> int:
    if not last.is_file():
        return 0
    return int(torch.load(last, map_location="cpu", weights_only=False)["epoch"]) + 1


def _save(trainer: RoadTrainer, file: Path) -> None:
    checkpoint = torch.load(trainer.last, map_location="cpu", weights_only=False)
    model = checkpoint["ema"]
    model.args = {"imgsz": list(trainer.size), "task": "detect"}
    torch.save({"model": model, "ema": None, "train_args": {"task": "detect"}, "epoch": -1}, file)


class RoadDataset(YOLODataset):
    """ultralytics' data set, augmented at a rectangle instead of a square."""

    def __init__(self, *args: Any, size: tuple[int, int], **kwargs: Any) -> None:
        self.size = size
        super().__init__(*args, **kwargs)

    def build_transforms(self, hyp: IterableSimpleNamespace) -> Compose:
        """Mosaic, scale and shift into ``size``, colour, mirror: no upside-down streets."""
        if not self.augment:
            return super().build_transforms(hyp)
        return Compose(
            [
                Mosaic(self, imgsz=max(self.size), p=hyp.mosaic),
                RandomPerspective(translate=hyp.translate, scale=hyp.scale, size=self.size),
                RandomHSV(hgain=hyp.hsv_h, sgain=hyp.hsv_s, vgain=hyp.hsv_v),
                RandomFlip(direction="horizontal", p=hyp.fliplr),
                Format(bbox_format="xywh", normalize=True, batch_idx=True),
            ]
        )


class RoadTrainer(DetectionTrainer):
    """ultralytics' trainer with our last layer, our data set, and no scoring on the way."""

    def __init__(
        self, *, classes: Sequence[ModelClass], size: tuple[int, int], overrides: dict[str, Any]
    ) -> None:
        self.classes = classes
        self.size = size
        super().__init__(overrides=overrides)
        torch.set_num_threads(available_cpus())  # ultralytics leaves one idle
        self.bf16 = self.device.type == "cpu" and cpu_has_bf16()

    def get_model(
        self, cfg: Any = None, weights: Any = None, verbose: bool = True
    ) -> DetectionModel:
        """The pretrained network with a last layer for our classes."""
        del cfg, verbose
        return with_new_last_layer(weights, self.classes)

    def build_dataset(
        self, img_path: str, mode: str = "train", batch: int | None = None
    ) -> RoadDataset:
        """The staged images; only training images are augmented and kept in memory."""
        training = mode == "train"
        return RoadDataset(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=training,
            hyp=self.args,
            cache=self.args.cache if training else None,
            stride=STRIDE,
            prefix=f"{mode}: ",
            task="detect",
            data=self.data,
            size=self.size,
        )

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """ultralytics' own, and bfloat16 on processors that have it."""
        batch = super().preprocess_batch(batch)
        if self.bf16:
            # ultralytics offers bf16 on GPUs only. It calls this inside an autocast block of its
            # own, which puts the state back when it ends.
            torch.set_autocast_dtype("cpu", torch.bfloat16)
            torch.set_autocast_enabled("cpu", True)
        return batch

    def get_validator(self) -> SimpleNamespace:
        """A validator that has no metrics: ultralytics' own needs torchvision's operators."""
        return SimpleNamespace(metrics=SimpleNamespace(keys=[]))

    def validate(self) -> tuple[dict[str, float], float]:
        """Nothing on the way is chosen by its score: the last epoch is the result."""
        return {}, 0.0

    def final_eval(self) -> None:
        """Accuracy is measured from the exported file (``oneglance eval``), not from here."""
