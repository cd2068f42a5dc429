"""The network at run time: ONNX in, detections out, no torch."""

import typing

from oneglance.streams import lazy

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

__getattr__, __dir__ = lazy.lazy_names(__name__, _HOMES)
