"""Sinks written to off the loop's thread: order kept, errors brought back.

A recorded loop waits for its sinks, and every result is in every output. A live loop waits for
nobody: each sink has a thread and a few results that wait for it, and one that is behind even so
does without the newest, which is counted (``SinkHealth``) and said. With a share of the CPUs' time,
recorded or live, each has its thread too, and one that would need more goes without the rest.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from oneglance.models.cpus import available_cpus
from oneglance.perception.allowance import Allowance
from oneglance.perception.health import SinkHealth
from oneglance.perception.protocols import Sink
from oneglance.perception.result import Result
from oneglance.streams import shutdown
from oneglance.streams.errors import SinkError, UsageError
from oneglance.streams.playing import Process

logger = logging.getLogger(__name__)

WAITING = 2
"""Results that may wait for a slow sink before a recorded loop waits with them."""

WAITING_LIVE = 8
"""Results that may wait for a slow sink of a live loop: a moment's hiccup of a disk costs none."""

OWED_S = 0.25
"""What a sink with a share may owe, in seconds until it is paid for."""

_FAILED_TOO = "an output failed too: %s"


class SinkThreads:
    """The sinks of a run: one thread for all of them, in their order, or of a live run, or one with
    a share, one each.

    A context manager: leaving it waits until all is written and every sink closed, then raises
    what went wrong. When another error is on its way already, what went wrong here is logged.
    A program that ends in the middle of a run closes them too.
    """

    def __init__(
        self, sinks: Sequence[Sink], *, live: bool = False, share: float | None = None
    ) -> None:
        """``sinks`` in the order in which a result is written to them. ``share``: of the CPUs'
        time, how much each may take at most; see ``Allowance``.

        Raises:
            UsageError: one is given twice; the share is none.
        """
        cpus = available_cpus()
        allowances = [
            None if share is None else Allowance(share, cpus=cpus, owed_s=OWED_S) for _ in sinks
        ]
        self._names = sink_names(sinks)
        for number, sink in enumerate(sinks):
            if any(sink is other for other in sinks[:number]):
                raise UsageError(f"the sink {self._names[number].split('#')[0]} is given twice")
        self._process = Process()
        self._sinks = tuple(sinks)
        self._threads = (
            [
                SinkThread((sink,), drops_as=name, allowance=allowance)
                for sink, name, allowance in zip(sinks, self._names, allowances, strict=True)
            ]
            if live or share is not None
            else [SinkThread(sinks)]
        )

    def write(self, result: Result) -> bool:
        """Hand over a result; False after ``stop``. Waits while the sinks are behind, but of a
        live run.

        Raises:
            SinkError: an output could not be written; or whatever else a sink raised.
        """
        return all(thread.write(result) for thread in self._threads)

    def check(self) -> None:
        """Raise the first thing that a sink raised, once."""
        for thread in self._threads:
            thread.check()

    def health(self) -> tuple[SinkHealth, ...]:
        """What each sink went without so far; from any thread."""
        behind = [thread.dropped for thread in self._threads]
        if len(behind) != len(self._sinks):
            behind = [0] * len(self._sinks)  # one thread for all, which drops nothing
        return tuple(
            SinkHealth(sink=name, behind=count, unsent=getattr(sink, "lost", 0))
            for name, count, sink in zip(self._names, behind, self._sinks, strict=True)
        )

    @property
    def is_forked(self) -> bool:
        """Whether this is a child of the process that runs: its threads are not here."""
        return not self._process.is_this

    def check_process(self) -> None:
        """Refuse to go on in a forked child, where it would wait for ever.

        Raises:
            UsageError: this is one.
        """
        self._process.check("the run")

    def stop(self) -> None:
        """Hurry, from any thread: ``write`` takes no more, ``close`` waits briefly only."""
        for thread in self._threads:
            thread.stop()

    def close(self) -> None:
        """Wait until all is written and every sink closed. May be called twice.

        Raises:
            SinkError: an output could not be written, or a sink is stuck; or whatever else a
                sink raised.
        """
        if self.is_forked:
            return  # to close them is the parent's
        for thread in self._threads:
            thread.end()  # all of them at once: nobody's patience adds up
        failed: Exception | None = None
        for thread in self._threads:
            try:
                thread.close()
            except Exception as error:  # noqa: BLE001 - every other sink is waited for first
                if failed is not None:
                    logger.warning(_FAILED_TOO, error)
                failed = failed or error
        if failed is not None:
            raise failed

    def _at_exit(self) -> None:
        """Later the interpreter has no threads that could write."""
        try:
            self.close()
        except Exception as error:  # noqa: BLE001 - nobody is left to whom it could be raised
            logger.warning("%s", error)

    def __enter__(self) -> Self:
        atexit.register(self._at_exit)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        atexit.unregister(self._at_exit)
        try:
            self.close()
        except Exception as own:
            if kind is None or issubclass(kind, GeneratorExit):
                raise
            if own is not error:
                logger.warning(_FAILED_TOO, own)


