"""What ``oneglance run`` does between its options and its exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oneglance.models.cpus import available_cpus
from oneglance.models.detector import DEFAULT_CONFIDENCE, Detector
from oneglance.models.engines.heap import limit_arenas
from oneglance.models.engines.loading import DEFAULT_ENGINE
from oneglance.models.region import Region
from oneglance.models.tasks import Task, parse_tasks
from oneglance.models.zoo import DEFAULT
from oneglance.perception.allowance import check_share
from oneglance.perception.cli.common import write_json
from oneglance.perception.cli.garbage import collecting_later
from oneglance.perception.cli.outputs import check_outputs
from oneglance.perception.cli.summary import render_summary
from oneglance.perception.cli.terminal import Terminal
from oneglance.perception.looking import check_budget
from oneglance.perception.mode import Mode
from oneglance.perception.pipeline import Pipeline
from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.readers.frame_reader import FrameReader, Source
from oneglance.perception.readers.opening import open_reader, run_together
from oneglance.perception.result import Result
from oneglance.perception.sinks import VideoSink
from oneglance.perception.sinks.files import Promised, is_standard_output
from oneglance.perception.sinks.jsonl import ReaderGone
from oneglance.perception.sinks.thread import sink_names
from oneglance.perception.stride import Stride
from oneglance.perception.summary import RunSummary
from oneglance.perception.tracking import Tracker
from oneglance.streams.errors import SinkError, StreamError, UsageError
from oneglance.streams.opening import open_stream
from oneglance.streams.options import ConnectOptions
from oneglance.streams.redaction import redact

logger = logging.getLogger(__name__)

DEFAULT_SOURCE = "rendered:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of ``oneglance run``, each with the meaning and default it has there."""

    sources: Sequence[str] = (DEFAULT_SOURCE,)
    model: str = DEFAULT
    mode: Mode = Mode.AUTO
    tasks: str | None = None
    confidence: float = DEFAULT_CONFIDENCE
    threads: int | None = None
    engine: str = DEFAULT_ENGINE
    precision: str | None = None
    device: str | None = None
    engine_cache: Path | None = None
    self_check: bool = True
    every: int = 1
    region: str | None = None
    budget_ms: float | None = None
    track: bool = True
    jsonl: str | None = None
    video: Path | None = None
    sinks: Sequence[str] = ()
    sink_share: float | None = None
    max_frames: int | None = None
    json_summary: Path | None = None
    stream: int | None = None
    connect: ConnectOptions = field(default_factory=ConnectOptions)

    @property
    def together(self) -> bool:
        """Whether the sources run at once: several that are live, or are to be played so."""
        return run_together(self.sources, self.mode)


