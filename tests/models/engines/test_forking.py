"""Engines and processes: forked, pickled, copied."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from oneglance.models import Detector
from oneglance.models.engines.forking import SETTLES_S, ForkGate, loaded_anew
from oneglance.models.engines.loading import PRECISIONS
from oneglance.models.letterbox import CanvasPool
from oneglance.streams.errors import ModelError, UsageError

IMAGE = np.full((96, 160, 3), 90, np.uint8)
LONGEST_S = 60

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


@pytest.fixture(params=PRECISIONS)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "openvino":
        request.getfixturevalue("openvino")
    return str(request.param)


def in_a_child(work: Callable[[], bool]) -> str:
    """Fork; what became of ``work`` there: "ended", "failed" or "hangs"."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_S)
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hangs" if os.WTERMSIG(status) == signal.SIGALRM else "failed"
    return "failed" if status else "ended"


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2, None])
def test_a_detector_answers_in_a_forked_child(
    model: Path, engine: str, threads: int | None
) -> None:
    detector = Detector.load(model, engine=engine, threads=threads)
    expected = detector(IMAGE).xyxy.tolist()
    work = lambda: detector(IMAGE).xyxy.tolist() == expected  # noqa: E731
    assert [in_a_child(work) for _ in range(2)] == ["ended", "ended"]
    assert detector(IMAGE).xyxy.tolist() == expected  # and goes on in the parent


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_detector_answers_in_a_child_forked_while_other_threads_infer(
    model: Path, engine: str, threads: int
) -> None:
    detector = Detector.load(model, engine=engine, threads=threads)
    expected = detector(IMAGE).xyxy.tolist()
    enough = threading.Event()

    def infer() -> None:
        while not enough.is_set():
            detector(IMAGE)

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(infer) for _ in range(2)]
        try:
            work = lambda: detector(IMAGE).xyxy.tolist() == expected  # noqa: E731
            assert [in_a_child(work) for _ in range(5)] == ["ended"] * 5
        finally:
            enough.set()
        for worker in workers:
            worker.result()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_model_file_that_was_changed_meanwhile_is_not_taken_for_the_same(
    model: Path, tmp_path: Path, engine: str
) -> None:
    file = tmp_path / "copy.onnx"
    file.write_bytes(model.read_bytes())
    detector = Detector.load(file, engine=engine, threads=2)
    file.write_bytes(b"another")

    def work() -> bool:
        with pytest.raises(ModelError, match="was changed since it was loaded"):
            detector(IMAGE)
        return True

    assert in_a_child(work) == "ended"


def test_a_child_of_a_fork_that_could_not_wait_is_refused() -> None:
    gate = ForkGate()
    with gate.working():
        gate.before_fork(longest_wait_s=0)
        gate.after_in_child()
    with pytest.raises(UsageError, match="in the middle of an inference"), gate.working():
        pass


def test_a_fork_waits_until_the_threads_of_an_inference_are_asleep() -> None:
    gate = ForkGate()
    with gate.working():
        pass
    ended_s = time.monotonic()
    gate.before_fork()
    assert time.monotonic() - ended_s > 0.9 * SETTLES_S
    gate.after_in_parent()


def test_an_engine_that_never_loads_in_a_child_is_an_error_and_others_come(tmp_path: Path) -> None:
    assert loaded_anew(lambda: 7, tmp_path) == 7
    with pytest.raises(ModelError, match="no file"):
        loaded_anew(lambda: raise_model_error("no file"), tmp_path)
    never = threading.Event()
    try:
        with pytest.raises(ModelError, match=r"no answer within 0\.05 s\): start workers with"):
            loaded_anew(never.wait, tmp_path, longest_s=0.05)
    finally:
        never.set()


def raise_model_error(text: str) -> None:
    raise ModelError(text)


def test_nothing_begins_while_the_process_forks() -> None:
    gate, begun = ForkGate(), threading.Event()

    def work() -> None:
        with gate.working():
            begun.set()

    gate.before_fork()
    thread = threading.Thread(target=work)
    thread.start()
    assert not begun.wait(0.05)
    gate.after_in_parent()
    assert begun.wait(LONGEST_S)
    thread.join()


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_a_copy_of_a_detector_finds_the_same(
    model: Path, engine: str, how: Callable[[Detector], Detector]
) -> None:
    detector = Detector.load(model, engine=engine, threads=1, confidence=0.3, tasks=["car"])
    copied = how(detector)
    assert (copied.confidence, copied.threads, copied.engine) == (0.3, 1, engine)
    assert list(copied(IMAGE).data["task"]) == list(detector(IMAGE).data["task"]) == ["car"]


def test_a_detector_whose_file_is_gone_cannot_be_unpickled(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy.onnx"
    file.write_bytes(model.read_bytes())
    pickled = pickle.dumps(Detector.load(file))
    file.unlink()
    with pytest.raises(ModelError, match=r"copy\.onnx"):
        pickle.loads(pickled)


@needs_fork
def test_a_child_has_canvases_though_its_parent_s_threads_held_them_all() -> None:
    pool = CanvasPool((64, 32), most=1)

    def use() -> bool:
        with pool.borrowed() as canvas:
            return canvas.fill(IMAGE)[0].shape == (1, 3, 32, 64)

    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.borrowed():
            held.set()
            done.wait(LONGEST_S)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(LONGEST_S)
        assert in_a_child(use) == "ended"
    finally:
        done.set()
        thread.join()
    assert use()
