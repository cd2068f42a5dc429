"""The engines there are, what each of them promises, and the door to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from oneglance.models.engines.engine import Engine
from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from oneglance.models.engines.openvino import OpenVinoEngine
from oneglance.models.engines.self_check import self_check
from oneglance.streams.errors import ModelError, UsageError

PRECISIONS = {"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16")}
"""The engines, and the precisions that each computes in; the first of both are the defaults."""

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
            processor, or ``threads`` is below 1.
    """
    check_choice(engine, precision)
    try:
        loaded: Engine
        if engine == OpenVinoEngine.name:
            loaded = OpenVinoEngine(file, precision=precision, threads=threads)
        else:
            loaded = OnnxRuntimeEngine(file, threads=threads)
    except UnicodeDecodeError:  # both read names and metadata only when they are asked for
        raise ModelError(
            f"{file} is damaged: a text in it is not UTF-8. Copy or export it again"
        ) from None
    if check:
        self_check(loaded, origin=str(file))
    return loaded


def check_choice(engine: str, precision: str) -> None:
    """See that there is such an engine, and that it has such a precision.

    Raises:
        UsageError: there is not, or it has not.
    """
    if engine not in PRECISIONS:
        raise UsageError(_unknown("engine", engine, PRECISIONS))
    every = dict.fromkeys(p for offered in PRECISIONS.values() for p in offered)
    if precision not in every:
        raise UsageError(_unknown("precision", precision, every))
    if precision not in PRECISIONS[engine]:
        others = [name for name, offered in PRECISIONS.items() if precision in offered]
        raise UsageError(
            f"engine {engine} does not compute in {precision}: choose engine "
            f"{' or '.join(others)}, or precision {' or '.join(PRECISIONS[engine])}"
        )


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {what} '{word}'{hint} ({what}s: {', '.join(names)})"