@dataclass(slots=True)
class Run:
    """One command: sources in order, or live ones at once; one detector, shared outputs.

    ``summaries`` holds one summary a source, that of a source which broke or was interrupted
    included, so that what was done is always reported.
    """

    options: RunOptions
    console: Console
    summaries: list[RunSummary] = field(default_factory=list)
    _started: Callable[[], None] = field(default=lambda: None, init=False, repr=False)
    _promised: Promised | None = field(default=None, init=False, repr=False)

    def execute(self) -> None:
        """Run every source; one that fails does not keep the others from running.

        Raises:
            OneglanceError: a source, the model, an option or an output cannot be used. Outputs
                written before are closed and valid.
            KeyboardInterrupt: the user asked to stop; outputs are closed and valid.
        """
        options = self.options
        tasks = None if options.tasks is None else parse_tasks(options.tasks.split(","))
        if options.max_frames is not None and options.max_frames < 1:
            raise UsageError(f"--max-frames must be at least 1, not {options.max_frames}")
        check_outputs(
            options.sources,
            sinks=options.sinks,
            model=options.model,
            jsonl=options.jsonl,
            video=options.video,
            json_summary=options.json_summary,
        )
        if options.json_summary is not None and not is_standard_output(options.json_summary):
            self._promised = Promised(options.json_summary)
        Stride(options.every)  # what cannot be is said before a model is loaded
        if options.region is not None:
            Region.of(options.region)
        if options.budget_ms is not None:
            check_budget(options.budget_ms, live=options.mode is not Mode.RECORDED)
        if options.sink_share is not None:
            check_share(options.sink_share)
        # Frames are worked on side by side already. Waking OpenCV's own threads for images as
        # small as these costs more than they save: 0.3 ms of CPU time for each frame that is
        # read, and 0.6 ms for each that is written.
        cv2.setNumThreads(1)
        limit_arenas(available_cpus())
        failed: list[StreamError] = []
        with (
            ExitStack() as outputs,
            collecting_later() as started,
            suppress(ReaderGone),  # `| head` has what it wanted
        ):
            self._started = started
            shared: list[Sink] | None = None
            detector: Detector | None = None
            for source in [list(options.sources)] if options.together else options.sources:
                try:
                    opened = open_reader(
                        self._chosen(source), options.mode, connect=options.connect
                    )
                    with ExitStack() as own, closing(opened) as reader:
                        if options.budget_ms is not None:
                            check_budget(options.budget_ms, live=reader.live)
                        detector = detector or self._load(reader, tasks)
                        # The video first: opening it destroys nothing yet, should it be refused.
                        video = self._video(reader, own)
                        if shared is None:
                            shared = self._shared(reader, detector, outputs)
                        self._run_one(reader, detector, [*shared, *video])
                except StreamError as error:
                    failed.append(error)
        _raise(failed, of=len(options.sources))

    @contextmanager
    def reported(self) -> Iterator[None]:
        """``report`` what the block does, however it ends; why it ended matters more than that the
        report fails too.

        Raises:
            SinkError: see ``report``.
        """
        try:
            yield
        except BaseException:
            try:
                self.report()
            except SinkError as error:
                logger.warning("an output failed too: %s", error)
            raise
        self.report()

    def report(self) -> None:
        """Print what was done, and write it to ``--json-summary``: one object for one run, a
        list for several sources one after the other.

        Raises:
            SinkError: the file cannot be written.
        """
        path = self.options.json_summary
        try:
            if path is not None and self.summaries:
                self._write_summaries(path)
        finally:
            if self._promised is not None:
                self._promised.release()
            for summary in self.summaries:
                self.console.print(render_summary(summary), crop=False)

    def _write_summaries(self, path: Path) -> None:
        found = [summary.as_dict() for summary in self.summaries]
        is_one = len(self.options.sources) == 1 or self.options.together
        write_json(path, found[0] if is_one else found)

    def _chosen(self, source: str | list[str]) -> Source | list[Source]:
        """What is to be opened: the video that was asked for, of a file with several."""
        if self.options.stream is None:
            return source if isinstance(source, str) else list(source)
        if not isinstance(source, str):
            raise UsageError("--stream chooses a video of a file, not of several live sources")
        return open_stream(source, self.options.connect, video=self.options.stream)

    def _load(self, reader: FrameReader, tasks: Sequence[Task] | None) -> Detector:
        """Recorded: one thread an inference and several at once, the best rate. Live: all threads
        on one inference, the least age."""
        options = self.options
        threads = options.threads
        if threads is None:
            threads = available_cpus() if reader.live else 1
        return Detector.load(
            options.model,
            confidence=options.confidence,
            tasks=tasks,
            threads=threads,
            engine=options.engine,
            precision=options.precision,
            device=options.device,
            engine_cache=options.engine_cache,
            self_check=options.self_check,
            region=options.region,
        )

    def _video(self, reader: FrameReader, own: ExitStack) -> list[VideoSink]:
        """``own`` closes it where no run comes to that: another output is refused, or Ctrl-C."""
        if self.options.video is None:
            return []
        sink = VideoSink(self.options.video, frame_rate=reader.frame_rate)
        own.push(_closing(sink))
        return [sink]

    def _shared(self, reader: FrameReader, detector: Detector, outputs: ExitStack) -> list[Sink]:
        """The sinks that take every source's results; ``outputs`` closes them."""
        options = self.options
        is_one = options.together or len(options.sources) == 1
        context = SinkContext(
            sources=tuple(map(redact, options.sources)),
            frame_rate=reader.frame_rate if is_one else None,
            model=detector.name,
            engine=detector.engine,
            precision=detector.precision,
            classes=detector.classes,
        )
        texts = [*([] if options.jsonl is None else [f"jsonl:{options.jsonl}"]), *options.sinks]
        opened: dict[str, Sink] = {}
        # Those with options first, which may be refused: opening another empties its file.
        for text in sorted(texts, key=lambda text: "?" not in text):
            sink = SinkChoice.parse(text).open(context)
            outputs.push(_closing(sink))
            opened[text] = _KeptOpen(sink)
        return [opened[text] for text in texts]

    def _run_one(self, reader: FrameReader, detector: Detector, sinks: Sequence[Sink]) -> None:
        options = self.options
        pipeline = Pipeline(
            reader,
            detector,
            mode=options.mode,
            sinks=sinks,
            tracker=Tracker(frame_rate=float(reader.frame_rate or 30)) if options.track else None,
            every=options.every,
            budget_ms=options.budget_ms,
            sink_share=options.sink_share,
        )
        self._started()
        name = f"{len(options.sources)} sources" if options.together else reader.name
        try:
            with (
                _Bar(name, reader.frame_count, options.max_frames) as bar,
                closing(iter(pipeline)) as results,  # so that outputs may fail to close aloud
            ):
                for count, _ in enumerate(results, 1):
                    bar.advance()
                    if count == options.max_frames:
                        break
        finally:
            self.summaries.append(pipeline.summary())


def _raise(failed: Sequence[StreamError], *, of: int) -> None:
    if len(failed) == 1:
        raise failed[0]
    if failed:
        stories = "".join(f"\n- {error}" for error in failed)
        raise StreamError(f"{len(failed)} of {of} sources failed:{stories}") from ExceptionGroup(
            "sources", failed
        )


def _closing(sink: Sink) -> Callable[..., None]:
    """How a run leaves a sink: what went wrong before matters more than what goes wrong now."""

    def leave(kind: type[BaseException] | None, *_: object) -> None:
        try:
            sink.close()
        except Exception as error:
            if kind is None:
                raise
            logger.warning("an output failed too: %s", error)

    return leave


class _KeptOpen:
    """A sink that several sources share: the run closes it, not each source's pipeline."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        (self.name,) = sink_names([sink])

    @property
    def lost(self) -> int:
        return getattr(self._sink, "lost", 0)

    def write(self, result: Result) -> None:
        self._sink.write(result)

    def close(self) -> None:
        """Left to the owner."""


class _Bar:
    """A progress bar, on a terminal only."""

    def __init__(self, name: str, expected: int | None, max_frames: int | None) -> None:
        counts = [n for n in (expected, max_frames) if n is not None]
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Terminal(stderr=True),
            transient=True,
            disable=sys.stderr is None or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(
            name,
            total=min(counts) if counts else None,
            rate="",
        )

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One frame more."""
        if self._progress.disable:
            return
        self._progress.advance(self._task)
        speed = self._progress.tasks[0].speed
        if speed:
            self._progress.update(self._task, rate=f"{speed:.0f} fps")
