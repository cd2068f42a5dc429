"""Arm: the loop with one sink by name, as ``oneglance run --sink`` has it.

In recorded mode, as fast as it goes; with ``--live`` in live mode, the clip at its own pace.
``{folder}`` in the sink is a folder of its own; ``hub`` is the live page's, with nobody
looking.
"""

from __future__ import annotations

import contextlib
import tempfile
import time

import cv2

from benchmarks.arms import measuring
from oneglance.models import Detector
from oneglance.perception import Pipeline, Sink, Tracker
from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.streams import open_stream


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--sink", help="NAME[:TARGET]; none by default")
    arguments.add_argument("--share", type=float, help="of the CPUs' time, for the sink")
    arguments.add_argument("--live", action="store_true", help="as from a camera")
    options = arguments.parse_args()
    cv2.setNumThreads(1)  # as in oneglance run
    detector = Detector.load(options.model, threads=1)
    stamps_s: list[float] = []
    wanted = options.warmup + options.frames + 1
    with tempfile.TemporaryDirectory() as folder, open_stream(options.clip) as stream:
        rate = stream.frame_rate
        sinks: list[Sink] = []
        if options.sink is not None:
            context = SinkContext(sources=(stream.source,), frame_rate=rate)
            sinks.append(_opened(options.sink.replace("{folder}", folder), context))
        tracker = Tracker(frame_rate=float(rate or 30))
        mode = "live" if options.live else "recorded"
        pipeline = Pipeline(
            stream, detector, mode=mode, sinks=sinks, tracker=tracker, sink_share=options.share
        )
        with contextlib.closing(iter(pipeline)) as results:
            for _ in results:
                stamps_s.append(time.perf_counter())
                if len(stamps_s) == options.warmup + 1:
                    before_s = time.process_time()
                cpu_s = time.process_time()  # the last one before sinks are closed
                if len(stamps_s) == wanted:
                    break
        if len(stamps_s) < options.warmup + 2:
            raise measuring.TooFewFrames(f"the source ended after {len(stamps_s)} frames")
        summary = pipeline.summary()
        cpu_ms = 1e3 * (cpu_s - before_s) / (len(stamps_s) - options.warmup - 1)
    measuring.answer(
        intervals_ms=measuring.intervals_ms(stamps_s, warmup=options.warmup),
        cpu_ms=cpu_ms,
        lost=sum(each.behind + each.unsent for each in summary.sinks),
        dropped=summary.dropped,
    )


def _opened(text: str, context: SinkContext) -> Sink:
    if text == "hub":
        from oneglance.perception.server.hub import Hub

        return Hub()
    return SinkChoice.parse(text).open(context)


if __name__ == "__main__":
    main()
