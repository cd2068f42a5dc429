"""Where results go: one module a sink."""

from oneglance.perception.sinks.drawing import annotate
from oneglance.perception.sinks.jsonl import JsonLinesSink, ReaderGone
from oneglance.perception.sinks.video import VideoSink

__all__ = ["JsonLinesSink", "ReaderGone", "VideoSink", "annotate"]
