"""The engines there are, what each of them promises, and the door to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from oneglance.models.engines.engine import Engine
from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from oneglance.models.engines.openvino import OpenVinoEngine
from oneglance.models.engines.providers import CPU
from oneglance.models.engines.self_check import self_check
from oneglance.streams.entry_points import (
    ENGINES,
    find_offer,
    list_offers,
    load_offer,
    offer_of,
    unknown,
)
from oneglance.streams.errors import ModelError, UsageError

logger = logging.getLogger(__name__)

OURS: Mapping[str, type[Any]] = {"onnxruntime": OnnxRuntimeEngine, "openvino": OpenVinoEngine}

PRECISIONS: Mapping[str, tuple[str, ...]] = {
    name: engine.precisions for name, engine in OURS.items()
}
"""Our engines, and the precisions that each computes in; the first of both are the defaults."""

KEEPING = "tensorrt"
"""The device that compiles for minutes, and whose engines are kept on disk."""

DEFAULT_ENGINE = "onnxruntime"
DEFAULT_PRECISION = "fp32"


def load_engine(  # noqa: PLR0913 - each is a choice of the user's
    file: Path,
    *,
    engine: str = DEFAULT_ENGINE,
    precision: str | None = None,
    device: str = CPU,
    threads: int | None = None,
    cache: Path | None = None,
    check: bool = True,
) -> Engine:
    """``file`` in the engine, precision and device that were asked for, or an error: in no other.

    ``precision``: None: the first that the engine computes in there. ``cache``: the folder for
    what a device compiles and keeps (TensorRT alone); None: in the user's cache. ``check``: hold
    it to the reference frames that the file carries, if any (``self_check``): at most three
    inferences.

    Raises:
        ModelError: not an ONNX model, a damaged one, not ours, with external data, an output
            layout that its metadata does not describe; or it computes something else here than
            it should; or what was kept of it is damaged.
        UsageError: no such engine, precision or device, one that is not installed or not for this
            CPU, or ``threads`` is below 1 or more than any machine has.
    """
    precision = default_precision(engine, device) if precision is None else precision
    check_choice(engine, precision, device)
    more: dict[str, Any] = {} if device == CPU else {"device": device}
    if device == KEEPING:
        more["cache"] = cache
    try:
        loaded = _made(engine, file, precision=precision, threads=threads, **more)
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


def device_choices() -> tuple[tuple[str, str, str], ...]:
    """Each of our engines with each of its precisions on each device other than the CPU."""
    return tuple(
        (name, precision, device)
        for name in OURS
        for device, offered in devices_of(name).items()
        for precision in offered
        if device != CPU
    )


def devices_of(engine: str) -> Mapping[str, tuple[str, ...]]:
    """The devices that an engine runs on, and the precisions on each; the CPU alone of one that
    does not say. On the CPU its ``precisions`` count."""
    own: Mapping[str, tuple[str, ...]] = getattr(_engine_class(engine), "devices", {})
    return {CPU: _precisions(engine)} | {name: own[name] for name in own if name != CPU}


def default_precision(engine: str, device: str = CPU) -> str:
    """What an engine computes in on a device unless another precision is asked for; of those that
    are not there, any: ``check_choice`` says so."""
    if device == CPU or (engine not in OURS and find_offer(ENGINES, engine) is None):
        return DEFAULT_PRECISION
    return devices_of(engine).get(device, (DEFAULT_PRECISION,))[0]


def check_choice(engine: str, precision: str, device: str = CPU) -> None:
    """See that there is such an engine, and that it has such a precision on such a device.

    Raises:
        UsageError: there is not, or it has not.
    """
    if engine not in OURS and find_offer(ENGINES, engine) is None:
        names = (*OURS, *(offer.name for offer in list_offers(ENGINES)))
        raise UsageError(unknown("engine", engine, names))
    devices = devices_of(engine)
    if device not in devices:
        _refuse_device(engine, device)
    offered = devices[device]
    if precision in offered:
        return
    every = dict.fromkeys(p for each in (*PRECISIONS.values(), *devices.values()) for p in each)
    if precision not in every:
        raise UsageError(unknown("precision", precision, every))
    if device != CPU:
        raise UsageError(
            f"engine {engine} on {device} does not compute in {precision}: choose precision "
            f"{' or '.join(offered)}"
        )
    if others := [name for name, each in PRECISIONS.items() if precision in each]:
        raise UsageError(
            f"engine {engine} does not compute in {precision}: choose engine "
            f"{' or '.join(others)}, or precision {' or '.join(offered)}"
        )
    where = [
        f"{name} on {' or '.join(found)}"
        for name in OURS
        if (found := [each for each, known in devices_of(name).items() if precision in known])
    ]
    raise UsageError(
        f"no engine computes in {precision} on the CPU ({'; '.join(where)}): choose such a device, "
        f"or precision {' or '.join(offered)}"
    )


def _refuse_device(engine: str, device: str) -> NoReturn:
    of_others = [name for name in OURS if name != engine and device in devices_of(name)]
    if of_others:
        raise UsageError(
            f"engine {engine} does not run on {device} (it does on {', '.join(devices_of(engine))}"
            f"): choose engine {' or '.join(of_others)}"
        )
    known = [each for name in (engine, *OURS) for each in devices_of(name)]
    raise UsageError(unknown("device", device, known))


def _made(name: str, file: Path, **options: Any) -> Engine:
    """The engine, ours or another package's.

    Raises:
        UsageError: another package's cannot be used, or gives none.
    """
    ours = OURS.get(name)
    if ours is not None:
        found: Engine = ours(file, **options)
        return found
    offer = offer_of(ENGINES, name, what="engine")
    made: Engine = offer.make(file, **options)
    if not callable(getattr(made, "run", None)):
        see = "see oneglance.models.engines.engine.Engine for what one has"
        why = f"it gave a {type(made).__name__}, which is no Engine: {see}"
        raise offer.error("cannot be used", why)
    return made


def _engine_class(name: str) -> Any:
    """What makes the engine: called with a file, ``precision`` and ``threads``."""
    return OURS.get(name) or load_offer(ENGINES, name, what="engine")


def _precisions(name: str) -> tuple[str, ...]:
    """Those that an engine computes in: its class's ``precisions``, else fp32 alone."""
    return tuple(getattr(_engine_class(name), "precisions", (DEFAULT_PRECISION,)))
