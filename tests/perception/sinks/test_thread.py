"""Who waits for a slow sink, and who does not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest

from media import numbered_image
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result, Sink
from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.sinks.thread import WAITING, WAITING_LIVE, SinkThreads, sink_names
from oneglance.perception.testing import results
from oneglance.streams import Frame, SinkError, UsageError, open_stream
from onnx_models import seeing_model
from waiting import LONG_S, wait_until, within


class Slow:
    """Takes a result when ``go`` is set; ``taking``: it has one in hand."""

    def __init__(self, name: str = "slow") -> None:
        self.name = name
        self.go, self.taking = threading.Event(), threading.Event()
        self.written: list[int] = []
        self.closed = 0

    def write(self, result: Result) -> None:
        self.taking.set()
        assert self.go.wait(LONG_S)
        self.written.append(result.frame.index)

    def close(self) -> None:
        self.closed += 1


class Quick(Slow):
    """One that is never behind."""

    def __init__(self, name: str = "quick") -> None:
        super().__init__(name)
        self.go.set()


def has_written(sink: Slow, count: int) -> bool:
    return len(sink.written) == count


def test_a_live_loop_waits_for_no_sink_and_counts_what_each_went_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow, quick = Slow(), Quick()
    count = (
        WAITING_LIVE + 1 + 20
    )  # one in hand, some that wait, and those for which there is no room
    with caplog.at_level(logging.WARNING), SinkThreads([slow, quick], live=True) as threads:
        for number, result in enumerate(results(count), 1):
            assert threads.write(result)
            if number == 1:
                assert slow.taking.wait(LONG_S)
            wait_until(partial(has_written, quick, number))
        found = {each.sink: (each.behind, each.unsent) for each in threads.health()}
        assert found == {"slow": (20, 0), "quick": (0, 0)}
        slow.go.set()
    assert quick.written == list(range(count))
    assert slow.written == list(range(WAITING_LIVE + 1))  # in order, and the oldest of them
    assert (slow.closed, quick.closed) == (1, 1)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["the output slow is behind: it does without results, and the loop goes on"]


def test_a_sink_that_catches_up_takes_results_again() -> None:
    slow = Slow()
    given = list(results(40))
    with SinkThreads([slow], live=True) as threads:
        for result in given[:30]:
            threads.write(result)
        slow.go.set()
        wait_until(lambda: len(slow.written) == 30 - threads.health()[0].behind)
        for result in given[30:38]:
            threads.write(result)
    assert slow.written[-8:] == list(range(30, 38))
    assert slow.written == sorted(slow.written)


def test_a_recorded_loop_waits_and_nothing_is_missing() -> None:
    slow, quick = Slow(), Quick()
    with SinkThreads([slow, quick]) as threads:
        given = list(results(WAITING + 10))
        handed: list[int] = []

        def hand() -> None:
            for result in given:
                threads.write(result)
                handed.append(result.frame.index)

        loop = threading.Thread(target=hand)
        loop.start()
        assert slow.taking.wait(LONG_S)
        wait_until(lambda: len(handed) == WAITING + 1)
        slow.go.set()
        loop.join(LONG_S)
    assert slow.written == quick.written == list(range(len(given)))
    assert {(each.behind, each.unsent) for each in threads.health()} == {(0, 0)}


@pytest.mark.parametrize("live", [False, True])
def test_with_a_share_a_loop_waits_for_no_sink_recorded_or_live(
    live: bool, caplog: pytest.LogCaptureFixture
) -> None:
    slow, quick = Slow(), Quick()
    with (
        caplog.at_level(logging.WARNING),
        SinkThreads([slow, quick], live=live, share=1.0) as threads,
    ):
        for number, result in enumerate(results(30), 1):
            assert threads.write(result)  # never waits: the slow one has one in its hand
            if number == 1:
                assert slow.taking.wait(LONG_S)
        behind = {each.sink: each.behind for each in threads.health()}
        slow.go.set()
    assert slow.written == list(range(1 + WAITING_LIVE))
    assert behind["slow"] == 30 - 1 - WAITING_LIVE
    assert len(quick.written) + behind["quick"] == 30
    assert quick.written == sorted(quick.written)
    said = [record.getMessage() for record in caplog.records]
    why = "would take more than its share: it does without results, and the loop goes on"
    assert f"the output slow {why}" in said


def test_what_a_sink_took_is_measured_and_must_be_paid_for() -> None:
    quick = Quick()
    with SinkThreads([quick], share=1e-9) as threads:  # microseconds take minutes to pay
        given = iter(results(40))
        threads.write(next(given))
        wait_until(partial(has_written, quick, 1))
        for result in given:
            threads.write(result)
        behind = threads.health()[0].behind
    assert quick.written == list(range(40 - behind))
    assert behind >= 40 - 2 * (1 + WAITING_LIVE)  # some may have come before the first was paid for


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="must be above 0 and at most 1"):
        SinkThreads([Quick()], share=2)


@pytest.mark.parametrize("live", [False, True])
def test_sinks_that_are_stuck_are_given_up_together(live: bool) -> None:
    stuck = [Slow(f"stuck {number}") for number in range(4)]
    threads = SinkThreads(stuck, live=live)
    for result in results(2):
        threads.write(result)
    try:
        with within(1.0):
            threads.stop()
            with pytest.raises(SinkError, match="given up"):
                threads.close()
    finally:
        for sink in stuck:
            sink.go.set()


def test_what_one_sink_raises_ends_the_run_and_the_others_are_closed_with_what_they_had() -> None:
    class Full(Quick):
        def write(self, result: Result) -> None:
            self.taking.set()
            raise SinkError("disk full")

    full, quick = Full("full"), Quick()
    threads = SinkThreads([full, quick], live=True)

    def run() -> None:
        with threads:
            for result in results(500):
                threads.write(result)
                full.taking.wait(LONG_S)

    with pytest.raises(SinkError, match="disk full"):
        run()
    assert (full.closed, quick.closed) == (1, 1)
    assert quick.written == list(range(len(quick.written)))


def test_each_sink_has_a_name_of_its_own_without_its_target() -> None:
    class CountsSink(Quick):
        name = ""

        def __init__(self) -> None:
            super().__init__("")

    assert sink_names([CountsSink(), Quick("a"), CountsSink(), Quick("a")]) == [
        *("counts", "a", "counts#2", "a#2")
    ]


NEEDS = {"mcap": "foxglove", "parquet": "pyarrow", "rerun": "rerun"}


class Gated(Slow):
    """A real sink behind a disk that does nothing for a while."""

    def __init__(self, sink: Sink) -> None:
        super().__init__("gated")
        self._sink = sink

    def write(self, result: Result) -> None:
        super().write(result)
        self._sink.write(result)

    def close(self) -> None:
        super().close()
        self._sink.close()


@pytest.mark.parametrize(
    "text",
    [
        *("jsonl:{}/a.jsonl", "csv:{}/a.csv", "coco:{}/a.json", "parquet:{}/a", "video:{}/a.mp4"),
        *("mcap:{}/a.mcap", "mcap:{}/a.mcap?format=ros2&image=copy", "rerun:{}/a.rrd"),
    ],
)
def test_a_slow_disk_costs_a_live_loop_nothing_whatever_is_written_there(
    text: str, tmp_path: Path
) -> None:
    choice = SinkChoice.parse(text.format(tmp_path))
    if choice.name in NEEDS:
        pytest.importorskip(NEEDS[choice.name], reason="needs an extra")
    gated, count = Gated(choice.open(SinkContext(frame_rate=Fraction(25)))), WAITING_LIVE + 12
    with SinkThreads([gated], live=True) as threads:
        for result in results(count):
            assert threads.write(result)
            assert gated.taking.wait(LONG_S)
        (health,) = threads.health()
        gated.go.set()
    assert health.behind == count - WAITING_LIVE - 1
    assert gated.written == list(range(WAITING_LIVE + 1))
    assert all(file.stat().st_size for file in tmp_path.rglob("*"))
    if choice.name == "jsonl":
        assert len((tmp_path / "a.jsonl").read_text().splitlines()) == WAITING_LIVE + 1
    if choice.name == "video":
        with open_stream(tmp_path / "a.mp4") as frames:
            assert len(list(frames)) == WAITING_LIVE + 1


def test_a_live_run_says_in_its_summary_and_health_what_a_slow_sink_went_without(
    tmp_path: Path,
) -> None:
    taken = threading.Semaphore(1)

    class Camera:
        live, source, frame_count = True, "camera", None
        frame_rate = Fraction(25)

        def __iter__(self) -> Iterator[Frame]:
            for index in range(30):
                assert taken.acquire(timeout=LONG_S)  # none is dropped: the loop has the last one
                yield Frame(numbered_image(index), index, index / 25, self.source)

        def close(self) -> None:
            taken.release()

        def __enter__(self) -> Camera:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

    detector = Detector.load(seeing_model(tmp_path / "seeing.onnx"), threads=1)
    slow = Slow("disk")
    loop = Pipeline(Camera(), detector, mode="live", sinks=[slow])
    for seen, _ in enumerate(loop, 1):
        assert seen > 1 or slow.taking.wait(LONG_S)
        if seen == 30:
            health = loop.health().as_dict()["sinks"]
            assert health == ({"sink": "disk", "behind": 30 - 1 - WAITING_LIVE, "unsent": 0},)
            slow.go.set()
        taken.release()
    summary = loop.summary()
    assert (summary.frames, summary.dropped) == (30, 0)  # the loop never waited
    assert summary.as_dict()["sinks"][0]["behind"] == 30 - 1 - WAITING_LIVE
    assert slow.written == list(range(1 + WAITING_LIVE))
