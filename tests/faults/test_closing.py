"""Stopping, whatever the source does: at once, and nothing of ours is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from live_runs import by_name, cameras
from oneglance.models import Detector
from oneglance.perception import Live, Pipeline
from oneglance.streams import ConnectOptions
from oneglance.streams.errors import Reason
from oneglance.streams.live.states import State
from program import start
from scripted_camera import Connection, scripted_camera, steady
from silences import SILENCES, has_fallen_silent, our_threads, silent, sockets_to
from viewer import watching
from waiting import ENDED_S, LONG_S, Stopwatch, wait_until

FEW = ["rtsp not accepted", "after PLAY", "udp"]


def left(url: str, before: set[int]) -> bool:
    """Whether a thread of ours, or a socket to ``url`` that was not there before, still is."""
    return bool(our_threads() or sockets_to(url) - before)


def assert_all_gone(url: str, before: set[int], closed: Stopwatch) -> None:
    """Nothing is left a second after ``closed`` began."""
    wait_until(lambda: not left(url, before), our_threads)
    assert closed.stop() < 1


@pytest.mark.parametrize("where", SILENCES)
def test_a_source_that_says_nothing_is_let_go_of_within_a_second(where: str) -> None:
    with silent(where) as url:
        before = sockets_to(url)
        with watching(url, timeout_s=LONG_S, stall_s=LONG_S) as viewer:
            wait_until(lambda: sockets_to(url) - before and has_fallen_silent(url))
            if where == "after five images":
                viewer.wait_for(lambda v: len(v.seen) == 5)
            assert our_threads()
            assert sockets_to(url) - before
            closed = Stopwatch()
        assert_all_gone(url, before, closed)


def test_finding_out_why_a_host_cannot_be_reached_ends_when_nobody_wants_to_know() -> None:
    def refusing_once(connection: Connection) -> None:
        if connection.number:
            connection.silence()

    with scripted_camera(refusing_once) as camera:
        url = f"https://127.0.0.1:{camera.port}/x"
        with watching(url, timeout_s=LONG_S):
            wait_until(lambda: camera.connections == 2)
            assert our_threads()
            closed = Stopwatch()
        assert_all_gone(url, set(), closed)


def test_closing_one_that_is_being_opened_costs_another_of_the_same_address_no_frame() -> None:
    def script(connection: Connection) -> None:
        connection.silence() if connection.number in (0, 2) else connection.play()

    with (
        scripted_camera(script) as camera,
        watching(camera.url, timeout_s=LONG_S) as first,
    ):
        wait_until(lambda: camera.connections == 1)
        with watching(camera.url, timeout_s=LONG_S) as live:
            live.wait_for_frames(10)
            with watching(camera.url, timeout_s=LONG_S) as third:
                wait_until(lambda: camera.connections == 3)
                first.stream.close()
                wait_until(lambda: len(sockets_to(camera.url)) == 2, within_s=1)
            wait_until(lambda: len(sockets_to(camera.url)) == 1, within_s=1)
            live.wait_for_frames(20)
            found = live.stream.status()
    assert not first.seen
    assert not third.seen
    assert [s.index for s in live.seen] == list(range(len(live.seen)))
    assert all((b.shown - a.shown) % 25 == 1 for a, b in pairwise(live.seen))
    assert live.transitions() == [(State.LIVE, Reason.PLAYING), (State.CLOSED, Reason.CLOSED)]
    assert (found.reconnects, found.corrupt) == (0, 0)


@pytest.mark.parametrize("where", FEW)
@pytest.mark.parametrize("how", ["remove", "close"])
def test_a_run_lets_go_of_a_silent_source_within_a_second_and_the_others_play_on(
    where: str, how: str, detector: Detector
) -> None:
    mode = Live(connect=ConnectOptions(timeout_s=LONG_S, stall_s=LONG_S))
    with silent(where) as url, cameras(steady, steady) as two:
        before, urls = sockets_to(url), [camera.url for camera in two]
        pipeline = Pipeline([url, *urls], detector, mode=mode)
        counts, after = Counter[str](), Counter[str]()
        gone_s: list[float] = []

        def stop() -> None:
            closed = Stopwatch()
            pipeline.remove(url) if how == "remove" else pipeline.close()
            wait_until(lambda: not sockets_to(url) - before)
            gone_s.append(closed.stop())

        stopper = threading.Thread(target=stop)
        for result in pipeline:
            counts[result.frame.source] += 1
            if stopper.ident is None and min(counts[u] for u in urls) >= 5:
                assert sockets_to(url) - before
                stopper.start()
            if gone_s:
                after[result.frame.source] += 1
                if min(after[u] for u in urls) >= 5:
                    break
        ended = Stopwatch()
        stopper.join(LONG_S)
        pipeline.close()
        assert_all_gone(url, before, ended)
    assert gone_s[0] < 1
    assert (how == "close") == (not after)
    found = by_name(pipeline)
    assert found[url].state is State.CLOSED
    assert all(found[u].reconnects == 0 for u in urls)


SLOW_TO_EXIT = """
import ctypes, sys
from oneglance.streams import ConnectOptions, open_stream
from oneglance.streams.live.threaded import Answer
c = ctypes.CDLL(None)  # once Python is gone, sleep as many seconds as the exit code says
c.on_exit(ctypes.cast(c.sleep, ctypes.c_void_p), None)
answer = Answer(lambda: open_stream(sys.argv[1], ConnectOptions(timeout_s=60)), discard=print)
sys.stdin.read()  # until it is on its way
sys.exit(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="on_exit is Linux's")
@pytest.mark.parametrize("where", ["rtsp", "after PLAY", "http"])
def test_a_process_that_is_slow_to_exit_does_not_crash_in_a_call_nobody_waits_for(
    where: str,
) -> None:
    with (
        silent(where) as url,
        subprocess.Popen(
            [sys.executable, "-c", SLOW_TO_EXIT, url], stdin=subprocess.PIPE
        ) as process,
    ):
        wait_until(lambda: has_fallen_silent(url) or process.poll() is not None)
        process.communicate(timeout=LONG_S)
    assert process.returncode == 1


@pytest.mark.parametrize("where", ["rtsp", "after PLAY", "http"])
def test_ctrl_c_ends_a_run_whose_only_source_is_silent(where: str, model: Path) -> None:
    with (
        silent(where) as url,
        start(
            *("run", url, "--timeout", LONG_S, "--model", model),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as run,
    ):
        wait_until(lambda: sockets_to(url, run.pid))
        pressed = Stopwatch()
        run.send_signal(signal.SIGINT)
        reported = run.communicate(timeout=LONG_S)[1]
        took_s = pressed.stop()
    print(f"from Ctrl-C to the end of the process: {1e3 * took_s:.0f} ms")
    assert run.returncode == 130, reported
    assert took_s < ENDED_S
