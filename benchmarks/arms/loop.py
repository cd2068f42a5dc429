"""Arm: the loop itself, with where its time goes: stages, threads, sinks, memory touched."""

from __future__ import annotations

import contextlib
import resource
import tempfile
import threading
import time
from pathlib import Path

import cv2

from benchmarks.arms import measuring
from oneglance.models import Detector
from oneglance.perception import JsonLinesSink, Mode, Pipeline, Result, Sink, Tracker, VideoSink
from oneglance.streams import open_stream


class TimedSink:
    """A sink that keeps the seconds of each of its writes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.spent_s: list[float] = []

    def write(self, result: Result) -> None:
        """Pass on, and keep the time it took."""
        began = time.perf_counter()
        self._sink.write(result)
        self.spent_s.append(time.perf_counter() - began)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--sinks", nargs="*", choices=("jsonl", "video"), default=[])
    arguments.add_argument("--mode", choices=tuple(Mode), default=Mode.RECORDED)
    arguments.add_argument("--threads", type=int, default=1, help="of one inference")
    arguments.add_argument("--no-track", action="store_true")
    options = arguments.parse_args()
    cv2.setNumThreads(1)  # as in oneglance run
    detector = Detector.load(options.model, threads=options.threads)
    stamps_s: list[float] = []
    stages_s: list[dict[str, float]] = []
    wanted = options.warmup + options.frames + 1
    with tempfile.TemporaryDirectory() as folder, open_stream(options.clip) as stream:
        rate = float(stream.frame_rate or 30)
        sinks = {name: TimedSink(_sink(name, Path(folder), stream)) for name in options.sinks}
        pipeline = Pipeline(
            stream,
            detector,
            mode=options.mode,
            sinks=list(sinks.values()),
            tracker=None if options.no_track else Tracker(frame_rate=rate),
        )
        with contextlib.closing(iter(pipeline)) as results:
            for result in results:
                stamps_s.append(time.perf_counter())
                stages_s.append(dict(result.timings))
                if len(stamps_s) == options.warmup + 1:
                    threads_s, faults = _threads_s(), _faults()
                if len(stamps_s) == wanted:
                    break
            if len(stamps_s) < options.warmup + 2:
                raise measuring.TooFewFrames(f"the source ended after {len(stamps_s)} frames")
            timed = len(stamps_s) - options.warmup - 1
            after_s = _threads_s()
            faults = _faults() - faults
    kept = stages_s[options.warmup + 1 :]
    measuring.answer(
        intervals_ms=measuring.intervals_ms(stamps_s, warmup=options.warmup),
        stages_ms={name: [round(1e3 * s[name], 4) for s in kept] for name in kept[0]},
        sinks_ms={
            name: [round(1e3 * s, 4) for s in sink.spent_s[options.warmup :]]
            for name, sink in sinks.items()
        },
        threads_ms={
            name: 1e3 * (spent - threads_s.get(name, 0.0)) / timed
            for name, spent in after_s.items()
        },
        faults=faults / timed,
    )


def _sink(name: str, folder: Path, stream: object) -> Sink:
    if name == "jsonl":
        return JsonLinesSink(folder / "out.jsonl")
    return VideoSink(folder / "out.mp4", frame_rate=getattr(stream, "frame_rate", None))


def _threads_s() -> dict[str, float]:
    """CPU seconds of each of our threads by name; of libraries' own threads together."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    spent: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            words = (task / "schedstat").read_text().split()
        except OSError:  # ended meanwhile
            continue
        name = names.get(int(task.name), "libraries' threads")
        spent[name] = spent.get(name, 0.0) + int(words[0]) / 1e9
    return spent


def _faults() -> int:
    """Pages of memory touched for the first time so far: what fresh allocations cost."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
