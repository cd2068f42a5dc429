"""A run and its page, from options to the last viewer's leaving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from oneglance.models.cpus import available_cpus
from oneglance.models.detector import DEFAULT_CONFIDENCE, Detector
from oneglance.models.engines.loading import DEFAULT_ENGINE
from oneglance.models.tasks import parse_tasks
from oneglance.models.zoo import DEFAULT
from oneglance.perception.looking import check_budget
from oneglance.perception.mode import Live
from oneglance.perception.pipeline import Pipeline
from oneglance.perception.server.app import Site
from oneglance.perception.server.guard import Access
from oneglance.perception.server.hub import MOST_FPS, Hub
from oneglance.perception.server.metrics import SourceLabel, metrics_of
from oneglance.perception.server.serving import PageServer, checked_token, listen, new_token
from oneglance.perception.summary import RunSummary
from oneglance.perception.tracking import Tracker
from oneglance.streams.errors import UsageError
from oneglance.streams.options import ConnectOptions

MOST_VIEW_FPS = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The options of ``oneglance serve``, each with the meaning and default it has there."""

    sources: Sequence[str]
    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    label: str = SourceLabel.PLAIN
    model: str = DEFAULT
    tasks: str | None = None
    confidence: float = DEFAULT_CONFIDENCE
    threads: int | None = None
    engine: str = DEFAULT_ENGINE
    precision: str | None = None
    device: str | None = None
    engine_cache: Path | None = None
    budget_ms: float | None = None
    track: bool = True
    view_fps: float = MOST_FPS
    connect: ConnectOptions = field(default_factory=ConnectOptions)

    @property
    def access(self) -> Access:
        """Who may come. Beyond this machine there is always a token.

        Raises:
            UsageError: the token is too short.
        """
        token = None if self.token is None else checked_token(self.token)
        access = Access(self.host, token, self.hosts)
        if token is None and not access.is_local:
            access = Access(self.host, new_token(), self.hosts)
        return access


def serve_sources(options: ServeOptions, *, say: Callable[[str], object]) -> RunSummary:
    """Run the sources live and show them, until all have ended; ``say`` prints the address.

    Raises:
        OneglanceError: an option, the model or a source cannot be used, or the port is taken.
    """
    access = options.access
    if not 0 < options.view_fps <= MOST_VIEW_FPS:
        raise UsageError(
            f"--view-fps is above 0 and at most {MOST_VIEW_FPS:g}, not {options.view_fps:g}"
        )
    if options.budget_ms is not None:
        check_budget(options.budget_ms)
    with ExitStack() as stack:
        # First of all: a port that is taken is known before the model is loaded.
        listener = stack.enter_context(closing(listen(options.host, options.port)))
        hub = Hub(most_fps=options.view_fps)
        pipeline = _pipeline(options, hub)
        stack.callback(pipeline.close)
        registry = metrics_of(pipeline, label=SourceLabel(options.label))
        site = Site(pipeline, hub, registry, access)
        stack.callback(site.pool.shutdown, wait=False, cancel_futures=True)
        server = stack.enter_context(PageServer(site.app(), hub, access, listener))
        say(_welcome(server.url, access, is_made=options.token is None))
        return pipeline.run()


def _welcome(url: str, access: Access, *, is_made: bool) -> str:
    """What to open; a token that the user gave is not printed, for logs keep what is."""
    if access.token is None:
        return f"{url} (this machine only; sources are added and removed with --token)"
    return f"{url}?token={access.token}" if is_made else f"{url}?token=… (the one you gave)"


def _pipeline(options: ServeOptions, hub: Hub) -> Pipeline:
    cv2.setNumThreads(1)  # as ``oneglance run`` does
    detector = Detector.load(
        options.model,
        confidence=options.confidence,
        tasks=None if options.tasks is None else parse_tasks(options.tasks.split(",")),
        threads=options.threads or available_cpus(),
        engine=options.engine,
        precision=options.precision,
        device=options.device,
        engine_cache=options.engine_cache,
    )
    return Pipeline(
        list(options.sources),
        detector,
        mode=Live(connect=options.connect, on_event=hub.note),
        sinks=[hub],
        tracker=Tracker() if options.track else None,
        budget_ms=options.budget_ms,
    )
