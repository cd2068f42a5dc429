"""Where frames come from: one frame type, one protocol, one door.

Importing this imports neither OpenCV nor PyAV; opening a source imports what it needs.
"""

from oneglance.streams.backoff import Backoff
from oneglance.streams.errors import (
    DataError,
    ModelError,
    OneglanceError,
    Reason,
    SinkError,
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    StreamError,
    UsageError,
)
from oneglance.streams.frame import Frame
from oneglance.streams.opening import Opening
from oneglance.streams.redaction import redact
from oneglance.streams.states import Event, State
from oneglance.streams.stream import Stream, open_stream

__all__ = [
    "Backoff",
    "DataError",
    "Event",
    "Frame",
    "ModelError",
    "OneglanceError",
    "Opening",
    "Reason",
    "SinkError",
    "SourceBroken",
    "SourceNotFound",
    "SourceStalled",
    "SourceUnreadable",
    "State",
    "Stream",
    "StreamError",
    "UsageError",
    "open_stream",
    "redact",
]
