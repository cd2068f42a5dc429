"""Fine-tune a pretrained network on our classes, with ultralytics doing the stepping.

The last layer is replaced (see ``heads``), everything else transferred. Two things are ours
(see ``trainer``). Images are trained at the rectangle they run at (640×384, not a padded
640×640: 40 % less work for the same pixels). And checkpoints are not chosen by their score on
the validation images: the last epoch's averaged weights are the result, so the figures
measured on these images afterwards stay honest.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import ultralytics

from oneglance.models.tasks import FOUR_TASKS, ModelClass
from oneglance.models.training.checkpoints import checkpoint_bytes, read_checkpoint
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.data.fingerprint import fingerprint
from oneglance.models.training.data.merging import merge
from oneglance.models.training.execution import Cache, Execution, Job
from oneglance.models.training.fit.averaging import average_with_start
from oneglance.models.training.fit.bases import check_base
from oneglance.models.training.fit.branches import add_task_branches, check_branches
from oneglance.models.training.fit.distillation import SingleTaskTeachers
from oneglance.models.training.fit.heads import RoadModel, from_scratch, with_new_last_layer
from oneglance.models.training.recipe import (
    GradientSurgery,
    Recipe,
    Unlabelled,
    is_whole,
    read_recipe,
    training_facts,
)
from oneglance.models.training.running.session import Session, train
from oneglance.models.training.running.states import State, TrainingStates
from oneglance.models.training.running.time_limit import TimeLimit
from oneglance.streams.errors import DataError, OneglanceError, UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import real_path

_NAMES = {"data_sha256": "data", "base_sha256": "base", "teachers_sha256": "teachers"}
"""What a difference of a run is called."""


def finetune(  # noqa: PLR0913 - each says what is trained, or on what
    data: Sequence[Path],
    *,
    base: Path | None,
    recipe: Recipe,
    out: Path,
    classes: Sequence[ModelClass] = FOUR_TASKS,
    strict: bool = False,
    execution: Execution = Execution(),  # noqa: B008 - frozen
    teachers: Sequence[Path] = (),
) -> Path:
    """Fine-tune ``base`` on the data set files ``data``; returns ``out/model.pt``.

    ``base`` None: from scratch, for comparison. Checkpoints every epoch into ``out/weights``.
    Called again with the same arguments it resumes where an interrupted run stopped, or
    returns at once when the run is complete; with another ``keep`` it averages anew.
    ``out/recipe.json`` says how the weights were made.
    ``strict``: any problem of a label file is an error, those that could be mended too.
    ``execution``: on what and for how long. A run that its time limit stopped has a ``model.pt``
    of the weights so far, and is resumed by the next call.
    ``teachers``: checkpoints of single-task models that teach the classes they know: everything
    in the beginning, in the end only what an image does not label (born-again multi-task
    learning; see ``distillation``).

    Raises:
        DataError: a data set cannot be used, ``base`` is not what the recipe beside it speaks of,
            or ``out`` holds a run made another way.
        SinkError: ``out`` holds anything but a training of ours, or cannot be written.
        ModelError: ``base`` is not a YOLO detection checkpoint.
        UsageError: there is no ``base`` to distil from or to average with, its stride does not go
            into the recipe's size, teachers do not fit, there is one task for gradient surgery, or
            the training diverged: only states of before are kept then.
    """
    started = time.monotonic()
    limit = None if execution.minutes is None else TimeLimit(execution.minutes)
    datasets = [read_dataset(file) for file in data]
    _check_base(base, recipe, classes)
    _check_surgery(recipe, classes)
    _check_teachers(teachers, recipe, classes)
    of_base = {} if base is None else training_facts(base)
    place = _place(out)
    for dataset in datasets:
        dataset.refuse_output(out)
    place.check([*_inputs(datasets, base), *teachers])
    description = _describe(datasets, base, recipe, classes)
    if teachers:
        description["teachers_sha256"] = [_sha256(file) for file in teachers]
    model_file, recipe_file = out / "model.pt", out / "recipe.json"
    states = TrainingStates(out / "weights")
    states.check()
    earlier = read_recipe(recipe_file)
    if earlier and (model_file.is_file() or states.any):
        same = _same_run(earlier, description, out)
        if same and "stopped" not in earlier and is_whole(model_file, earlier):
            return model_file
    with _claimed(place):
        merged = merge(
            datasets,
            classes,
            out / "data",
            oversample=recipe.oversample,
            subset=recipe.subset,
            strict=strict,
        )
    # Without the checksum of the weights, which are not this recipe's yet.
    facts = {key: value for key, value in earlier.items() if key not in {"run", "model_sha256"}}
    place.write(recipe_file.name, _json({"run": description, **facts}))
    states.claim()
    job = Job(
        classes=classes, recipe=recipe, execution=execution, base=base, teachers=tuple(teachers)
    )
    state = states.newest()
    first_epoch = 0 if state is None else state["epoch"] + 1
    if first_epoch < facts.get("shortened_to_epochs", recipe.epochs):
        overrides = _overrides(recipe, execution, merged, out) | {"resume": state is not None}
        session = train(job, merged=merged.parent, overrides=overrides, limit=limit)
        facts = _facts(session, recipe, first_epoch) | {
            "minutes_of_last_session": round((time.monotonic() - started) / 60, 2)
        }
        state = states.newest()
    content = _weights(job, state)
    place.write(model_file.name, content)
    facts |= {
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "ultralytics": ultralytics.__version__,
    }
    if of_base:
        facts["base_training"] = of_base
    place.write(recipe_file.name, _json({"run": description, **facts}))
    return model_file


def _facts(session: Session, recipe: Recipe, first_epoch: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "epochs_of_last_session": session.epochs_done - first_epoch,
        "device": session.device,
        "precision": session.precision,
        "train_images": session.train_images,
    }
    if session.cut:
        facts["stopped"] = {"epochs_done": session.epochs_done, "of": session.epochs}
    elif session.epochs < recipe.epochs:
        facts["shortened_to_epochs"] = session.epochs
    return facts


def _place(out: Path) -> OutputFolder:
    try:
        str(real_path(out)).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"cannot train in {out}: its name is no UTF-8, which ultralytics' files are; give "
            "another folder"
        ) from None
    return OutputFolder(out, "train")


def _check_base(base: Path | None, recipe: Recipe, classes: Sequence[ModelClass]) -> None:
    if base is not None:
        network = read_checkpoint(base)
        check_base(network, base, recipe.size)
        check_branches(network, classes, wanted=recipe.task_branches, file=base)
    elif recipe.unlabelled is Unlabelled.DISTILL:
        raise UsageError("only a pretrained network has answers to distil: give its --base")
    if recipe.alpha < 1 and base is None:
        raise UsageError(
            "without a pretrained --base there is nothing to average with: leave --alpha at 1"
        )


def _check_surgery(recipe: Recipe, classes: Sequence[ModelClass]) -> None:
    if recipe.gradient_surgery is GradientSurgery.NONE or len({cls.task for cls in classes}) > 1:
        return
    raise UsageError(
        f"gradient surgery is between tasks, and {classes[0].task} is the only one: leave out "
        "--gradient-surgery"
    )


def _check_teachers(
    teachers: Sequence[Path], recipe: Recipe, classes: Sequence[ModelClass]
) -> None:
    if not teachers:
        return
    if recipe.unlabelled is Unlabelled.NEGATIVE:
        raise UsageError(
            "teachers also teach what an image does not label: leave out --unlabelled negative"
        )
    for file in teachers:
        check_base(read_checkpoint(file), file, recipe.size)
    SingleTaskTeachers(teachers, classes)


@contextmanager
def _claimed(place: OutputFolder) -> Iterator[None]:
    """Ours from now on, unless what follows refuses to go on."""
    place.claim()
    try:
        yield
    except OneglanceError:
        place.release()
        raise


def _inputs(datasets: Sequence[Dataset], base: Path | None) -> Iterator[Path]:
    """Everything that is read: none of it may lie where we write."""
    if base is not None:
        yield base
    for dataset in datasets:
        yield dataset.file
        for folders in dataset.folders.values():
            yield from folders


def _describe(
    datasets: Sequence[Dataset],
    base: Path | None,
    recipe: Recipe,
    classes: Sequence[ModelClass],
) -> dict[str, Any]:
    return {
        "data": [str(dataset.file) for dataset in datasets],
        "data_sha256": [fingerprint(dataset) for dataset in datasets],
        "base": None if base is None else base.name,
        "base_sha256": None if base is None else _sha256(base),
        "classes": [{"name": cls.name, "task": cls.task.value} for cls in classes],
        "recipe": recipe.as_dict(),
    }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _same_run(found: dict[str, Any], wanted: dict[str, Any], out: Path) -> bool:
    """Whether its result is wanted as it is; ``alpha`` may differ, it is applied at the end."""
    old = found.get("run", {})
    alpha = None
    if isinstance(recipe := old.get("recipe"), dict):
        alpha = recipe.get("alpha")
        # A run may be older than a field of the recipe, whose default is how it was made.
        old = old | {"recipe": Recipe().as_dict() | recipe | {"alpha": wanted["recipe"]["alpha"]}}
    # Data is recognised by what it holds; where it lies may change.
    keys = wanted.keys() | {"teachers_sha256"}  # of runs with teachers alone
    differing = sorted(key for key in keys - {"data"} if wanted.get(key) != old.get(key))
    if differing:
        raise DataError(
            f"{out} holds a run made another way (different "
            f"{', '.join(_NAMES.get(key, key) for key in differing)}): "
            "give another --out, or the same arguments to resume it"
        )
    return bool(alpha == wanted["recipe"]["alpha"])


def _overrides(recipe: Recipe, execution: Execution, merged: Path, out: Path) -> dict[str, Any]:
    return {
        "model": "yolo26n.yaml",  # a name only: the trainer builds its own network
        "data": str(merged),
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
        "close_mosaic": round(recipe.calm_share * recipe.epochs),
        "scale": recipe.scale,
        "amp": False,  # the trainer knows better
        "cache": "ram" if execution.cache is Cache.RAM else False,
        "workers": execution.workers,
        "plots": False,
        "val": False,
        "patience": 0,
    }


def _weights(job: Job, state: State | None) -> bytes:
    """A file of the averaged weights of ``state`` that needs nothing of ours.

    They are averaged with the weights they started from where the recipe says so.
    """
    assert state is not None, "a session keeps a state, or raises"
    model = _untrained(job)
    model.load_state_dict(state["ema"])
    if job.base is not None and job.recipe.alpha < 1:
        start = _untrained(job)
        average_with_start(model, start, alpha=job.recipe.alpha)
    saved: Any = model.as_ultralytics()
    saved.args = {"imgsz": list(job.recipe.size), "task": "detect"}
    return checkpoint_bytes(saved)


def _untrained(job: Job) -> RoadModel:
    if job.base is None:
        model = from_scratch(job.classes)
    else:
        model = with_new_last_layer(read_checkpoint(job.base), job.classes)
    if job.recipe.task_branches:
        add_task_branches(model)
    return model


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
