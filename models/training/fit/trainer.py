"""ultralytics' trainer at our rectangle, with our last layer and our loss."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import yaml
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
from ultralytics.utils.torch_utils import unwrap_model

from oneglance.models.cpus import available_cpus
from oneglance.models.tasks import Task
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.data.image_cache import ImageCache
from oneglance.models.training.execution import Amp, Cache, Job
from oneglance.models.training.fit.branches import add_task_branches
from oneglance.models.training.fit.distillation import Distiller, SingleTaskTeachers, Teacher
from oneglance.models.training.fit.heads import (
    RoadModel,
    class_parameters,
    from_scratch,
    frozen_layers,
    with_new_last_layer,
)
from oneglance.models.training.fit.losses import LabelMask
from oneglance.models.training.fit.rates import quicken
from oneglance.models.training.fit.regions import RegionPerspective, take_regions
from oneglance.models.training.fit.weather import Weather
from oneglance.models.training.recipe import STRIDE, Unlabelled
from oneglance.models.training.running.callbacks import CALLBACKS, distributed
from oneglance.models.training.running.devices import precision, resolve
from oneglance.models.training.running.divergence import what_is_wrong
from oneglance.models.training.running.reports import no_download, no_reports
from oneglance.models.training.running.states import State, TrainingStates
from oneglance.models.training.running.time_limit import TimeLimit
from oneglance.streams.errors import UsageError
from oneglance.streams.outputs import write_file

LabelledClasses = Mapping[str, frozenset[str]]
"""By the stem of a merged image: the names of the classes that its source labels."""

PartialTasks = Mapping[str, frozenset[Task]]
"""By the stem of a merged image: the tasks that its source labels in part, where there are any."""


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
        self,
        *args: Any,
        size: tuple[int, int],
        labelled_classes: LabelledClasses,
        partial: PartialTasks,
        classes: int,
        decoded: Path | None = None,
        weather: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """``size``: (width, height). ``classes``: of the model; what is beyond are regions.
        ``decoded``: the folder where decoded images are kept, see ``image_cache``."""
        self.size, self.classes, self.weather = size, classes, weather
        self._labelled_classes = labelled_classes
        self._partial = partial
        self._decoded: ImageCache | None = None  # ultralytics loads images before it is there
        super().__init__(*args, **kwargs)
        if decoded is not None:
            self._decoded = ImageCache(decoded, [Path(f) for f in self.im_files], max(size))
        self._alike: dict[tuple[frozenset[str], frozenset[Task]], list[int]] = {}
        for index, file in enumerate(self.im_files):
            self._alike.setdefault(self._labels_what(file), []).append(index)

    def alike(self, file: str) -> Sequence[int]:
        """Indexes of the images whose sources label the same as that of ``file``."""
        return self._alike[self._labels_what(file)]

    def _labels_what(self, file: str) -> tuple[frozenset[str], frozenset[Task]]:
        stem = Path(file).stem
        return self._labelled_classes[stem], self._partial.get(stem, frozenset())

    def load_image(
        self, i: int, rect_mode: bool = True, resize_short: bool = False
    ) -> tuple[Any, tuple[int, int], tuple[int, int]]:
        """See ``BaseDataset.load_image``; out of the cache where there is one."""
        if self._decoded is None:
            image, own, here = super().load_image(i, rect_mode, resize_short)
            return image, own, here
        return self._decoded.image(i)

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
                Weather(self.weather),
                RandomFlip(direction="horizontal", p=hyp.fliplr),
                Format(bbox_format="xywh", normalize=True, batch_idx=True),
            ]
        )


class RoadTrainer(DetectionTrainer):
    """ultralytics' trainer with our last layer, our data set, and no scoring on the way."""

    def __init__(
        self,
        *,
        job: Job,
        labelled_classes: LabelledClasses,
        partial: PartialTasks,
        overrides: dict[str, Any],
        limit: TimeLimit | None = None,
    ) -> None:
        """``labelled_classes``, ``partial``: of the merged images. ``limit``: see ``time_limit``.

        Raises:
            UsageError: a device is not there, or does not compute in what is asked for.
        """
        self.classes, self.recipe, self.execution = job.classes, job.recipe, job.execution
        names = frozenset(cls.name for cls in self.classes)
        negative = self.recipe.unlabelled is Unlabelled.NEGATIVE
        self.labelled_classes = (
            dict.fromkeys(labelled_classes, names) if negative else labelled_classes
        )
        self.partial: PartialTasks = {} if negative else partial
        self.limit = limit
        self.cut = False
        self.base = job.base
        self._sample: torch.Tensor | None = None
        self.states = TrainingStates(Path(overrides["save_dir"]) / "weights")
        with no_reports():
            super().__init__(overrides=overrides | {"device": resolve(self.execution)})
        computes = precision(self.execution, self.device)
        self.args.amp = {Amp.OFF: False, Amp.BF16: "bf16", Amp.FP16: True}[computes]
        self.bf16 = self.device.type == "cpu" and computes is Amp.BF16
        if self.bf16:
            self.args.amp = False  # ultralytics has it on GPUs only: see preprocess_batch
        if self.device.type == "cpu":
            self.world_size = self.execution.processes if distributed() else 0
            if "OMP_NUM_THREADS" not in os.environ:  # ultralytics leaves one idle
                torch.set_num_threads(available_cpus())
        for event, called in CALLBACKS:
            self.add_callback(event, called)
        self.teacher: Teacher | None = None
        if job.teachers:
            self.teacher = SingleTaskTeachers(job.teachers, self.classes, self.device)
        elif self.recipe.unlabelled is Unlabelled.DISTILL:
            assert job.base is not None  # finetune saw to it
            self.teacher = Distiller(job.base, self.classes, self.device)

    def check_resume(self, overrides: dict[str, Any]) -> None:
        """Our arguments are the recipe's, and not those that a file holds."""
        del overrides
        self.resume = bool(self.args.resume)

    def get_dataset(self) -> dict[str, Any]:
        """The merged set, which needs no check, and no font from the network."""
        content: dict[str, Any] = yaml.safe_load(Path(self.args.data).read_text(encoding="utf-8"))
        folder = Path(content["path"])
        splits = {split: str(folder / content[split]) for split in ("train", "val")}
        return {**content, **splits, "path": folder, "nc": len(content["names"]), "channels": 3}

    def setup_model(self) -> State | None:
        """The network to begin with; returns the state to go on from, None for a new training.

        ultralytics would unpickle files whole.
        """
        if isinstance(self.model, torch.nn.Module):
            return None
        weights = None if self.base is None else read_checkpoint(self.base)
        self.model = self.get_model(weights=weights)
        return self.states.newest() if self.resume else None

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> RoadModel:
        """The pretrained network with a last layer for our classes."""
        del cfg, verbose
        if weights is None:
            model = from_scratch(self.classes)
        else:
            model = with_new_last_layer(weights, self.classes, head_init=self.recipe.head_init)
            self.args.freeze = frozen_layers(model, self.recipe.trainable)
        model.balance_by(self.recipe)
        if self.recipe.task_branches:
            add_task_branches(model)
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
        """The merged images; only training images are augmented and kept in memory."""
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
            labelled_classes=self.labelled_classes,
            partial=self.partial,
            classes=len(self.classes),
            decoded=self._decoded_folder() if training else None,
            weather=self.recipe.weather,
        )

    def set_model_attributes(self) -> None:
        """ultralytics' own, but the model's classes are ours: the merged set has regions too."""
        super().set_model_attributes()  # type: ignore[no-untyped-call]
        model: Any = self.model
        model.nc = len(self.classes)
        model.names = {number: cls.name for number, cls in enumerate(self.classes)}

    def _decoded_folder(self) -> Path | None:
        if self.execution.cache is not Cache.DISK:
            return None
        return self.execution.cache_folder or Path(self.save_dir) / "cache"

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """ultralytics' own; what each image labels; bfloat16 on CPUs that have it."""
        regions = take_regions(batch, self.classes)
        batch = super().preprocess_batch(batch)
        batch["regions"] = regions.to(self.device)
        if self._sample is None:
            self._sample = batch["img"][:2].clone()
        stems = [Path(file).stem for file in batch["im_file"]]
        labelled_classes = [self.labelled_classes[stem] for stem in stems]
        partial = [self.partial.get(stem, frozenset()) for stem in stems]
        batch["label_mask"] = LabelMask.of(self.classes, labelled_classes, partial).to(self.device)
        if self.bf16:
            # The weights follow: measured 1.2 times the rate of planes one after another.
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
            # ultralytics offers bf16 on GPUs only. It calls this inside an autocast block of its
            # own, which puts the state back when it ends.
            torch.set_autocast_dtype("cpu", torch.bfloat16)
            torch.set_autocast_enabled("cpu", True)
        if self.teacher is not None:
            progress = (self.epoch + 0.5) / self.epochs  # an epoch's middle, on average
            batch["teacher"] = self.teacher.predict(batch["img"], progress)
        return batch

    def _setup_train(self) -> None:
        with no_download():
            super()._setup_train()  # type: ignore[no-untyped-call]

    def _setup_ddp(self) -> None:
        """ultralytics' own for GPUs; processes on the CPU talk by gloo."""
        if self.device.type != "cpu":
            super()._setup_ddp()  # type: ignore[no-untyped-call]
            return
        torch.distributed.init_process_group("gloo")
        self.world_size = 1  # or ultralytics would wrap the network for a GPU

    def _build_train_pipeline(self) -> None:
        """ultralytics' own; the network wrapped for several processes on the CPU before it."""
        if self.device.type == "cpu" and distributed():
            self.world_size = self.execution.processes
            network: Any = self.model
            self.model: Any = torch.nn.parallel.DistributedDataParallel(
                network, find_unused_parameters=True, broadcast_buffers=False
            )
        super()._build_train_pipeline()  # type: ignore[no-untyped-call]

    def resume_training(self, ckpt: State | None) -> None:
        """Go on as if the training had not been stopped: weights, their average and the optimizer
        in the precision they had, which ultralytics' own halves."""
        if ckpt is None:
            return
        network: Any = unwrap_model(self.model)
        ema: Any = self.ema
        optimizer: Any = self.optimizer
        network.load_state_dict(ckpt["model"])
        ema.ema.load_state_dict(ckpt["ema"])
        ema.updates = ckpt["updates"]
        groups = zip(ckpt["optimizer"]["param_groups"], optimizer.param_groups, strict=True)
        for saved, group in groups:
            saved["fused"] = group.get("fused")  # the device at hand decides it
        optimizer.load_state_dict(ckpt["optimizer"])
        self.scaler.load_state_dict(ckpt["scaler"])
        self.start_epoch = ckpt["epoch"] + 1
        criterion = network.init_criterion()
        if self.start_epoch > 0 and hasattr(criterion, "update"):
            # It shifts its weight from one head to the other, epoch by epoch.
            criterion.updates = self.start_epoch - 1
            criterion.update()
            network.criterion = criterion

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """ultralytics' own, but no line for an epoch that will be trained again, and no column
        for what is never scored: it has those in some lines only."""
        if self.cut:
            return
        metrics = {name: m for name, m in metrics.items() if not name.startswith("val/")}
        row = {"epoch": self.epoch + 1, "time": time.time() - self.train_time_start, **metrics}
        lines = self.csv.read_text(encoding="utf-8").splitlines() if self.csv.is_file() else []
        # A run that was killed may have noted an epoch of which it kept no state.
        kept = [line for line in lines[1:] if int(line.partition(",")[0]) <= self.epoch]
        fresh = ",".join(f"{value:.6g}" for value in row.values())
        write_file(self.csv, "\n".join([",".join(row), *kept, fresh]) + "\n")

    def diverged(self, what: str) -> UsageError:
        """The error that ends a training which has diverged; ``what`` says how."""
        after = "give a lower --learning-rate"
        if self.states.any:
            after += f" and another --out (here are the weights before, of epoch {self.epoch})"
        return UsageError(
            f"the training diverged in epoch {self.epoch + 1} of {self.epochs}: {what} (learning "
            f"rate {self.recipe.learning_rate:g}); {after}"
        )

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """ultralytics goes back an epoch, which would go the same way again.

        Raises:
            UsageError: what was learnt is of no use; it is not kept.
        """
        del epoch
        if self.ema is not None and (wrong := what_is_wrong(self.ema.ema, self._sample)):
            raise self.diverged(wrong)
        return False

    def save_model(self) -> bool:
        """Keep the state to go on from; an epoch that was cut short does not count as done."""
        ema: Any = self.ema
        optimizer: Any = self.optimizer
        state = {
            "epoch": self.epoch - self.cut,
            "model": unwrap_model(self.model).state_dict(),
            "ema": ema.ema.state_dict(),
            "updates": ema.updates,
            "optimizer": optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        self.states.keep(state)
        return True

    def get_validator(self) -> SimpleNamespace:
        """A validator that has no metrics: ultralytics' own needs torchvision's operators."""
        return SimpleNamespace(metrics=SimpleNamespace(keys=[]))

    def validate(self) -> tuple[dict[str, float], float]:
        """Nothing on the way is chosen by its score: the last epoch is the result."""
        return {}, 0.0

    def final_eval(self) -> None:
        """Accuracy is measured from the exported file (``oneglance eval``), not from here."""
