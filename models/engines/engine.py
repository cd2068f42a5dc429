"""What an engine is: a loaded model that runs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from oneglance.models.metadata import Metadata


class Engine(Protocol):
    """A loaded model. ``threads``: CPUs one inference may use. What runs elsewhere than on the CPU
    says so in ``device``."""

    @property
    def name(self) -> str:
        """As it is asked for: ``onnxruntime``, ``openvino``, a plugin's."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in; inputs and outputs are float32 all the same."""
        ...

    @property
    def threads(self) -> int:
        """CPUs one inference may use."""
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


def device_of(engine: Engine) -> str:
    """Where an engine runs: ``cpu`` unless it says otherwise."""
    return str(getattr(engine, "device", "cpu"))
