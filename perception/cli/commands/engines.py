"""``oneglance engines``: what can run a model on this machine, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from oneglance.perception.cli.common import Debug, Model, Threads, configure
from oneglance.perception.cli.terminal import Terminal

if TYPE_CHECKING:
    from oneglance.models.engines.trial import Tried


def engines(
    model: Model = "road4-n",
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Try every engine, device and precision with a model: inference time, or what is missing."""
    configure(debug)
    from oneglance.models.engines.auto import choose_engine
    from oneglance.models.instruction_sets import describe_cpu
    from oneglance.models.zoo import resolve_model

    choice = choose_engine(resolve_model(model), threads=threads)
    table = Table("engine", "device", "precision", "inference", box=None)
    for (engine, device, answer), precisions in _rows(choice.tried).items():
        table.add_row(*map(Text, (engine, device, ", ".join(precisions), answer)))
    Terminal().print(table)
    Terminal(highlight=False, soft_wrap=True).print(
        Text(f"{model} on {choice.engine.threads} CPU(s): {describe_cpu()}")
    )


def _rows(tried: Sequence[Tried]) -> dict[tuple[str, str, str], list[str]]:
    """Engine, device and time or problem, with the precisions of which all that is true."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for each in tried:
        answer = each.problem if each.median_ms is None else f"{each.median_ms:.1f} ms"
        rows.setdefault((each.engine, each.device, answer), []).append(each.precision)
    return rows
