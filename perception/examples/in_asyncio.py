"""Results inside a program of coroutines: the pipeline runs in a thread, results are awaited.

python -m oneglance.perception.examples.in_asyncio rtsp://camera/
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from oneglance.models import Detector
from oneglance.perception import Pipeline, Result


async def results_of(pipeline: Pipeline) -> AsyncIterator[Result]:
    """The pipeline's results; leaving early, or a cancelled task, closes it."""
    results = iter(pipeline)
    try:
        while (result := await asyncio.to_thread(next, results, None)) is not None:
            yield result
    finally:
        # Another thread may be waiting for a frame: closing wakes it within a second.
        pipeline.close()


async def tick(ticks: list[int]) -> None:
    """What else the program does; nothing here keeps it waiting."""
    while True:
        ticks.append(len(ticks))
        await asyncio.sleep(0.01)


async def run(source: str) -> None:
    """Print every result of ``source`` while something else goes on."""
    ticks: list[int] = []
    other = asyncio.create_task(tick(ticks))
    async for result in results_of(Pipeline(source, Detector.load("road4-n-416"))):
        print(result.frame.index, f"{len(result.detections)} detections")
    other.cancel()
    print(f"meanwhile the other task ran {len(ticks)} times")


def main(source: str = "rendered:?frames=5") -> None:
    asyncio.run(run(source))


if __name__ == "__main__":
    main(*sys.argv[1:])
