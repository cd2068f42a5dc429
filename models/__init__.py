"""The network at run time: ONNX in, detections out, no torch."""

from oneglance.models.detector import Detector
from oneglance.models.engines.engine import Engine
from oneglance.models.tasks import ModelClass, Task
from oneglance.models.zoo import list_zoo

__all__ = ["Detector", "Engine", "ModelClass", "Task", "list_zoo"]
