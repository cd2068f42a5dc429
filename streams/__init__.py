"""Where frames come from: one frame type, one protocol, one door.

Importing this imports neither OpenCV nor PyAV; opening a source imports what it needs.
"""

from oneglance.streams.errors import (
    DataError,
    ModelError,
    OneglanceError,
    SinkError,
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    StreamError,
    UsageError,
)
from oneglance.streams.frame import Frame
from oneglance.streams.redaction import redact
from oneglance.streams.stream import Stream, open_stream

__all__ = [
    "DataError",
    "Frame",
    "ModelError",
    "OneglanceError",
    "SinkError",
    "SourceBroken",
    "SourceNotFound",
    "SourceStalled",
    "SourceUnreadable",
    "Stream",
    "StreamError",
    "UsageError",
    "open_stream",
    "redact",
]
