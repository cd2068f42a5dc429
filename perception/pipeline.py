"""The real-time loop: frames in, results out, nothing waits that need not.

    reader thread ──▶ buffer ──▶ worker threads ──▶ in order ──▶ caller's thread ──▶ sink thread
    decode            wait or    letterbox, infer,               track, yield       write
                      newest     decode boxes

Recorded mode waits and loses nothing: as many workers as the detector's threads leave room
for run whole frames side by side, and results come back in order. Live mode keeps the newest
frame and counts the rest: one frame is in work at a time, begun only when the last result has
been taken, so a slow consumer sees fresh results and not a queue of old ones.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from oneglance.models.cpus import available_cpus
from oneglance.models.detector import Detector
from oneglance.perception.result import Result, Sink
from oneglance.perception.sink_thread import SinkThread
from oneglance.perception.telemetry import RunSummary, Telemetry
from oneglance.streams.buffer import Buffer, Closed, NewestBuffer, WaitBuffer
from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame
from oneglance.streams.stream import Stream, open_stream

if TYPE_CHECKING:
    import supervision as sv

    from oneglance.perception.tracking import Tracker

DECODED_AHEAD = 2
"""Frames a recorded source is decoded ahead of the workers."""

_WAIT_S = 0.25
"""Longest blocking wait in one piece, so that Ctrl-C is heard on every platform."""

PATIENCE_S = 10.0
"""Longest wait at the end for a decode or an inference that has begun: the process must not end
in the middle of one (C++ that comes back to an interpreter which is gone aborts it)."""

STOPPED_PATIENCE_S = 0.3
"""The same after ``close``; what is stuck then is waited for once more when the process ends."""


class Mode(StrEnum):
    """What the loop promises; AUTO is live for live sources and recorded for the others."""

    AUTO = "auto"
    RECORDED = "recorded"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class _Arrived:
    frame: Frame
    decode_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class _Inferred:
    arrived: _Arrived
    dropped: int
    detections: sv.Detections
    timings: dict[str, float]


class _SourceFailed(Exception):
    """What the source raised, kept apart from the buffer's own ``TimeoutError`` and ``Closed``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Pipeline:
    """Runs one detector over one source; iterate it for ``Result``s, or ``run()`` it.

    ``source``: anything ``open_stream`` takes, or an open ``Stream``. ``sinks``: written in
    order by a thread of their own and closed at the end, however it comes. ``tracker``: gives
    detections their ``tracker_id``. ``clock``: seconds, monotonic; for tests.

    A pipeline runs once. Everything that goes wrong, in whatever thread, is raised where the
    results are taken: a crash never looks like the end of a video.

    >>> from oneglance.models import Detector
    >>> pipeline = Pipeline("rendered:?frames=3", Detector.load("road4-n", threads=1))
    >>> [result.frame.index for result in pipeline]
    [0, 1, 2]
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | int | Stream,
        detector: Detector,
        *,
        mode: str = Mode.AUTO,
        sinks: Sequence[Sink] = (),
        tracker: Tracker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the source.

        Raises:
            StreamError: the source cannot be opened.
            UsageError: ``mode`` is none of auto, recorded and live.
        """
        if mode not in set(Mode):
            raise UsageError(f"unknown mode '{mode}' (modes: {', '.join(Mode)})")
        self.stream: Stream = source if isinstance(source, Stream) else open_stream(source)
        live = self.stream.live if mode == Mode.AUTO else mode == Mode.LIVE
        self.mode = Mode.LIVE if live else Mode.RECORDED
        self.telemetry = Telemetry(
            source=self.stream.source, mode=self.mode.value, model=detector.name, clock=clock
        )
        self._detector = detector
        self._tracker = tracker
        self._clock = clock
        self._sinks = SinkThread(sinks)
        self._buffer: Buffer[_Arrived] = NewestBuffer() if live else WaitBuffer(DECODED_AHEAD)
        self._workers = 1 if live else max(1, available_cpus() // detector.threads)
        # In live mode a single slot: no frame is begun before the last result has been taken.
        self._slots = threading.Semaphore(1 if live else 2 * self._workers)
        self._ordered: queue.SimpleQueue[Future[_Inferred | None]] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._patience_s = PATIENCE_S
        self._started = False

    def run(self, *, max_frames: int | None = None) -> RunSummary:
        """Take every result (or the first ``max_frames``); returns what ``summary`` says.

        Raises:
            UsageError: ``max_frames`` is below 1, or the pipeline ran before.
            OneglanceError: as when iterating.
        """
        if max_frames is not None and max_frames < 1:
            raise UsageError(f"max_frames must be at least 1, not {max_frames}")
        with closing(iter(self)) as results:
            for count, _ in enumerate(results, 1):
                if count == max_frames:
                    break
        return self.telemetry.summary()

    def __iter__(self) -> Generator[Result]:
        """Results in the frames' order. Leaving the loop early closes everything.

        What a sink raises after the last result was taken is raised too; who leaves early and
        wants to hear of it iterates ``with contextlib.closing(iter(pipeline)) as results``.

        Raises:
            StreamError: the source broke; every result before it was yielded.
            SinkError: an output could not be written.
            UsageError: the pipeline ran before.
        """
        if self._started:
            raise UsageError("a pipeline runs once: make a new one")
        self._started = True
        with self._sinks, self._threads():
            while (inferred := self._next()) is not None:
                result = self._finish(inferred)
                if not self._sinks.write(result):
                    return
                self.telemetry.add(result)
                yield result
                self._release_after_use()

    def close(self) -> None:
        """Stop soon, from any thread: iteration ends after the result in hand.

        Whoever iterates is free again within a second, even when the source or a sink is stuck.

        Raises:
            SinkError: the pipeline never ran, and an output cannot be closed.
        """
        self._stopping.set()
        self._patience_s = STOPPED_PATIENCE_S
        self._sinks.stop()
        self._end_threads()
        if not self._started:
            self._sinks.close()

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """The reader and the workers at work; afterwards they are gone, unless they are stuck."""
        threads = [threading.Thread(target=self._read, name="oneglance-read", daemon=True)]
        threads += [
            threading.Thread(target=self._work, name=f"oneglance-infer-{i}", daemon=True)
            for i in range(self._workers)
        ]

        def at_exit() -> None:
            self._end_threads()
            _joined(threads, lambda: PATIENCE_S)

        atexit.register(at_exit)
        try:
            for thread in threads:
                thread.start()
            yield
        finally:
            self._stopping.set()
            self._end_threads()
            if _joined(threads, lambda: self._patience_s):
                atexit.unregister(at_exit)

    def _end_threads(self) -> None:
        """Wake whoever waits, so that each thread sees that the run is over."""
        self._buffer.close()
        for _ in range(self._workers):
            self._slots.release()
        over: Future[_Inferred | None] = Future()
        over.set_result(None)
        self._ordered.put(over)
        self.stream.close()

    # -- reader thread ---------------------------------------------------------------------

    def _read(self) -> None:
        try:
            frames = iter(self.stream)
            pace = _Pace(self._clock) if self._paced else None
            while not self._stopping.is_set():
                started = time.perf_counter()
                frame = next(frames, None)
                decode_s = time.perf_counter() - started
                if frame is None:
                    break
                if pace is not None:
                    pace.wait_for(frame.timestamp_s, self._stopping)
                if not self._buffer.put(_Arrived(frame, decode_s, self._clock())):
                    break
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread whole
            self._buffer.finish(_SourceFailed(error))
        else:
            self._buffer.finish()

    @property
    def _paced(self) -> bool:
        return self.mode is Mode.LIVE and not self.stream.live

    # -- worker threads --------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            self._slots.acquire()
            future: Future[_Inferred | None] = Future()
            # One worker at a time takes the next frame and its place in the order.
            with self._turn:
                try:
                    arrived, dropped = self._take()
                except (Closed, _SourceFailed) as end:
                    if isinstance(end, _SourceFailed):
                        future.set_exception(end.error)
                    else:
                        future.set_result(None)
                    self._ordered.put(future)
                    return
                self._ordered.put(future)
            try:
                future.set_result(self._infer(arrived, dropped))
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread whole
                future.set_exception(error)
                return

    def _take(self) -> tuple[_Arrived, int]:
        while True:
            try:
                return self._buffer.get(_WAIT_S)
            except TimeoutError:
                if self._stopping.is_set():
                    raise Closed from None

    def _infer(self, arrived: _Arrived, dropped: int) -> _Inferred:
        queue_s = self._clock() - arrived.at_s
        detections, timings = self._detector.detect(arrived.frame.image)
        timings = {"decode": arrived.decode_s, "queue": queue_s, **timings}
        return _Inferred(arrived, dropped, detections, timings)

    # -- caller's thread -------------------------------------------------------------------

    def _next(self) -> _Inferred | None:
        while not self._stopping.is_set():
            try:
                future = self._ordered.get(timeout=_WAIT_S)
            except queue.Empty:
                self._sinks.check()
                continue
            while not (future.done() or self._stopping.is_set()):
                wait((future,), _WAIT_S)
            if self._stopping.is_set():
                break
            inferred = future.result()
            if self.mode is Mode.RECORDED:
                self._slots.release()
            return inferred
        return None

    def _release_after_use(self) -> None:
        if self.mode is Mode.LIVE:
            self._slots.release()

    def _finish(self, inferred: _Inferred) -> Result:
        arrived, detections, timings = inferred.arrived, inferred.detections, inferred.timings
        frame = arrived.frame
        if self._tracker is not None:
            started = time.perf_counter()
            detections = self._tracker.update(detections, timestamp_s=frame.timestamp_s)
            timings["track"] = time.perf_counter() - started
        age_s = None
        if self.mode is Mode.LIVE:
            captured_s = frame.timestamp_s if self.stream.live else arrived.at_s
            age_s = self._clock() - captured_s
        return Result(frame, detections, timings, age_s, inferred.dropped)


def _joined(threads: Sequence[threading.Thread], patience_s: Callable[[], float]) -> bool:
    """Wait until all have ended; False when ``patience_s()``, read anew all the time, is over."""
    started_s = time.monotonic()
    for thread in threads:
        while thread.is_alive():
            left_s = started_s + patience_s() - time.monotonic()
            if left_s <= 0:
                return False
            thread.join(min(left_s, _WAIT_S))
    return True


class _Pace:
    """Lets frames of a recording through at the times they were recorded at."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offset_s: float | None = None

    def wait_for(self, timestamp_s: float, stopping: threading.Event) -> None:
        """Return when the frame of ``timestamp_s`` is due, or when ``stopping`` is set."""
        now = self._clock()
        if self._offset_s is None:
            self._offset_s = now - timestamp_s
        stopping.wait(max(0.0, self._offset_s + timestamp_s - now))
