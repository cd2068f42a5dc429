"""What ultralytics' trainer asks of the network and reports to it, left out.

Its settings have that on by default, and nobody was asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ultralytics.engine import trainer
from ultralytics.utils import callbacks


@contextmanager
def no_reports() -> Iterator[None]:
    """A trainer that is made meanwhile gets no analytics and none of the trackers that happen to
    be installed."""
    with _replaced(callbacks, "add_integration_callbacks", lambda _trainer: None):
        yield


@contextmanager
def no_download() -> Iterator[None]:
    """Mixed precision is trusted meanwhile: ultralytics would download a network to try it."""
    with _replaced(trainer, "check_amp", lambda _model: True):
        yield


@contextmanager
def _replaced(module: Any, name: str, by: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, by)
    try:
        yield
    finally:
        setattr(module, name, before)
