"""Where frames come from: one frame type, one protocol, one door.

Importing this imports neither OpenCV nor PyAV; opening a source imports what it needs.
"""

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
from oneglance.streams.live.backoff import Backoff
from oneglance.streams.live.states import Event, State
from oneglance.streams.opening import open_stream
from oneglance.streams.options import ConnectOptions
from oneglance.streams.redaction import redact
from oneglance.streams.stream import Stream

__all__ = [
    "Backoff",
    "ConnectOptions",
    "DataError",
    "Event",
    "Frame",
    "ModelError",
    "OneglanceError",
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
