"""A day of a page whose sources come and go, one each ten minutes: nothing of them is left."""

from __future__ import annotations

import gc
import threading
from functools import partial
from pathlib import Path

import psutil
import pytest

pytest.importorskip("starlette", reason="needs the 'serve' extra")

from websockets.sync.client import ClientConnection

from live_runs import Camera
from oneglance.models import Detector
from oneglance.perception.readers.multi_source import MOST_CLOSED
from oneglance.perception.server import hub
from pages import Page, next_frame, page
from waiting import wait_until

CHANGES, WARM_UP = 144, 36
MOST_GROWTH_BYTES = 5e6


def kept(shown: Page) -> dict[str, int]:
    """How much the run and its page know of their sources."""
    return {
        "threads": threading.active_count(),
        "sources": len(shown.pipeline.health().sources),
        "reasons": len(shown.hub.reasons()),
        "metrics": len(shown.get("/metrics").text.splitlines()),
    }


def shows(viewer: ClientConnection, name: str) -> bool:
    return bool(next_frame(viewer)[0]["source"] == name)


def is_gone(shown: Page, name: str) -> bool:
    return name not in shown.hub.sources()


@pytest.mark.slow
@pytest.mark.timeout(900)  # about a minute where nothing else runs
def test_a_day_of_source_changes_leaves_nothing_behind(model: Path) -> None:
    detector = Detector.load(model, threads=1)
    process, memory, known = psutil.Process(), list[int](), list[dict[str, int]]()
    with page(detector, Camera("front")) as shown, shown.watch() as viewer:
        for number in range(CHANGES):
            camera = Camera(f"camera-{number}")
            name = shown.pipeline.add(camera)
            wait_until(partial(shows, viewer, name), "it is seen")
            shown.pipeline.remove(name)
            wait_until(partial(is_gone, shown, name), "it is gone")
            if (number + 1) % WARM_UP == 0:
                gc.collect()
                memory.append(process.memory_info().rss)
                known.append(kept(shown))
    print(f"{[round(m / 1e6, 1) for m in memory]} MB; {known[0]} to {known[-1]}")
    assert max(memory[1:]) - memory[0] < MOST_GROWTH_BYTES
    assert known[-1]["sources"] <= 1 + MOST_CLOSED
    assert known[-1]["reasons"] <= 1 + hub.MOST_CLOSED
    assert known[-1]["threads"] <= known[0]["threads"] + 3
    assert known[-1]["metrics"] <= 1.2 * known[0]["metrics"]  # figures that are not known yet
