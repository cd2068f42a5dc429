"""ONNX Runtime's session among threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneglance.models.engines import onnxruntime
from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from waiting import LONG_S


@pytest.mark.parametrize(("threads", "at_once"), [(1, 4), (2, 2), (3, 1), (8, 1)])
def test_no_more_inferences_run_at_once_than_there_are_cpus_for(
    model: Path, monkeypatch: pytest.MonkeyPatch, threads: int, at_once: int
) -> None:
    monkeypatch.setattr(onnxruntime, "available_cpus", lambda: 4)
    engine = OnnxRuntimeEngine(model, threads=threads)
    full, lock = threading.Barrier(at_once), threading.Lock()
    running, most = 0, 0
    run = engine._session.run

    def counted(*asked: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait(LONG_S)  # breaks unless as many as that run at the same time
        answer = run(*asked)
        with lock:
            running -= 1
        return answer

    monkeypatch.setattr(engine, "_session", type("Session", (), {"run": staticmethod(counted)}))
    width, height = engine.metadata.size
    image = np.zeros((1, 3, height, width), np.float32)
    with ThreadPoolExecutor(3 * at_once) as pool:
        answers = list(pool.map(engine.run, [image] * 6 * at_once))
    assert len(answers) == 6 * at_once
    assert most == at_once
