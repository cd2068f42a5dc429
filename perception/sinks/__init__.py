"""Where results go: one file a sink."""

from oneglance.perception.sinks.jsonl import JsonLinesSink, ReaderGone

__all__ = ["JsonLinesSink", "ReaderGone"]
