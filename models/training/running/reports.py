"""What ultralytics' trainer asks of the network and reports to it, left out.

Its settings have that on by default, and nobody was asked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, cast

from ultralytics.engine import trainer
from ultralytics.utils import callbacks


@contextmanager
def no_reports() -> Iterator[None]:
    """A trainer that is made meanwhile gets no analytics and none of the trackers that happen to
    be installed."""
    with _replaced(callbacks, "add_integration_callbacks", lambda _trainer: None):
        yield


@contextmanager
def output_for_progress() -> Iterator[None]:
    """A standard output that is closed or full, or whose reader has gone, ends no training
    meanwhile: ultralytics writes its progress without looking."""
    with redirect_stdout(cast("TextIO", _Anyhow(sys.stdout))):
        yield


class _Anyhow:
    def __init__(self, output: TextIO | None) -> None:
        self._output = output

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            if self._output is not None:
                self._output.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            if self._output is not None:
                self._output.flush()

    def isatty(self) -> bool:
        return self._output is not None and self._output.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


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
