"""The engines there are, what each of them promises, and the door to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oneglance.models.engines.engine import Engine
from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from oneglance.models.engines.openvino import OpenVinoEngine
from oneglance.models.engines.self_check import self_check
from oneglance.streams.entry_points import ENGINES, find_offer, list_offers, load_offer, unknown
from oneglance.streams.errors import ModelError, UsageError

logger = logging.getLogger(__name__)

OURS: Mapping[str, type[Any]] = {"onnxruntime": OnnxRuntimeEngine, "openvino": OpenVinoEngine}

PRECISIONS: Mapping[str, tuple[str, ...]] = {
    name: engine.precisions for name, engine in OURS.items()
}
"""Our engines, and the precisions that each computes in; the first of both are the defaults."""

DEFAULT_ENGINE = "onnxruntime"
DEFAULT_PRECISION = "fp32"


def load_engine(
    file: Path,
    *,
    engine: str = DEFAULT_ENGINE,
    precision: str = DEFAULT_PRECISION,
    threads: int | None = None,
    check: bool = True,
) -> Engine:
    """``file`` in the engine and the precision that were asked for, or an error: in no other.

    ``check``: hold it to the reference frames that the file carries, if any (``self_check``):
    at most three inferences.

    Raises:
        ModelError: not an ONNX model, a damaged one, not ours, with external data, an output
            layout that its metadata does not describe; or it computes something else here than
            it should.
        UsageError: no such engine or precision, one that is not installed or not for this
            CPU, or ``threads`` is below 1.
    """
    check_choice(engine, precision)
    try:
        loaded: Engine = _engine_class(engine)(file, precision=precision, threads=threads)
    except UnicodeDecodeError:  # both read names and metadata only when they are asked for
        raise ModelError(
            f"{file} is damaged: a text in it is not UTF-8. Copy or export it again"
        ) from None
    if check:
        self_check(loaded, origin=str(file))
    return loaded


def choices() -> tuple[tuple[str, str], ...]:
    """Every engine that is offered here with each of its precisions; those of other packages that
    cannot be loaded are left out."""
    found = [(name, precision) for name, each in PRECISIONS.items() for precision in each]
    for offer in list_offers(ENGINES):
        if offer.name in OURS:
            continue
        try:
            found += [(offer.name, each) for each in _precisions(offer.name)]
        except UsageError as error:
            logger.warning("%s", error)
    return tuple(dict.fromkeys(found))


def check_choice(engine: str, precision: str) -> None:
    """See that there is such an engine, and that it has such a precision.

    Raises:
        UsageError: there is not, or it has not.
    """
    if engine not in OURS and find_offer(ENGINES, engine) is None:
        names = (*OURS, *(offer.name for offer in list_offers(ENGINES)))
        raise UsageError(unknown("engine", engine, names))
    offered = _precisions(engine)
    if precision in offered:
        return
    every = dict.fromkeys(p for each in (*PRECISIONS.values(), offered) for p in each)
    if precision not in every:
        raise UsageError(unknown("precision", precision, every))
    others = [name for name, each in PRECISIONS.items() if precision in each]
    raise UsageError(
        f"engine {engine} does not compute in {precision}: choose engine "
        f"{' or '.join(others)}, or precision {' or '.join(offered)}"
    )


def _engine_class(name: str) -> Any:
    """What makes the engine: called with a file, ``precision`` and ``threads``."""
    return OURS.get(name) or load_offer(ENGINES, name, what="engine")


def _precisions(name: str) -> tuple[str, ...]:
    """Those that an engine computes in: its class's ``precisions``, else fp32 alone."""
    return tuple(getattr(_engine_class(name), "precisions", (DEFAULT_PRECISION,)))
