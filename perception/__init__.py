"""The plugin: a real-time loop around one network. Start reading at ``pipeline``."""

from oneglance.perception.pipeline import Mode, Pipeline
from oneglance.perception.result import Result, Sink
from oneglance.perception.sinks import JsonLinesSink, VideoSink
from oneglance.perception.tracking import Tracker

__all__ = ["JsonLinesSink", "Mode", "Pipeline", "Result", "Sink", "Tracker", "VideoSink"]
