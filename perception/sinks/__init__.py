"""Where results go: one module a sink."""

from oneglance.perception.sinks.jsonl import JsonLinesSink
from oneglance.perception.sinks.video import VideoSink

__all__ = ["JsonLinesSink", "VideoSink"]
