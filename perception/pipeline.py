"""The real-time loop: frames in, results out, nothing waits that need not.

    reader thread ──▶ buffer ──▶ worker threads ──▶ in order ──▶ caller's thread ──▶ sink thread
    decode            wait or    letterbox, infer,               track, yield       write
    (one a source)    newest     decode boxes

Recorded mode waits and loses nothing: as many workers as the detector's threads leave room
for run whole frames side by side, and results come back in order. Live mode keeps the newest
frame and counts the rest: one frame is in work at a time, begun only when the last result has
been taken, so a slow consumer sees fresh results and not a queue of old ones. Many live sources
take turns (``fleet``); recorded and live sources are the two kinds of ``supply``.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oneglance.models.cpus import available_cpus
from oneglance.perception.health import Health, InferenceWatchdog
from oneglance.perception.mode import Alert, Live, Mode, limits_of
from oneglance.perception.protocols import (
    DetectorLike,
    Sink,
    TrackerLike,
    described,
    timed_detect,
    workers_for,
)
from oneglance.perception.readers.frame_reader import (
    DECODED_AHEAD,
    CapturedFrame,
    FrameReader,
    RecordedReader,
    Source,
    SourceFailed,
    joined,
    open_reader,
)
from oneglance.perception.result import Result
from oneglance.perception.sinks.thread import SinkThread
from oneglance.perception.summary import RunSummary, Telemetry
from oneglance.streams.buffers import Closed
from oneglance.streams.errors import UsageError

if TYPE_CHECKING:
    import supervision as sv

__all__ = ["DECODED_AHEAD", "Mode", "Pipeline"]

logger = logging.getLogger(__name__)

_WAIT_S = 0.25
"""Longest blocking wait in one piece, so that Ctrl-C is heard on every platform."""

PATIENCE_S = 10.0
"""Longest wait at the end for an inference that has begun: the process must not end in the middle
of one (C++ that comes back to an interpreter which is gone aborts it)."""

STOPPED_PATIENCE_S = 0.3
"""The same after ``close``; what is stuck then is waited for once more when the process ends."""


@dataclass(frozen=True, slots=True)
class _Inferred:
    arrived: CapturedFrame
    dropped: int
    detections: sv.Detections
    timings: dict[str, float]


class Pipeline:
    """Runs one detector over one source, or over many live ones at once; iterate it for
    ``Result``s, or ``run()`` it.

    ``source``: one, or a list of those that share the network live: each gets its turn, and
    none waits for another that is away (cameras and network sources may all be down at the
    start). ``sinks``: written in order by a thread of their own and closed at the end, however
    it comes. ``tracker``: gives detections their ``tracker_id``, unique within a source.
    ``clock``: seconds, monotonic; for tests.

    OpenCV's own threads cost more than they save on pictures this small: ``oneglance run`` does
    without (``cv2.setNumThreads(1)``); in another program that is the program's to choose.

    A pipeline runs once. Everything that goes wrong, in whatever thread, is raised where the
    results are taken: a crash never looks like the end of a video. Of several live sources, one
    that breaks for good leaves the run, and is raised when all the others have ended too.

    >>> from oneglance.models import Detector
    >>> pipeline = Pipeline("rendered:?frames=3", Detector.load("road4-n", threads=1))
    >>> [result.frame.index for result in pipeline]
    [0, 1, 2]
    """

    def __init__(
        self,
        source: Source | Sequence[Source],
        detector: DetectorLike,
        *,
        mode: str | Live = Mode.AUTO,
        sinks: Sequence[Sink] = (),
        tracker: TrackerLike | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the source. In auto mode a single camera or network source must answer now; in
        live mode, ``mode="live"`` or ``mode=Live(…)`` with limits, it may come when it likes.

        Raises:
            StreamError: the source cannot be opened.
            UsageError: ``mode`` is none of auto, recorded and live; several sources are not
                live, or of one name.
        """
        self._live = limits_of(mode)
        self._clock = clock
        supply = open_reader(source, mode, self._live, tracker=tracker, clock=clock)
        self._supply: FrameReader = supply
        self._fleet = None if isinstance(supply, RecordedReader) else supply
        live = self._fleet is not None
        self.mode = Mode.LIVE if live else Mode.RECORDED
        self.telemetry = Telemetry(
            source=self._supply.name,
            mode=self.mode.value,
            clock=clock,
            **described(detector),
        )
        self._name = detector.name
        self._detect = timed_detect(detector)
        self._tracker = None if tracker is None else tracker.fresh()
        self._watchdog = InferenceWatchdog(self._live.stuck_s)
        self._sinks = SinkThread(sinks)
        self._workers = 1 if live else workers_for(detector, available_cpus())
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
        return self.summary()

    def summary(self) -> RunSummary:
        """What the run did and cost so far; may be called during it and from any thread."""
        return replace(self.telemetry.summary(), sources=self.health().sources)

    def health(self) -> Health:
        """How the sources and the network are doing now; from any thread."""
        inference_s = self._watchdog.longest_s(self._clock())
        return Health(
            sources=() if self._fleet is None else self._fleet.health(),
            inference_s=None if inference_s is None else round(inference_s, 3),
            stuck=inference_s is not None and inference_s > self._live.stuck_s,
        )

    def add(self, source: Source) -> str:
        """One more source for a live run, from now on and from any thread; its name.

        Raises:
            StreamError: it cannot be opened (a file; cameras may come later).
            UsageError: there is one of that name, or the run is recorded or over.
        """
        if self._fleet is None:
            raise UsageError("a recorded run has one source: nothing can be added")
        return self._fleet.add(source)

    def remove(self, name: str) -> None:
        """Take a source out of a live run, from any thread; no result of it comes any more.

        Raises:
            UsageError: there is none of that name, or the run is recorded.
        """
        if self._fleet is None:
            raise UsageError("a recorded run has one source: close the pipeline to stop it")
        self._fleet.remove(name)

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
                self._count(inferred)
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
        """Readers and workers at work; afterwards they are gone, unless they are stuck."""
        threads = [
            threading.Thread(target=self._work, name=f"oneglance-infer-{i}", daemon=True)
            for i in range(self._workers)
        ]

        def at_exit() -> None:
            self._end_threads()
            joined(threads, lambda: PATIENCE_S)
            self._supply.join(lambda: PATIENCE_S)

        atexit.register(at_exit)
        try:
            self._supply.start()
            for thread in threads:
                thread.start()
            yield
        finally:
            self._stopping.set()
            self._end_threads()
            all_ended = joined(threads, lambda: self._patience_s)
            if self._supply.join(lambda: self._patience_s) and all_ended:
                atexit.unregister(at_exit)

    def _end_threads(self) -> None:
        """Wake whoever waits, so that each thread sees that the run is over."""
        self._supply.close()
        for _ in range(self._workers):
            self._slots.release()
        over: Future[_Inferred | None] = Future()
        over.set_result(None)
        self._ordered.put(over)

    # -- worker threads --------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            self._slots.acquire()
            future: Future[_Inferred | None] = Future()
            # One worker at a time takes the next frame and its place in the order.
            with self._turn:
                try:
                    arrived, dropped = self._take()
                except (Closed, SourceFailed) as end:
                    if isinstance(end, SourceFailed):
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

    def _take(self) -> tuple[CapturedFrame, int]:
        while True:
            try:
                return self._supply.get(_WAIT_S)
            except TimeoutError:
                if self._stopping.is_set():
                    raise Closed from None

    def _infer(self, arrived: CapturedFrame, dropped: int) -> _Inferred:
        begun_s, worker = self._clock(), threading.get_ident()
        queue_s = begun_s - arrived.at_s
        self._watchdog.begin(worker, begun_s)
        try:
            started = time.perf_counter()
            image = arrived.frame.image
            convert_s = time.perf_counter() - started
            detections, stages = self._detect(image)
        finally:
            self._watchdog.end(worker)
        timings = {"queue": queue_s, "convert": convert_s, **stages}
        if arrived.decode_s is not None:
            timings = {"decode": arrived.decode_s, **timings}
        return _Inferred(arrived, dropped, detections, timings)

    # -- caller's thread -------------------------------------------------------------------

    def _next(self) -> _Inferred | None:
        while not self._stopping.is_set():
            try:
                future = self._ordered.get(timeout=_WAIT_S)
            except queue.Empty:
                self._sinks.check()
                self._look_around()
                continue
            while not (future.done() or self._stopping.is_set()):
                wait((future,), _WAIT_S)
                self._look_around()
            if self._stopping.is_set():
                break
            inferred = future.result()
            if inferred is not None and _is_removed(inferred):
                self._slots.release()
                continue
            if self.mode is Mode.RECORDED:
                self._slots.release()
            return inferred
        return None

    def _look_around(self) -> None:
        """Tell of what is stuck or silent."""
        if self._fleet is not None:
            self._fleet.check_silence()
        now_s = self._clock()
        if self._watchdog.newly_stuck(now_s):
            running_s = self._watchdog.longest_s(now_s) or 0.0
            story = f"an inference has been running for {running_s:.1f} s"
            self._alert(Alert(self._name, story, now_s))

    def _alert(self, alert: Alert) -> None:
        logger.warning("%s", alert)
        if self._live.on_event is not None:
            self._live.on_event(alert)

    def _count(self, inferred: _Inferred) -> None:
        member = inferred.arrived.member
        alert = None if member is None else member.deliver(inferred.dropped)
        if alert is not None:
            self._alert(alert)

    def _release_after_use(self) -> None:
        if self.mode is Mode.LIVE:
            self._slots.release()

    def _finish(self, inferred: _Inferred) -> Result:
        arrived, detections, timings = inferred.arrived, inferred.detections, inferred.timings
        frame, member = arrived.frame, arrived.member
        tracker = self._tracker if member is None else member.tracker
        if tracker is not None:
            started = time.perf_counter()
            detections = tracker.update(detections, timestamp_s=frame.timestamp_s)
            timings["track"] = time.perf_counter() - started
        age_s = None
        if member is not None:
            captured_s = frame.timestamp_s if member.stream.live else arrived.at_s
            age_s = self._clock() - captured_s
        return Result(frame, detections, timings, age_s, inferred.dropped)


def _is_removed(inferred: _Inferred) -> bool:
    member = inferred.arrived.member
    return member is not None and member.halt.is_set()
