"""Playing a source that does not end well."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from oneglance.streams import Frame, StreamError


def play_until(kind: type[StreamError], frames: Iterable[Frame]) -> tuple[list[Frame], str]:
    """The frames that came before exactly this kind of error was raised, and what it said."""
    came: list[Frame] = []
    with pytest.raises(kind) as caught:
        came.extend(frames)
    assert type(caught.value) is kind
    return came, str(caught.value)
