"""ultralytics adds its analytics, and every tracker that is installed, to each trainer it makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ultralytics.utils import callbacks


@contextmanager
def no_reports() -> Iterator[None]:
    """A trainer that is made meanwhile reports to nobody, whatever ultralytics' settings say: they
    are on by default, and nobody was asked."""
    before = callbacks.add_integration_callbacks
    callbacks.add_integration_callbacks = lambda _trainer: None
    try:
        yield
    finally:
        callbacks.add_integration_callbacks = before
