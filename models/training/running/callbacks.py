"""What a training does at the start of an epoch, after a batch and after an epoch.

ultralytics' trainer calls these with itself; ``fit.trainer`` registers them.
"""

from __future__ import annotations

from typing import Any

import torch
from ultralytics.utils import LOCAL_RANK
from ultralytics.utils.torch_utils import init_seeds, unwrap_model

from oneglance.models.training.fit.surgery import PCGrad
from oneglance.models.training.running.divergence import loss_is_finite


def distributed() -> bool:
    """Whether this process is one of several that train together."""
    return LOCAL_RANK != -1


def _seed(trainer: Any) -> None:
    """Before each epoch: what is drawn in it depends on its number and on nothing before it, so
    that a training which was stopped goes on as if it had not been."""
    of_epoch = trainer.recipe.seed + 1_000_003 * trainer.epoch
    seed = of_epoch + max(LOCAL_RANK, 0)
    init_seeds(seed, deterministic=trainer.args.deterministic)
    surgery: PCGrad | None = vars(unwrap_model(trainer.model))["surgery"]
    if surgery is not None:
        surgery.reseed(of_epoch)
    order = trainer.train_loader.batch_sampler.sampler.sampler  # below its batches and repeats
    if isinstance(order, torch.utils.data.RandomSampler):  # several processes' know their epoch
        # Not the loader's own generator, from which it also draws whenever it starts anew.
        order.generator = torch.Generator().manual_seed(seed)


def _no_smaller_batch(trainer: Any) -> None:
    """ultralytics halves a batch that memory does not hold; here what was asked for is an error."""
    trainer._oom_retries = 3


def _stop_diverged(trainer: Any) -> None:
    """After each batch. With float16 a batch may overflow and be left out: there, weights show
    it."""
    if not trainer.scaler.is_enabled() and not loss_is_finite(trainer.loss, trainer.tloss):
        raise trainer.diverged("the loss is not finite")


def _stop_in_time(trainer: Any) -> None:
    """After each batch: stop all processes when the time of one is over."""
    if trainer.limit is None:
        return
    over = trainer.limit.over
    if distributed():
        flag = torch.tensor(float(over), device=trainer.device)
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        over = bool(flag)
    if over:
        trainer.stop = trainer.cut = True


def _shorten(trainer: Any) -> None:
    """After each epoch: plan as many as fit, and the learning rate with them."""
    if trainer.limit is None or not trainer.execution.shorten or trainer.stop:
        return
    done, recipe = trainer.epoch + 1, trainer.recipe
    epochs = trainer.limit.epochs_that_fit(done, recipe.epochs, trainer.epoch_time)
    if distributed():
        limit = torch.tensor(float(epochs), device=trainer.device)
        torch.distributed.broadcast(limit, 0)
        epochs = int(limit)
    trainer.epochs = trainer.args.epochs = epochs
    trainer.args.close_mosaic = round(recipe.calm_share * epochs)
    trainer._setup_scheduler()
    trainer.scheduler.last_epoch = trainer.epoch  # do not move
    trainer.stop = done >= epochs


CALLBACKS = (
    ("on_train_epoch_start", _no_smaller_batch),
    ("on_train_epoch_start", _seed),
    ("on_train_batch_end", _stop_diverged),
    ("on_train_batch_end", _stop_in_time),
    ("on_fit_epoch_end", _shorten),
)
"""By the event that ultralytics calls them at, in their order."""
