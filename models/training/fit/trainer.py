"""ultralytics' trainer at our rectangle, with our last layer and our loss."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from ultralytics.data.augment import (
    Compose,
    Format,
    Mosaic,
    RandomFlip,
    RandomHSV,
)
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import IterableSimpleNamespace

from oneglance.models.cpus import available_cpus
from oneglance.models.tasks import ModelClass
from oneglance.models.training.fit.distillation import Distiller
from oneglance.models.training.fit.heads import (
    RoadModel,
    class_parameters,
    from_scratch,
    frozen_layers,
    with_new_last_layer,
)
from oneglance.models.training.fit.losses import Known
from oneglance.models.training.fit.rates import quicken
from oneglance.models.training.fit.regions import RegionPerspective, take_regions
from oneglance.models.training.recipe import STRIDE, HeadInit, Recipe, Unlabelled

KnownClasses = Mapping[str, frozenset[str]]
"""By the stem of a staged image: the names of the classes that its source decides on."""


def cpu_has_bf16() -> bool:
    """Whether this processor computes bfloat16 natively (measured: 2.4 times fp32's rate)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class LikeMosaic(Mosaic):
    """Four images in one, all from sources that label the same.

    A mosaic of sources that label different things would know their intersection only, and
    most of its labels would be lost.
    """

    def get_params(self, labels: dict[str, Any]) -> dict[str, Any]:
        """See ``Mosaic.get_params``."""
        self._alike: Sequence[int] = self.dataset.alike(labels["im_file"])
        params: dict[str, Any] = super().get_params(labels)
        return params

    def get_indexes(self) -> list[int]:
        """Which images join the one at hand."""
        return random.choices(self._alike, k=self.n - 1)  # noqa: S311 - no secret


class RoadDataset(YOLODataset):
    """ultralytics' data set, augmented at a rectangle instead of a square."""

    def __init__(
        self, *args: Any, size: tuple[int, int], known: KnownClasses, classes: int, **kwargs: Any
    ) -> None:
        """``size``: (width, height). ``classes``: of the model; what is beyond are regions."""
        self.size = size
        self.classes = classes
        self._known = known
        super().__init__(*args, **kwargs)
        self._alike: dict[frozenset[str], list[int]] = {}
        for index, file in enumerate(self.im_files):
            self._alike.setdefault(known[Path(file).stem], []).append(index)

    def alike(self, file: str) -> Sequence[int]:
        """Indexes of the images whose sources label the same as that of ``file``."""
        return self._alike[self._known[Path(file).stem]]

    def build_transforms(self, hyp: IterableSimpleNamespace) -> Compose:
        """Mosaic, scale and shift into ``size``, colour, mirror: no upside-down streets."""
        if not self.augment:
            return super().build_transforms(hyp)
        return Compose(
            [
                LikeMosaic(self, imgsz=max(self.size), p=hyp.mosaic),
                RegionPerspective(
                    classes=self.classes, translate=hyp.translate, scale=hyp.scale, size=self.size
                ),
                RandomHSV(hgain=hyp.hsv_h, sgain=hyp.hsv_s, vgain=hyp.hsv_v),
                RandomFlip(direction="horizontal", p=hyp.fliplr),
                Format(bbox_format="xywh", normalize=True, batch_idx=True),
            ]
        )


class RoadTrainer(DetectionTrainer):
    """ultralytics' trainer with our last layer, our data set, and no scoring on the way."""

    def __init__(
        self,
        *,
        classes: Sequence[ModelClass],
        recipe: Recipe,
        known: KnownClasses,
        overrides: dict[str, Any],
        base: Path | None = None,
    ) -> None:
        """``base``: the pretrained checkpoint, which answers for what is to be distilled."""
        self.classes = classes
        self.recipe = recipe
        names = frozenset(cls.name for cls in classes)
        absent = recipe.unlabelled is Unlabelled.NEGATIVE
        self.known = dict.fromkeys(known, names) if absent else known
        super().__init__(overrides=overrides)
        torch.set_num_threads(available_cpus())  # ultralytics leaves one idle
        self.bf16 = self.device.type == "cpu" and cpu_has_bf16()
        self.teacher: Distiller | None = None
        if recipe.unlabelled is Unlabelled.DISTILL:
            assert base is not None  # finetune saw to it
            self.teacher = Distiller(base, classes, self.device)

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> RoadModel:
        """The pretrained network with a last layer for our classes."""
        del cfg, verbose
        if weights is None:
            model = from_scratch(self.classes)
        else:
            head_init = HeadInit.PRETRAINED if self.resume else self.recipe.head_init
            model = with_new_last_layer(weights, self.classes, head_init=head_init)
            self.args.freeze = frozen_layers(model, self.recipe.trainable)
        model.loss_weight = self.recipe.loss_weight
        return model

    def build_optimizer(self, model: Any, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """ultralytics' own; the class branches in groups of their own, with their own rate."""
        optimizer: torch.optim.Optimizer = super().build_optimizer(model, *args, **kwargs)  # type: ignore[no-untyped-call]
        if self.recipe.class_rate != 1:
            quicken(optimizer, class_parameters(model), factor=self.recipe.class_rate)
        return optimizer

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
            size=self.recipe.size,
            known=self.known,
            classes=len(self.classes),
        )

    def set_model_attributes(self) -> None:
        """ultralytics' own, but the model's classes are ours: the merged set has regions too."""
        super().set_model_attributes()  # type: ignore[no-untyped-call]
        model: Any = self.model
        model.nc = len(self.classes)
        model.names = {number: cls.name for number, cls in enumerate(self.classes)}

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """ultralytics' own; what each image labels; bfloat16 on processors that have it."""
        regions = take_regions(batch, self.classes)
        batch = super().preprocess_batch(batch)
        batch["regions"] = regions.to(self.device)
        known = [self.known[Path(file).stem] for file in batch["im_file"]]
        batch["known"] = Known.of(self.classes, known).to(self.device)
        if self.bf16:
            # The weights follow: measured 1.2 times the rate of planes one after another.
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
            # ultralytics offers bf16 on GPUs only. It calls this inside an autocast block of its
            # own, which puts the state back when it ends.
            torch.set_autocast_dtype("cpu", torch.bfloat16)
            torch.set_autocast_enabled("cpu", True)
        if self.teacher is not None:
            batch["answers"] = self.teacher.answers(batch["img"])
        return batch

    def get_validator(self) -> SimpleNamespace:
        """A validator that has no metrics: ultralytics' own needs torchvision's operators."""
        return SimpleNamespace(metrics=SimpleNamespace(keys=[]))

    def validate(self) -> tuple[dict[str, float], float]:
        """Nothing on the way is chosen by its score: the last epoch is the result."""
        return {}, 0.0

    def final_eval(self) -> None:
        """Accuracy is measured from the exported file (``oneglance eval``), not from here."""
