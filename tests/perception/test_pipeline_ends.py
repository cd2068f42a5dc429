"""How a loop ends: by an error, early, or closed with something stuck."""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from http_server import http_server
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result, Tracker
from oneglance.perception.sinks.thread import WAITING
from oneglance.streams import SinkError, SourceBroken, UsageError, shutdown
from oneglance.streams.buffers import Closed
from onnx_models import build_model
from scripted_loop import Hooked, Sink, Source, Trouble, raising, taken_until
from waiting import ENDED_S, LONG_S, Stopwatch, wait_until, within

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [SourceBroken("cut off"), Trouble(), TimeoutError(), Closed(), SystemExit(3)]
)
def test_what_a_source_raises_comes_after_every_result_before_it(
    detector: Detector, error: BaseException
) -> None:
    source, sink = Source(10, before=raising(error, at=7)), Sink()
    taken, caught = taken_until(type(error), Pipeline(source, detector, sinks=[sink]))
    assert caught is error
    assert taken == sink.written == list(range(7))


def test_what_a_live_source_raises_comes_after_its_newest_frame(detector: Detector) -> None:
    source = Source(10, live=True, before=raising(SourceBroken("unplugged"), at=7))
    taken, _ = taken_until(SourceBroken, Pipeline(source, detector))
    assert taken[-1] == 6


def test_what_a_detector_raises_comes_after_every_result_before_it(detector: Detector) -> None:
    error, sink = Trouble(), Sink()
    loop = Pipeline(Source(10), Hooked(detector, raising(error, at=4)), sinks=[sink])
    taken, caught = taken_until(Trouble, loop)
    assert caught is error
    assert taken == sink.written == [0, 1, 2, 3]


def test_what_a_tracker_raises_is_raised(detector: Detector) -> None:
    class Broken(Tracker):
        def update(self, detections: sv.Detections, *, timestamp_s: float) -> sv.Detections:
            if timestamp_s >= 3 / 25:
                raise Trouble
            return super().update(detections, timestamp_s=timestamp_s)

    sink = Sink()
    taken, _ = taken_until(Trouble, Pipeline(Source(10), detector, tracker=Broken(), sinks=[sink]))  # type: ignore[arg-type]
    assert taken == sink.written == [0, 1, 2]


def test_what_a_sink_raises_is_raised_and_nothing_is_written_after_it(detector: Detector) -> None:
    error = SinkError("the disk is full")
    bad, good = Sink(raising(error, at=3)), Sink()
    taken, caught = taken_until(SinkError, Pipeline(Source(50), detector, sinks=[good, bad]))
    assert caught is error
    assert taken == list(range(len(taken)))
    assert len(taken) >= 3
    assert bad.written == [0, 1, 2]  # and not 4, which was waiting already
    assert good.written == [0, 1, 2, 3]
    assert (good.closed, bad.closed) == (1, 1)


def test_a_sink_that_fails_while_the_source_is_silent_is_reported(detector: Detector) -> None:
    source = Source(2, before=lambda i: i == 2 and source.asked_to_close.wait(LONG_S))
    with within(LONG_S / 2):
        taken, _ = taken_until(
            SinkError, Pipeline(source, detector, sinks=[Sink(raising(SinkError("full"), at=1))])
        )
    assert taken == [0, 1]


def test_an_output_that_cannot_be_closed_is_an_error(detector: Detector) -> None:
    bad = Sink(at_close=raising_at_close(SinkError("no room for the index")))
    with pytest.raises(SinkError, match="no room for the index"):
        list(Pipeline(Source(3), detector, sinks=[bad]))
    bad = Sink(at_close=raising_at_close(SinkError("no room for the index")))
    with pytest.raises(SinkError, match="no room for the index"):
        Pipeline(Source(30), detector, sinks=[bad]).run(max_frames=3)
    assert bad.written == [0, 1, 2]


