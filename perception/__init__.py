"""The plugin: a real-time loop around one network. Start reading at ``pipeline``."""

import typing

from oneglance.streams import lazy

if typing.TYPE_CHECKING:
    from oneglance.perception.health import Health, SinkHealth, SourceHealth
    from oneglance.perception.mode import Alert, Live, Mode
    from oneglance.perception.pipeline import Pipeline
    from oneglance.perception.protocols import DetectorLike, Sink, TrackerLike
    from oneglance.perception.result import Result
    from oneglance.perception.sinks import JsonLinesSink, VideoSink, annotate
    from oneglance.perception.tracking import Tracker

__all__ = [
    "Alert",
    "DetectorLike",
    "Health",
    "JsonLinesSink",
    "Live",
    "Mode",
    "Pipeline",
    "Result",
    "Sink",
    "SinkHealth",
    "SourceHealth",
    "Tracker",
    "TrackerLike",
    "VideoSink",
    "annotate",
]

# Imported when they are asked for: the program's help needs neither OpenCV nor a network.
_HOMES = {
    "Alert": "oneglance.perception.mode",
    "DetectorLike": "oneglance.perception.protocols",
    "Health": "oneglance.perception.health",
    "JsonLinesSink": "oneglance.perception.sinks",
    "Live": "oneglance.perception.mode",
    "Mode": "oneglance.perception.mode",
    "Pipeline": "oneglance.perception.pipeline",
    "Result": "oneglance.perception.result",
    "Sink": "oneglance.perception.protocols",
    "SinkHealth": "oneglance.perception.health",
    "SourceHealth": "oneglance.perception.health",
    "Tracker": "oneglance.perception.tracking",
    "TrackerLike": "oneglance.perception.protocols",
    "VideoSink": "oneglance.perception.sinks",
    "annotate": "oneglance.perception.sinks",
}

__getattr__, __dir__ = lazy.lazy_names(__name__, _HOMES)
