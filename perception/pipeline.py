"""The real-time loop: frames in, results out, nothing waits that need not.

    reader thread ──▶ buffer ──▶ worker threads ──▶ in order ──▶ caller's thread ──▶ sink thread
    decode            wait or    convert, letterbox,             track, yield       write
    (one a source)    newest     infer, decode boxes

Recorded mode waits and loses nothing: as many workers as the detector's threads leave room
for, and two more, run whole frames side by side. Live mode keeps the newest frame, counts the
rest, and begins one when the last result has been taken. What lies behind is the reader's business.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from oneglance.models.cpus import available_cpus
from oneglance.models.region import Region
from oneglance.perception.health import Health, InferenceWatchdog
from oneglance.perception.looking import Looking
from oneglance.perception.mode import Alert, Live, Mode, limits_of
from oneglance.perception.protocols import (
    DetectorLike,
    PredictingTracker,
    Sink,
    TrackerLike,
    described,
    slots_for,
    workers_for,
)
from oneglance.perception.readers.frame_reader import (
    CapturedFrame,
    FrameReader,
    Source,
    SourceFailed,
    joined,
)
from oneglance.perception.readers.opening import open_reader
from oneglance.perception.result import Result
from oneglance.perception.sinks.thread import SinkThreads
from oneglance.perception.summary import RunSummary, Telemetry
from oneglance.perception.tracking import inside
from oneglance.streams import shutdown
from oneglance.streams.buffers import Closed
from oneglance.streams.errors import StreamError, UsageError

if TYPE_CHECKING:
    import supervision as sv

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Inferred:
    captured: CapturedFrame
    detections: sv.Detections | None
    """None: there is no image to look at, or the network need not look."""
    timings: dict[str, float]
    is_due: bool = True
    """Whether the network looks at it; otherwise the tracker predicts."""


class Pipeline:
    """Runs one detector over one source, or over many live ones at once; iterate it for
    ``Result``s, or ``run()`` it.

    ``source``: one, or a list of those that share the network live: served round-robin, and none
    waits for another that is away; or a ``FrameReader``. ``detector``: whatever is callable and has
    a name, see ``DetectorLike``. ``sinks``: written in order off the loop's thread and closed at
    the end; a live loop waits for none (``SinkHealth``). ``tracker``: gives detections their
    ``tracker_id``, unique within a source; each run begins with a fresh one.
    ``every``: the network looks at every Nth frame of a source only. Between, the tracker predicts
    (``Result.predicted``); without one those frames have no result. ``region``: what of every
    frame the network looks at, see ``Region``; boxes are in pixels of the whole frame.
    ``budget_ms``: live, keep results younger by looking with less; see ``perception.budget``.
    ``sink_share``: of the CPUs' time, above 0 to 1, what each sink may take: in a recorded run too
    it goes without results that would take more, which are counted (``SinkHealth.behind``).

    OpenCV's own threads cost more than they save on images this small: ``oneglance run`` does
    without (``cv2.setNumThreads(1)``); in another program that is the program's to choose.

    A pipeline runs once. Everything that goes wrong, in whatever thread, is raised where the
    results are taken: a crash never looks like the end of a video. Of several live sources, one
    that breaks for good leaves the run, and is raised when all the others have ended too.

    >>> from oneglance.models import Detector
    >>> pipeline = Pipeline("rendered:?frames=3", Detector.load("road4-n", threads=1))
    >>> [result.frame.index for result in pipeline]
    [0, 1, 2]
    """

    def __init__(  # noqa: PLR0913 - each is a user's choice
        self,
        source: Source | Sequence[Source] | FrameReader,
        detector: DetectorLike,
        *,
        mode: str | Live = Mode.AUTO,
        sinks: Sequence[Sink] = (),
        tracker: TrackerLike | None = None,
        every: int = 1,
        region: Region | str | Sequence[float] | None = None,
        budget_ms: float | None = None,
        sink_share: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the source. In auto mode a single camera or network source must answer now; in
        live mode, ``mode="live"`` or ``mode=Live(…)`` with limits, it may come when it likes.

        Raises:
            StreamError: the source cannot be opened.
            UsageError: ``mode`` is none of auto, recorded and live; several sources are not
                live, or of one name; ``every`` is below 1, or the tracker cannot predict; the
                region or share is none; the budget is of a recorded run, or cannot be held.
            ModelError: a model that the budget needs cannot be loaded.
        """
        part = None if region is None else Region.of(region)
        self._looking = Looking(detector, tracker=tracker, every=every, region=part)
        self._limits = limits_of(mode)
        self._clock = clock
        self._reader = (
            source
            if isinstance(source, FrameReader)
            else open_reader(cast("Source", source), mode, clock=clock)
        )
        if budget_ms is not None:
            self._looking.hold(budget_ms, self._reader, now_s=clock())
        self.mode = Mode.LIVE if self._reader.live else Mode.RECORDED
        self.telemetry = Telemetry(
            source=self._reader.name, mode=self.mode.value, clock=clock, **described(detector)
        )
        self._name, self._tracker = detector.name, tracker
        self._missed: Counter[str] = Counter()  # by frames that have no result
        self._watchdog = InferenceWatchdog(self._limits.stuck_s)
        self._sinks = SinkThreads(sinks, live=self._reader.live, share=sink_share)
        self._workers = 1 if self._reader.live else workers_for(detector, available_cpus())
        # In live mode a single slot: no frame is begun before the last result has been taken.
        self._slots = threading.Semaphore(1 if self._reader.live else slots_for(self._workers))
        self._ordered: queue.SimpleQueue[Future[_Inferred | None]] = queue.SimpleQueue()
        self._take_lock, self._stopping = threading.Lock(), threading.Event()
        self._patience_s, self._started = shutdown.INFERENCE_S, False

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
        health, found = self.health(), self.telemetry.summary()
        return replace(found, sources=health.sources, budget=health.budget, sinks=health.sinks)

    def health(self) -> Health:
        """How the sources and the network are doing now; from any thread."""
        busy_s = self._watchdog.longest_s(self._clock())
        return Health(
            sources=self._reader.health(),
            inference_s=None if busy_s is None else round(busy_s, 3),
            stuck=busy_s is not None and busy_s > self._limits.stuck_s,
            budget=self._looking.status(),
            sinks=self._sinks.health(),
        )

    def add(self, source: Source) -> str:
        """One more source for a live run, from now on and from any thread; its name.

        Raises:
            StreamError: it cannot be opened (a file; cameras may come later).
            UsageError: there is one of that name, or the run is recorded or over.
        """
        return self._reader.add(source)

    def remove(self, name: str) -> None:
        """Take a source out of a live run, from any thread; no result of it comes any more.

        Raises:
            UsageError: there is none of that name, or the run is recorded.
        """
        self._reader.remove(name)

    def __iter__(self) -> Generator[Result]:
        """Results in the frames' order. Leaving the loop early closes everything.

        What a sink raises after the last result was taken is raised too; who leaves early and
        wants to hear of it iterates ``with contextlib.closing(iter(pipeline)) as results``.

        Raises:
            StreamError: the source broke; every result before it was yielded.
            SinkError: an output could not be written.
            UsageError: the pipeline ran before, or in a process that forked this one.
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
                alert = self._reader.delivered(inferred.captured)
                if alert is not None:
                    self._alert(alert)
                yield result
                if self.mode is Mode.LIVE:
                    self._slots.release()

    def close(self) -> None:
        """Stop soon, from any thread: iteration ends after the result in hand, within a second even
        when the source or a sink is stuck.

        Raises:
            SinkError: the pipeline never ran, and an output cannot be closed.
        """
        self._patience_s = shutdown.INFERENCE_STOPPED_S
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
            joined(threads, lambda: shutdown.INFERENCE_S)
            self._reader.join(lambda: shutdown.INFERENCE_S)

        atexit.register(at_exit)
        try:
            self._reader.start(self._tracker)
            for thread in threads:
                thread.start()
            yield
        finally:
            self._end_threads()
            all_ended = joined(threads, lambda: self._patience_s)
            if self._reader.join(lambda: self._patience_s) and all_ended:
                atexit.unregister(at_exit)

    def _end_threads(self) -> None:
        """Wake whoever waits, so that each thread sees that the run is over."""
        self._stopping.set()
        if self._sinks.is_forked:
            return  # nobody waits here, and a lock may be held by a thread of the parent
        self._reader.close()
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
            with self._take_lock:
                try:
                    captured, is_due = self._take()
                except (Closed, SourceFailed) as end:
                    if isinstance(end, SourceFailed):
                        future.set_exception(end.error)
                    else:
                        future.set_result(None)
                    self._ordered.put(future)
                    return
                self._ordered.put(future)
            try:
                future.set_result(self._infer(captured, is_due))
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread as it is
                future.set_exception(error)
                return

    def _take(self) -> tuple[CapturedFrame, bool]:
        """The next frame that has a result, and whether the network is to look at it."""
        while True:
            try:
                captured = self._reader.get(shutdown.PIECE_S)
            except TimeoutError:
                if self._stopping.is_set():
                    raise Closed from None
                continue
            source = captured.frame.source
            is_due = self._looking.stride.is_due(source)
            if is_due or self._tracker is not None:
                missed = captured.dropped + self._missed.pop(source, 0)
                return replace(captured, dropped=missed) if missed else captured, is_due
            self._missed[source] += captured.dropped
            self._reader.skipped(captured)

    def _infer(self, captured: CapturedFrame, is_due: bool) -> _Inferred:
        begun_s, worker = self._clock(), threading.get_ident()
        timings = {} if captured.decode_s is None else {"decode": captured.decode_s}
        timings["queue"] = begun_s - captured.arrival_s
        if not is_due:
            return _Inferred(captured, None, timings, is_due)
        self._watchdog.begin(worker, begun_s)
        look = self._looking.look
        try:
            started = time.perf_counter()
            try:
                planes = captured.frame.yuv() if look.takes_planes(captured.frame.size) else None
                pixels = captured.frame.image if planes is None else planes
            except StreamError as error:
                self._reader.failed(captured, error)
                return _Inferred(captured, None, timings)
            timings["convert"] = time.perf_counter() - started
            detections, stages = look.detect(pixels)
        finally:
            self._watchdog.end(worker)
        return _Inferred(captured, detections, timings | stages)

    # -- caller's thread -------------------------------------------------------------------

    def _next(self) -> _Inferred | None:
        self._sinks.check_process()
        while not self._stopping.is_set():
            try:
                future = self._ordered.get(timeout=shutdown.PIECE_S)
            except queue.Empty:
                self._sinks.check()
                self._look_around()
                continue
            while not (future.done() or self._stopping.is_set()):
                wait((future,), shutdown.PIECE_S)
                self._look_around()
            if self._stopping.is_set():
                break
            inferred = future.result()
            is_wanted = inferred is None or (
                (inferred.detections is not None or not inferred.is_due)
                and self._reader.wants(inferred.captured)
            )
            if self.mode is Mode.RECORDED or not is_wanted:
                self._slots.release()
            if is_wanted:
                return inferred
        return None

    def _look_around(self) -> None:
        """Report what is stuck or silent."""
        self._reader.check_silence()
        now_s = self._clock()
        if self._watchdog.newly_stuck(now_s):
            running_s = self._watchdog.longest_s(now_s) or 0.0
            message = f"an inference has been running for {running_s:.1f} s"
            self._alert(Alert(self._name, message, now_s))

    def _alert(self, alert: Alert) -> None:
        logger.warning("%s", alert)
        if self._limits.on_event is not None:
            self._limits.on_event(alert)

    def _finish(self, inferred: _Inferred) -> Result:
        captured, detections, timings = inferred.captured, inferred.detections, inferred.timings
        frame, tracker = captured.frame, self._reader.tracker(captured)
        predicted, step = not inferred.is_due, self._looking.step
        started = time.perf_counter()
        if detections is None:
            assert isinstance(tracker, PredictingTracker)
            detections = inside(tracker.predict(timestamp_s=frame.timestamp_s), frame.size)
        elif tracker is not None:
            detections = tracker.update(detections, timestamp_s=frame.timestamp_s)
        if tracker is not None:
            timings["track"] = time.perf_counter() - started
        if self._looking.may_predict:
            detections.data["predicted"] = np.full(len(detections), predicted)
        captured_s, now_s = captured.captured_s, self._clock()
        age_s = None if captured_s is None else now_s - captured_s
        if (news := self._looking.note(age_s, now_s=now_s)) is not None:
            self._alert(Alert(self._name, str(news), now_s))
        return Result(frame, detections, timings, age_s, captured.dropped, predicted, step)
