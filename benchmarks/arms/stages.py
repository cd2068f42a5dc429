"""Arm: what one stage costs in CPU time, a frame.

``decode``: the clip decoded, nothing made of it. ``planes``, ``image``: the network's input made
of the decoder's planes, or of the whole image in BGR; decoding left out. ``infer``: one inference.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import cv2

from benchmarks.arms import measuring
from benchmarks.arms.frames import endless, tensors
from benchmarks.arms.networks import Network, Settings
from oneglance.models.engines.loading import DEFAULT_ENGINE, DEFAULT_PRECISION, PRECISIONS
from oneglance.models.letterbox import Canvas
from oneglance.streams import open_stream

STAGES = ("decode", "planes", "image", "infer")
INPUTS = 8
PASSES = 3
"""Times that a clip is decoded."""


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--how", choices=STAGES, required=True)
    arguments.add_argument("--engine", choices=tuple(PRECISIONS), default=DEFAULT_ENGINE)
    arguments.add_argument("--precision", default=DEFAULT_PRECISION)
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    settings = Settings(
        threads=1, spinning=False, engine=options.engine, precision=options.precision
    )
    network = Network(options.model, settings)
    size = network.metadata.size
    if options.how == "decode":
        measuring.answer(cpu_ms=[round(1e3 * _decoding(options.clip), 4) for _ in range(PASSES)])
        return
    costs_s = {
        "planes": lambda: _preparing(options.clip, size, planes=True),
        "image": lambda: _preparing(options.clip, size, planes=False),
        "infer": lambda: _inferring(options.clip, network, size),
    }[options.how]()
    timed = itertools.islice(costs_s, options.warmup, options.warmup + options.frames)
    measuring.answer(cpu_ms=[round(1e3 * cost_s, 4) for cost_s in timed])


def _decoding(clip: str) -> float:
    """Mean of the whole clip, as frames come in bursts; of the whole process, as a decoder's
    threads are reported in no other way."""
    started_s = time.process_time()
    with open_stream(clip) as stream:
        frames = sum(1 for _ in stream)
    return (time.process_time() - started_s) / frames


def _preparing(clip: str, size: tuple[int, int], *, planes: bool) -> Iterator[float]:
    canvas = Canvas(size)
    for frame in endless(clip):
        started_s = time.thread_time()
        yuv = frame.yuv() if planes else None
        canvas.fill(frame.image if yuv is None else yuv)
        yield time.thread_time() - started_s


def _inferring(clip: str, network: Network, size: tuple[int, int]) -> Iterator[float]:
    inputs = itertools.cycle(tensors(clip, size, INPUTS))
    while True:
        tensor = next(inputs)
        started_s = time.process_time()
        network.infer(tensor)
        yield time.process_time() - started_s


if __name__ == "__main__":
    main()
