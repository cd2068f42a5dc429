"""Sinks written to off the loop's thread: order kept, nothing lost, errors brought back."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from oneglance.perception.protocols import Sink
from oneglance.perception.result import Result
from oneglance.streams import shutdown
from oneglance.streams.errors import SinkError

logger = logging.getLogger(__name__)

WAITING = 2
"""Results that may wait for a slow sink before the loop waits with them."""

_FAILED_TOO = "an output failed too: %s"


class SinkThread:
    """One thread that writes every result to every sink, in order, and closes them at the end.

    A context manager: leaving it waits until all is written and every sink closed, then raises
    what went wrong. When another error is on its way already, what went wrong here is logged.
    After a sink failed nothing more is written: a file ends where the error says, without a gap.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._changed = threading.Condition()
        self._waiting: deque[Result] = deque()
        self._errors: list[BaseException] = []
        self._is_raised = False
        self._steps = 0
        self._thread: threading.Thread | None = None
        self._patience_s = shutdown.SINK_S
        self._stopped = self._ending = False
        self._over = not self._sinks

    def write(self, result: Result) -> bool:
        """Hand over a result, waiting while the sinks are behind; False after ``stop``.

        Raises:
            SinkError: an output could not be written; or whatever else a sink raised.
        """
        if not self._sinks:
            return not self._stopped
        with self._changed:
            while len(self._waiting) >= WAITING and not (self._stopped or self._errors):
                self._changed.wait(shutdown.PIECE_S)
            self.check()
            if self._stopped:
                return False
            self._waiting.append(result)
            self._begin()
            return True

    def check(self) -> None:
        """Raise the first thing that a sink raised, once."""
        with self._changed:
            if self._errors and not self._is_raised:
                self._is_raised = True
                raise self._errors[0]

    def stop(self) -> None:
        """Hurry, from any thread: ``write`` takes no more, ``close`` waits briefly only."""
        with self._changed:
            self._stopped = True
            self._patience_s = shutdown.SINK_STOPPED_S
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until all is written and every sink closed. May be called twice.

        Raises:
            SinkError: an output could not be written, or a sink is stuck; or whatever else a
                sink raised.
        """
        with self._changed:
            self._ending = True
            if not self._over:
                self._begin()
                self._await_end()
                for error in self._errors[1:]:
                    logger.warning(_FAILED_TOO, error)
        self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception as own:
            if kind is None or issubclass(kind, GeneratorExit):
                raise
            if own is not error:
                logger.warning(_FAILED_TOO, own)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="oneglance-sinks", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # the system has no thread left for us
                if self._waiting:
                    self._errors.append(error)
                self._close_sinks()
        self._changed.notify_all()

    def _await_end(self) -> None:
        """Wait for as long as the sinks get on with it."""
        steps, since_s = self._steps, time.monotonic()
        while not self._over:
            self._changed.wait(min(shutdown.PIECE_S, self._patience_s))
            now_s = time.monotonic()
            if steps != self._steps:
                steps, since_s = self._steps, now_s
            elif not self._over and now_s - since_s >= self._patience_s:
                self._over = True  # nobody can close a sink that is still being written to
                self._errors.append(
                    SinkError(
                        f"an output took no result for {self._patience_s:g} s: given up, its "
                        "end is missing"
                    )
                )

    # -- sink thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while (result := self._next()) is not None:
            if not self._errors:
                try:
                    for sink in self._sinks:
                        sink.write(result)
                except BaseException as error:  # noqa: BLE001 - raised on the loop's thread
                    self._note(error)
            self._step()
        self._close_sinks()

    def _close_sinks(self) -> None:
        for sink in self._sinks:
            try:
                sink.close()
            except BaseException as error:  # noqa: BLE001 - every other sink is closed first
                self._note(error)
            self._step()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _next(self) -> Result | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            if not self._waiting:
                return None
            result = self._waiting.popleft()
            self._changed.notify_all()
            return result

    def _note(self, error: BaseException) -> None:
        with self._changed:
            self._errors.append(error)
            self._changed.notify_all()

    def _step(self) -> None:
        with self._changed:
            self._steps += 1
            self._changed.notify_all()
