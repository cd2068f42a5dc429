"""The network at run time: ONNX in, detections out, no torch."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from oneglance.models.detector import Detector
    from oneglance.models.engines.engine import Engine
    from oneglance.models.region import Region
    from oneglance.models.tasks import ModelClass, Task
    from oneglance.models.zoo import list_zoo

__all__ = ["Detector", "Engine", "ModelClass", "Region", "Task", "list_zoo"]

# Imported when they are asked for: the program's help needs neither OpenCV nor a network.
_HOMES = {
    "Detector": "oneglance.models.detector",
    "Engine": "oneglance.models.engines.engine",
    "ModelClass": "oneglance.models.tasks",
    "Region": "oneglance.models.region",
    "Task": "oneglance.models.tasks",
    "list_zoo": "oneglance.models.zoo",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    thing = globals()[name] = getattr(importlib.import_module(home), name)
    return typing.cast("object", thing)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
