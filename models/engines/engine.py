"""What runs the network: the engines there are, and what each of them promises."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from oneglance.models.engines.openvino import OpenVinoEngine
from oneglance.models.metadata import Metadata
from oneglance.streams.errors import ModelError, UsageError

PRECISIONS = {"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16")}
"""The engines, and the precisions that each computes in; the first of both are the defaults."""

DEFAULT_ENGINE = "onnxruntime"
DEFAULT_PRECISION = "fp32"


class Engine(Protocol):
    """A loaded model. ``threads``: processors one inference may use."""

    @property
    def name(self) -> str:
        """A key of ``PRECISIONS``."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in; inputs and outputs are float32 all the same."""
        ...

    @property
    def threads(self) -> int:
        """Processors one inference may use."""
        ...

    @property
    def metadata(self) -> Metadata:
        """What the file says of itself."""
        ...

    def run(self, tensor: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
        """The output for a 1×3×H×W input, and the seconds it took.

        May be called from several threads at once. The output is the caller's to keep; the input
        is free again when this returns.
        """
        ...


def load_engine(
    file: Path,
    *,
    engine: str = DEFAULT_ENGINE,
    precision: str = DEFAULT_PRECISION,
    threads: int | None = None,
) -> Engine:
    """``file`` in the engine and the precision that were asked for, or an error: in no other.

    Raises:
        ModelError: not an ONNX model, a damaged one, not ours, with external data, or an output
            layout that its metadata does not describe.
        UsageError: no such engine or precision, one that is not installed or not for this
            processor, or ``threads`` is below 1.
    """
    check_choice(engine, precision)
    try:
        if engine == OpenVinoEngine.name:
            return OpenVinoEngine(file, precision=precision, threads=threads)
        return OnnxRuntimeEngine(file, threads=threads)
    except UnicodeDecodeError:  # both read names and metadata only when they are asked for
        raise ModelError(
            f"{file} is damaged: a text in it is not UTF-8. Copy or export it again"
        ) from None


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
