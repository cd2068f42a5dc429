"""One session of training: in this process, or in several that train side by side.

Several devices are ultralytics' DDP with our trainer: torch's launcher starts this module once
for each, all with the job as JSON. The batch is shared among them and gradients are averaged, so
what is learnt is what one device would learn, but for BatchNorm, which sees its own share.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from oneglance.models.cpus import available_cpus
from oneglance.models.training.data.merging import labelled_classes, partial_tasks
from oneglance.models.training.execution import Amp, Job
from oneglance.models.training.fit.trainer import RoadTrainer
from oneglance.models.training.running.devices import (
    batch_that_fits,
    bytes_per_image,
    free_bytes,
    out_of_memory,
    precision,
    resolve,
    torch_device,
)
from oneglance.models.training.running.reports import output_for_progress
from oneglance.models.training.running.time_limit import TimeLimit
from oneglance.streams.errors import DataError, ModelError, OneglanceError, UsageError

_ERRORS = {kind.__name__: kind for kind in (DataError, ModelError, UsageError)}


@dataclass(frozen=True, slots=True)
class Session:
    """What a session did. ``cut``: the time limit ended it before the planned epochs were done.

    ``epochs_done``: in all sessions of the run together; ``epochs``: planned, fewer than the
    recipe's where the run was shortened.
    """

    device: str
    precision: str
    train_images: int
    cut: bool
    epochs_done: int
    epochs: int


def train(
    job: Job, *, merged: Path, overrides: Mapping[str, Any], limit: TimeLimit | None
) -> Session:
    """Train until the epochs are done or the limit is over; checkpoints lie in ``save_dir``.

    ``merged``: the folder that ``merging.merge`` filled. ``overrides``: ultralytics' arguments.

    Raises:
        UsageError: a device is not there, cannot do what is asked of it, or has not the memory.
        DataError: an image cannot be read.
    """
    job.execution.check_batch(job.recipe.batch)
    _check_memory(job, torch_device(resolve(job.execution)))
    if job.execution.processes > 1:
        return _train_together(job, merged=merged, overrides=overrides, limit=limit)
    return _train_here(job, merged=merged, overrides=overrides, limit=limit)


@output_for_progress()
def _train_here(
    job: Job, *, merged: Path, overrides: Mapping[str, Any], limit: TimeLimit | None
) -> Session:
    trainer = RoadTrainer(
        job=job,
        labelled_classes=labelled_classes(merged),
        partial=partial_tasks(merged),
        overrides=dict(overrides),
        limit=limit,
    )
    _image_bytes(job, trainer.device)  # counted now: without memory it cannot be any more
    try:
        trainer.train()  # type: ignore[no-untyped-call]
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise _too_much(job, trainer.device, free_bytes(trainer.device)) from None
    return Session(
        device=job.execution.device if job.execution.processes > 1 else str(trainer.device),
        precision=_precision(trainer),
        train_images=len(trainer.train_loader.dataset),
        cut=trainer.cut,
        epochs_done=trainer.epoch + 1 - trainer.cut,
        epochs=trainer.epochs,
    )


def _train_together(
    job: Job, *, merged: Path, overrides: Mapping[str, Any], limit: TimeLimit | None
) -> Session:
    with tempfile.TemporaryDirectory() as folder:
        spec, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
        content = {
            "job": job.as_dict(),
            "merged": str(merged),
            "overrides": dict(overrides),
            "minutes": None if limit is None else max(limit.left_s / 60, 1e-3),
            "answer": str(answer),
        }
        spec.write_text(json.dumps(content), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node", str(job.execution.processes)),
            *("-m", __name__, str(spec)),
        ]
        done = subprocess.run(command, check=False, env=os.environ | _threads(job))  # noqa: S603
        if not answer.is_file():
            raise RuntimeError(
                f"{job.execution.processes} processes that train together ended with "
                f"{done.returncode}: the lines above say why"
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise _ERRORS.get(found["error"], OneglanceError)(found["message"])
    return Session(**found)


def _threads(job: Job) -> dict[str, str]:
    """torch's launcher gives each process one thread and warns of it, unless its environment says
    otherwise."""
    share = max(1, available_cpus() // job.execution.processes)
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(share))}


def _main(spec: Path) -> None:
    """One of several processes: train, and let the first say how it ended."""
    content = json.loads(spec.read_text(encoding="utf-8"))
    minutes, answer = content["minutes"], Path(content["answer"])
    try:
        session = _train_here(
            Job.from_dict(content["job"]),
            merged=Path(content["merged"]),
            overrides=content["overrides"],
            limit=None if minutes is None else TimeLimit(minutes),
        )
    except OneglanceError as error:
        content = {"error": type(error).__name__, "message": str(error)}
        answer.write_text(json.dumps(content), encoding="utf-8")
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if int(os.environ["RANK"]) == 0:
        answer.write_text(json.dumps(asdict(session)), encoding="utf-8")


def _check_memory(job: Job, device: torch.device) -> None:
    """Refuse a batch that cannot fit before an hour of preparation, not after."""
    if device.type == "mps":
        return
    free = free_bytes(device)
    share = job.recipe.batch // (job.execution.processes if device.type == "cuda" else 1)
    if share * _image_bytes(job, device) > free:
        raise _too_much(job, device, free)


def _too_much(job: Job, device: torch.device, free: int) -> UsageError:
    processes = job.execution.processes
    image = _image_bytes(job, device)
    room = free * (processes if device.type == "cuda" else 1)
    fits = batch_that_fits(image, room, job.recipe.batch, multiple=processes)
    width, height = job.recipe.size
    return UsageError(
        f"not enough memory on {device} for a batch of {job.recipe.batch}: an image takes about "
        f"{image / 1e6:.0f} MB at {width}x{height} and {free / 1e9:.1f} GB are free; "
        f"--batch {fits} would fit"
    )


def _image_bytes(job: Job, device: torch.device) -> int:
    return bytes_per_image(
        job.recipe.size,
        precision(job.execution, device),
        distil=job.asks_teachers,
    )


def _precision(trainer: RoadTrainer) -> str:
    names = {Amp.BF16: "bfloat16 mixed", Amp.FP16: "float16 mixed", Amp.OFF: "float32"}
    return names[precision(trainer.execution, trainer.device)]


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