def sink_names(sinks: Sequence[Sink]) -> list[str]:
    """A name for each, unique among them: its ``name``, else by its class (``Counts``, of
    ``CountsSink``: ``counts``)."""
    names: list[str] = []
    for sink in sinks:
        given = getattr(sink, "name", None)
        name = given if isinstance(given, str) and given else type(sink).__name__
        name = name if name == given else (name.removesuffix("Sink").strip("_").lower() or "sink")
        number = sum(each.partition("#")[0] == name for each in names)
        names.append(f"{name}#{number + 1}" if number else name)
    return names


class SinkThread:
    """One thread that writes every result to every sink, in order, and closes them at the end.

    After a sink failed nothing more is written: a file ends where the error says, without a gap.
    ``drops_as``: never wait for the sinks, and call them that where results are dropped.
    ``allowance``: of their CPU time, the first result's left out, for which encoders are opened
    and packages loaded; what would exceed it is dropped.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        drops_as: str | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._sinks = tuple(sinks)
        self._drops_as = drops_as
        self._allowance = allowance
        self.dropped = 0
        """Results that were not written, because too many others waited or there was no time."""
        self._changed = threading.Condition()
        self._waiting: deque[Result] = deque()
        self._errors: list[BaseException] = []
        self._is_raised = False
        self._steps = 0
        self._at_end = (0, 0.0)
        self._thread: threading.Thread | None = None
        self._patience_s = shutdown.SINK_S
        self._stopped = self._ending = False
        self._over = not self._sinks

    def write(self, result: Result) -> bool:
        """Hand over a result, waiting while the sinks are behind, or else dropping it then; False
        after ``stop``.

        Raises:
            SinkError: an output could not be written; or whatever else a sink raised.
        """
        if not self._sinks:
            return not self._stopped
        with self._changed:
            if self._drops_as is None:
                while len(self._waiting) >= WAITING and not (self._stopped or self._errors):
                    self._changed.wait(shutdown.PIECE_S)
            self.check()
            if self._stopped:
                return False
            if self._drops_as is not None and not self._has_room():
                self._drop()
                return True
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

    def end(self) -> None:
        """There will be no more results: what waits is written and the sinks are closed, from now
        on. May be called twice."""
        with self._changed:
            if not self._ending:
                self._ending, self._at_end = True, (self._steps, time.monotonic())
                if not self._over:
                    self._begin()

    def close(self) -> None:
        """``end``, and wait for it. May be called twice.

        Raises:
            SinkError: an output could not be written, or a sink is stuck; or whatever else a
                sink raised.
        """
        self.end()
        with self._changed:
            if not self._over:
                self._await_end()
            for error in self._errors[1:]:
                logger.warning(_FAILED_TOO, error)
            del self._errors[1:]
        self.check()

    def _has_room(self) -> bool:
        return len(self._waiting) < WAITING_LIVE and (
            self._allowance is None or self._allowance.has_room(time.monotonic())
        )

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped == 1:
            why = "is behind" if self._allowance is None else "would take more than its share"
            logger.warning(
                "the output %s %s: it does without results, and the loop goes on",
                self._drops_as,
                why,
            )

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
        steps, since_s = self._at_end
        while not self._over:
            now_s = time.monotonic()
            if steps != self._steps:
                steps, since_s = self._steps, now_s
            left_s = since_s + self._patience_s - now_s
            if left_s > 0:
                self._changed.wait(min(shutdown.PIECE_S, left_s))
                continue
            self._over = True  # nobody can close a sink that is still being written to
            self._errors.append(
                SinkError(
                    f"an output took no result for {self._patience_s:g} s: given up, its end is "
                    "missing"
                )
            )

    # -- sink thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while (result := self._next()) is not None:
            begun_cpu_s = time.thread_time()
            if not self._errors:
                try:
                    for sink in self._sinks:
                        sink.write(result)
                except BaseException as error:  # noqa: BLE001 - raised on the loop's thread
                    self._note(error)
            if self._allowance is not None and self._steps:
                with self._changed:
                    self._allowance.took(time.thread_time() - begun_cpu_s, time.monotonic())
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
