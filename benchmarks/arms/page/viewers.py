"""Arm: the live loop with its page and people who look at it, or without a page."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import cv2

from benchmarks.arms import measuring
from benchmarks.arms.frames import endless
from benchmarks.arms.live import HELD, PacedSource
from oneglance.models import Detector
from oneglance.perception import Mode, Pipeline, Sink, Tracker

SETTLE_S = 3.0
"""Left out at the start: first inferences, viewers that come."""

_PAGE = ("oneglance-serve", "oneglance-page")


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--rate", type=float, required=True, help="frames a second")
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--viewers", type=int, default=0, help="fast ones; 0: no page")
    arguments.add_argument("--stuck", type=int, default=0, help="ones at 20 kB a second besides")
    arguments.add_argument("--nice", type=int, default=0, help="viewers' priority, see nice(1)")
    options = arguments.parse_args()
    cv2.setNumThreads(1)  # as in oneglance serve
    detector = Detector.load(options.model)
    images = [frame.image for frame in islice(endless(options.clip), HELD)]
    for image in images[:10]:
        detector(image)
    source = PacedSource(images, options.rate)
    with ExitStack() as stack:
        hub, people = None, None
        if options.viewers:
            from oneglance.perception.server.hub import Hub

            hub = Hub()
        sinks: list[Sink] = [] if hub is None else [hub]
        tracker = Tracker(frame_rate=options.rate)
        pipeline = Pipeline(source, detector, mode=Mode.LIVE, sinks=sinks, tracker=tracker)
        if hub is not None:
            port = stack.enter_context(_page(pipeline, hub))
            people = _people(port, options)
        spent_ms: list[float] = []
        results = 0
        started_s = time.monotonic()
        for result in pipeline:
            elapsed_s = time.monotonic() - started_s
            if elapsed_s < SETTLE_S:
                page_s = _page_cpu_s()
                continue
            results += 1
            spent_ms.append(round(1e3 * result.timings["inference"], 3))
            if elapsed_s >= SETTLE_S + options.seconds:
                page_s = _page_cpu_s() - page_s
                break
        seen = {} if people is None else json.loads(people.communicate(timeout=60)[0])
    measuring.answer(
        fps=results / options.seconds,
        inference_ms=spent_ms,
        page_cpu_s=page_s / options.seconds,
        ages_ms=seen.get("ages_ms", []),
        viewers_cpu_s=seen.get("cpu_s", 0.0) / (SETTLE_S + options.seconds),
        slow_bytes=seen.get("slow_bytes", []),
        seconds=options.seconds,
    )


@contextmanager
def _page(pipeline: Pipeline, hub: object) -> Iterator[int]:
    """The page on a port of its own, which is given."""
    from oneglance.perception.server.app import Site
    from oneglance.perception.server.guard import Access
    from oneglance.perception.server.hub import Hub
    from oneglance.perception.server.metrics import metrics_of
    from oneglance.perception.server.serving import PageServer, listen

    assert isinstance(hub, Hub)
    access = Access()
    site = Site(pipeline, hub, metrics_of(pipeline), access)
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    with site.pool, PageServer(site.app(), hub, access, listener):
        yield port


def _people(port: int, options: object) -> subprocess.Popen[str]:
    words = {
        "port": port,
        "viewers": getattr(options, "viewers", 0),
        "stuck": getattr(options, "stuck", 0),
        "settle": SETTLE_S,
        "seconds": getattr(options, "seconds", 0.0),
        "nice": getattr(options, "nice", 0),
    }
    command = [sys.executable, "-P", "-m", "benchmarks.arms.page.watching"]
    command += [word for name, value in words.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _page_cpu_s() -> float:
    """CPU seconds of the page's own threads so far."""
    spent_s = 0.0
    for thread in threading.enumerate():
        if thread.name.startswith(_PAGE):
            try:
                words = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()
            except OSError:  # ended meanwhile, or no Linux
                continue
            spent_s += int(words[0]) / 1e9
    return spent_s


if __name__ == "__main__":
    main()
