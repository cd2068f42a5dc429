"""Where frames come from: one frame type, one protocol, one door.

Importing this imports next to nothing, so that the program handles signals from its first moment
on; opening a source imports what it needs.
"""

import typing

from oneglance.streams import lazy

if typing.TYPE_CHECKING:
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

_HOMES = {
    "Backoff": "oneglance.streams.live.backoff",
    "ConnectOptions": "oneglance.streams.options",
    "DataError": "oneglance.streams.errors",
    "Event": "oneglance.streams.live.states",
    "Frame": "oneglance.streams.frame",
    "ModelError": "oneglance.streams.errors",
    "OneglanceError": "oneglance.streams.errors",
    "Reason": "oneglance.streams.errors",
    "SinkError": "oneglance.streams.errors",
    "SourceBroken": "oneglance.streams.errors",
    "SourceNotFound": "oneglance.streams.errors",
    "SourceStalled": "oneglance.streams.errors",
    "SourceUnreadable": "oneglance.streams.errors",
    "State": "oneglance.streams.live.states",
    "Stream": "oneglance.streams.stream",
    "StreamError": "oneglance.streams.errors",
    "UsageError": "oneglance.streams.errors",
    "open_stream": "oneglance.streams.opening",
    "redact": "oneglance.streams.redaction",
}

__getattr__, __dir__ = lazy.lazy_names(__name__, _HOMES)
