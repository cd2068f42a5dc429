"""Some layers learn faster than others."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def quicken(
    optimizer: torch.optim.Optimizer, parameters: Iterable[torch.nn.Parameter], *, factor: float
) -> None:
    """Let ``parameters`` learn at ``factor`` times the rate of the group each is in.

    They move into groups of their own that share everything else (weight decay, name) with
    the old ones; to be called before a schedule or a warm-up reads the groups.
    """
    chosen = {id(parameter) for parameter in parameters}
    for group in list(optimizer.param_groups):
        fast = [p for p in group["params"] if id(p) in chosen]
        if not fast:
            continue
        group["params"] = [p for p in group["params"] if id(p) not in chosen]
        optimizer.add_param_group({**group, "params": fast, "lr": factor * group["lr"]})
