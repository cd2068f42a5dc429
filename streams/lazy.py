"""Names of a package that are imported when they are asked for: start-up loads little."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    ``homes``: the module of each name. What was asked for once stays in the package.
    """
    there = vars(sys.modules[package])

    def get(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        thing: object = getattr(importlib.import_module(home), name)
        there[name] = thing
        return thing

    def names() -> list[str]:
        return sorted({*there, *homes})

    return get, names
