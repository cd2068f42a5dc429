"""The plugin: a real-time loop around one network. Start reading at ``pipeline``."""

from oneglance.perception.health import Health, SourceHealth
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
    "SourceHealth",
    "Tracker",
    "TrackerLike",
    "VideoSink",
    "annotate",
]
