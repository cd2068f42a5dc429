"""Some layers learn faster: parameters move to groups of their own and nothing else changes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")

from oneglance.models.training.fit.rates import quicken


def parameter(value: float) -> torch.nn.Parameter:  # type: ignore[name-defined]
    return torch.nn.Parameter(torch.tensor([value]))


def test_chosen_parameters_learn_faster_and_keep_what_else_their_group_says() -> None:
    slow, fast, bias = parameter(1.0), parameter(1.0), parameter(1.0)
    optimizer = torch.optim.SGD(
        [
            {"params": [slow, fast], "lr": 0.1, "weight_decay": 0.5, "param_group": "weight"},
            {"params": [bias], "lr": 0.1, "weight_decay": 0.0, "param_group": "bias"},
        ]
    )
    quicken(optimizer, [fast], factor=3.0)
    groups = [
        (g["param_group"], g["lr"], g["weight_decay"], len(g["params"]))
        for g in optimizer.param_groups
    ]
    assert groups == [
        ("weight", 0.1, 0.5, 1),
        ("bias", 0.1, 0.0, 1),
        ("weight", pytest.approx(0.3), 0.5, 1),
    ]
    for p in (slow, fast, bias):
        p.grad = torch.ones(1)
    optimizer.step()
    # 1 - rate * (gradient + decay * 1)
    assert [round(p.item(), 6) for p in (slow, fast, bias)] == [0.85, 0.55, 0.9]
