"""``oneglance plugins``: what can be plugged in here, and what cannot and why."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from oneglance.perception.cli.common import Debug, configure
from oneglance.perception.cli.terminal import Terminal


def plugins(debug: Debug = False) -> None:
    """List sources, engines and sinks, ours and other packages', and what cannot be loaded."""
    configure(debug)
    from oneglance.perception.plugins import installed

    table = Table(box=None)
    for column in ("what", "name", "package"):
        table.add_column(column, no_wrap=True)
    table.add_column("state", overflow="fold")
    for each in installed():
        package = f"{each.offer.package} {each.offer.version}".strip()
        table.add_row(
            each.kind, Text(each.offer.name), Text(package), Text(each.problem or "ready")
        )
    Terminal().print(table)
