"""A class branch with a tower of its own for kinds, beside one that stays as it was trained.

Kinds (``light_red``) are learnt from few sources. Taught to the layers that all tasks share they
either learn too little or cost the other tasks. So they get their own second half of each class
branch: it starts as a copy of the trained one and learns alone, at any rate, and what the
network says of its tasks stays the same bit for bit. The price is 3 % more multiplications.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.nn.modules import Conv

from oneglance.streams.errors import ModelError


class TwoTowers(nn.Module):
    """One level's class branch while its kinds learn.

    ``shared`` is the branch's first convolution, ``plain`` the rest of it with the rows of the
    other classes, ``kinds`` a copy of that rest with the rows of the kinds.
    """

    order: Tensor

    def __init__(self, branch: Any, kinds: list[int]) -> None:
        """``branch``: ultralytics' own, of YOLO11 and later. ``kinds``: its rows of kinds.

        Raises:
            ModelError: the branch has two towers already.
        """
        super().__init__()
        (first, widen), middle, rows = branch[0], branch[1], branch[2]
        if middle[1].conv.groups != 1:
            raise ModelError(
                "these weights have a tower for kinds already: start from the training before it"
            )
        others = [i for i in range(rows.out_channels) if i not in kinds]
        self.shared = first
        self.plain = nn.Sequential(widen, middle, _some(rows, others))
        self.kinds = nn.Sequential(copy.deepcopy(widen), copy.deepcopy(middle), _some(rows, kinds))
        self.register_buffer("order", torch.tensor(others + kinds).argsort(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """B×C×H×W to scores B×classes×H×W, in the order of the branch's own rows."""
        shared = self.shared(features)
        return torch.cat((self.plain(shared), self.kinds(shared)), dim=1)[:, self.order]

    def merged(self) -> nn.Sequential:
        """The same function of ultralytics' own layers: both towers in grouped convolutions."""
        plain: Any = self.plain
        kinds: Any = self.kinds
        rows: Any = nn.Conv2d(2 * plain[2].in_channels, len(self.order), 1)
        block_diag: Any = torch.block_diag  # untyped there
        with torch.no_grad():
            weight = block_diag(plain[2].weight[..., 0, 0], kinds[2].weight[..., 0, 0])
            rows.weight.copy_(weight[self.order][..., None, None])
            rows.bias.copy_(torch.cat((plain[2].bias, kinds[2].bias))[self.order])
        both = nn.Sequential(
            nn.Sequential(self.shared, _joined(plain[0], kinds[0], apart=False)),
            nn.Sequential(*(_joined(a, b) for a, b in zip(plain[1], kinds[1], strict=True))),
            rows,
        )
        return both.train(self.training)


def merge_towers(branches: nn.ModuleList) -> None:
    """Replace every ``TwoTowers`` among ``branches`` by what it comes to, in place."""
    for level, branch in enumerate(branches):
        if isinstance(branch, TwoTowers):
            branches[level] = branch.merged()


def _some(rows: nn.Conv2d, chosen: list[int]) -> nn.Conv2d:
    fewer = nn.Conv2d(rows.in_channels, len(chosen), 1)
    with torch.no_grad():
        for new, known in zip(fewer.parameters(), rows.parameters(), strict=True):
            new.copy_(known[chosen])
    return fewer


def _joined(one: Any, other: Any, *, apart: bool = True) -> Any:
    """Two equal convolutions in one: of two inputs side by side, or (not ``apart``) of one."""
    conv, norm = one.conv, one.bn
    both: Any = Conv(
        conv.in_channels * (2 if apart else 1),
        2 * conv.out_channels,
        conv.kernel_size,
        conv.stride,
        g=conv.groups * (2 if apart else 1),
    )
    both.conv.weight.data = torch.cat((conv.weight.data, other.conv.weight.data))
    both.bn.eps, both.bn.momentum = norm.eps, norm.momentum
    both.bn.load_state_dict(
        {
            key: value if value.dim() == 0 else torch.cat((value, other.bn.state_dict()[key]))
            for key, value in norm.state_dict().items()
        }
    )
    both.act = one.act
    return both