def test_the_first_of_two_errors_is_raised_and_the_other_logged(
    detector: Detector, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Sink(at_close=raising_at_close(SinkError("no room")))
    source = Source(9, before=raising(SourceBroken("cut off"), at=5))
    taken_until(SourceBroken, Pipeline(source, detector, sinks=[bad]))
    assert [r.getMessage() for r in caplog.records] == ["an output failed too: no room"]
    caplog.clear()
    sinks = [Sink(at_close=raising_at_close(SinkError(f"no room {i}"))) for i in range(2)]
    with pytest.raises(SinkError, match="no room 0"):
        list(Pipeline(Source(2), detector, sinks=sinks))
    assert [r.getMessage() for r in caplog.records] == ["an output failed too: no room 1"]


def raising_at_close(error: BaseException) -> Callable[[], None]:
    def at_close() -> None:
        raise error

    return at_close


# -- endings -------------------------------------------------------------------------------


def take_all(loop: Pipeline) -> None:
    list(loop)


def leave_early(loop: Pipeline) -> None:
    for _ in itertools.islice(loop, 2):
        pass
    gc.collect()


def raise_in_the_body(loop: Pipeline) -> None:
    with suppress(Trouble):
        for _ in loop:
            raise Trouble


def close_unused(loop: Pipeline) -> None:
    loop.close()


@pytest.mark.parametrize("mode", ["recorded", "live"])
@pytest.mark.parametrize("ending", [take_all, leave_early, raise_in_the_body, close_unused])
def test_source_and_sinks_are_closed_once_however_a_run_ends(
    detector: Detector, ending: Callable[[Pipeline], None], mode: str
) -> None:
    source, sinks = Source(20, live=mode == "live"), [Sink(), Sink()]
    ending(Pipeline(source, detector, sinks=sinks))
    assert source.closed
    assert [sink.closed for sink in sinks] == [1, 1]


@pytest.mark.parametrize("where", ["source", "detector", "sink"])
def test_sinks_are_closed_when_something_fails(detector: Detector, where: str) -> None:
    failing = raising(Trouble(), at=3)
    source = Source(20, before=failing if where == "source" else lambda i: None)
    model = Hooked(detector, failing if where == "detector" else lambda i: None)
    sinks = [Sink(failing if where == "sink" else lambda i: None), Sink()]
    taken_until(Trouble, Pipeline(source, model, sinks=sinks))
    assert source.closed
    assert [sink.closed for sink in sinks] == [1, 1]


def test_leaving_early_keeps_what_was_taken(detector: Detector) -> None:
    sink = Sink(lambda index: time.sleep(0.02))  # a slow sink
    with closing(iter(Pipeline(Source(50), detector, sinks=[sink]))) as results:
        for result in results:
            if result.frame.index == 4:
                break
    assert sink.written == [0, 1, 2, 3, 4]


def test_a_pipeline_runs_once(detector: Detector) -> None:
    loop = Pipeline(Source(2), detector)
    assert len(list(loop)) == 2
    with pytest.raises(UsageError, match="runs once"):
        list(loop)


def test_a_pipeline_closed_before_it_ran_gives_nothing(detector: Detector) -> None:
    loop = Pipeline(Source(2), detector)
    loop.close()
    assert list(loop) == []


def stuck_at(stuck: int) -> tuple[Callable[[int], None], threading.Event, threading.Event]:
    """What blocks from frame ``stuck`` on; an event that says so, and one that ends it."""
    over, reached = threading.Event(), threading.Event()

    def block(index: int) -> None:
        if index >= stuck:  # a live loop may have left out this very frame for a newer one
            reached.set()
            over.wait(LONG_S)

    return block, reached, over


@pytest.mark.parametrize("stuck", ["source", "detector", "sink", "full sink"])
@pytest.mark.parametrize("mode", ["recorded", "live"])
def test_close_frees_a_loop_within_a_second_whatever_is_stuck(
    detector: Detector, mode: str, stuck: str
) -> None:
    block, reached, over = stuck_at(2)
    taken = threading.Semaphore(2)

    def before(index: int) -> None:
        if stuck == "source":
            block(index)
        elif mode == "live" and index < WAITING + 5:
            # So many reach the loop, but perhaps one, before the rest comes at once.
            assert taken.acquire(timeout=LONG_S)

    source = Source(100 if stuck == "full sink" else 3, before=before, live=mode == "live")
    model = Hooked(detector, block if stuck == "detector" else lambda i: None)
    sink = Sink(block if "sink" in stuck else lambda i: None)
    loop = Pipeline(source, model, sinks=[sink])
    ended: list[BaseException | None] = []
    results: list[Result] = []

    def is_full() -> bool:
        # Written, in the sink's hand, and waiting for it: the next one waits outside.
        return len(results) >= len(sink.written) + 1 + WAITING

    def iterate() -> None:
        try:
            for result in loop:
                results.append(result)
                taken.release()
            ended.append(None)
        except SinkError as error:
            ended.append(error)

    thread = threading.Thread(target=iterate)
    thread.start()
    try:
        assert reached.wait(LONG_S)
        if stuck == "full sink":
            wait_until(is_full)
        with within(1.0):
            loop.close()
            thread.join(LONG_S)
    finally:
        over.set()
        taken.release(4)
        thread.join(LONG_S)
    if "sink" in stuck:
        assert "given up" in str(ended[0])  # its file has no end: that must be reported
    else:
        assert ended == [None]
        assert sink.closed == 1


def test_close_frees_a_loop_whose_camera_has_fallen_silent(
    detector: Detector, tmp_path: Path
) -> None:
    with http_server(tmp_path) as (address, _):
        loop = Pipeline(f"{address}/mjpeg/3/silent", detector)
        closer = threading.Timer(1.0, loop.close)
        with within(2.0):
            closer.start()
            results = list(loop)
        closer.join()
    assert len(results) + sum(r.dropped for r in results) <= 3


@pytest.mark.parametrize("mode", ["recorded", "live"])
def test_leaving_a_loop_whose_source_is_stuck_takes_less_than_a_second(
    detector: Detector, mode: str
) -> None:
    block, reached, over = stuck_at(2)
    results = iter(Pipeline(Source(3, before=block, live=mode == "live"), detector))
    try:
        next(results)
        assert reached.wait(LONG_S)
        with within(1.0):
            results.close()
    finally:
        over.set()


STUCK = """
import signal, sys, time
from fractions import Fraction
import numpy as np
from oneglance.models import Detector
from oneglance.perception import Pipeline
from oneglance.streams import Frame

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs

class Stuck:
    source, live, frame_rate, frame_count = "stuck", False, Fraction(25), None
    def __iter__(self):
        yield Frame(np.zeros((48, 64, 3), np.uint8), 0, 0.0, "stuck")
        print("stuck", flush=True)
        time.sleep(60)  # what nobody can interrupt from outside
    def close(self): pass
    def __enter__(self): return self
    def __exit__(self, *_): pass

try:
    for _ in Pipeline(Stuck(), Detector.load(sys.argv[1], threads=1)):
        pass
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_a_program_whose_source_is_stuck(model: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "stuck\n"
        pressed = Stopwatch()
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == "interrupted\n"
        assert pressed.elapsed_s() < ENDED_S
        assert run.communicate(timeout=LONG_S) == ("", "")
        assert pressed.stop() < ENDED_S
    assert run.returncode == 0


PROGRAM = """
import sys
from oneglance.models import Detector
from oneglance.perception import Pipeline
loop = Pipeline("rendered:?frames=inf&size=320x180", Detector.load(sys.argv[1], threads=1))
results = iter(loop)
for _ in range(3):
    next(results)
{then}
print("done")
"""


@pytest.mark.parametrize("then", ["pass", "results.close()", "loop.close()"])
def test_a_program_may_end_while_frames_are_still_in_work(tmp_path: Path, then: str) -> None:
    # A big input, so that inferences are under way for most of the time.
    model = build_model(tmp_path / "big.onnx", np.zeros((1, 3, 6), np.float32), size=(1920, 1088))
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(then=then), str(model)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")


def test_a_sink_that_gets_stuck_at_the_end_is_given_up_in_the_end(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "SINK_S", 0.2)
    over = threading.Event()
    slow = Sink(lambda index: time.sleep(0.06))  # longer in all than the patience with one
    stuck = Sink(at_close=lambda: over.wait(LONG_S))
    with pytest.raises(SinkError, match=r"took no result for 0\.2 s: given up"):
        list(Pipeline(Source(6), detector, sinks=[slow, stuck]))
    over.set()
    assert stuck.written == list(range(6))
