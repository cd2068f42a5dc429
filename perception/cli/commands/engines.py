"""``oneglance engines``: what can run a model on this machine, and why the rest cannot."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from oneglance.perception.cli.common import Debug, Model, Threads, configure
from oneglance.perception.cli.terminal import Terminal


def engines(
    model: Model = "road4-n",
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Try every engine and precision with a model: its inference time here, or what is missing."""
    configure(debug)
    from oneglance.models.engines.auto import choose_engine
    from oneglance.models.instruction_sets import describe_cpu
    from oneglance.models.zoo import resolve_model

    choice = choose_engine(resolve_model(model), threads=threads)
    table = Table("engine", "precision", "inference", box=None)
    for each in choice.tried:
        time = each.problem if each.median_ms is None else f"{each.median_ms:.1f} ms"
        table.add_row(*map(Text, (each.engine, each.precision, time)))
    Terminal().print(table)
    Terminal(highlight=False, soft_wrap=True).print(
        Text(f"{model} on {choice.engine.threads} CPU(s): {describe_cpu()}")
    )
