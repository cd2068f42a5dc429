"""One part of ``benchmarks.gpu``, measured in a process of its own: a crash, or a card without
memory, ends that part alone."""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arms import measuring
from benchmarks.gpu.parts import BATCH, FRAMES
from oneglance.models.engines import providers
from oneglance.models.engines.engine import Engine
from oneglance.models.engines.loading import load_engine
from oneglance.models.engines.onnxruntime import import_onnxruntime
from oneglance.models.engines.self_check import BOUNDS, self_check

NETWORKS = 4

RUNTIMES = ("onnxruntime", "torch", "torch-captured")

FULL_HD = (1920, 1080)

Run = Callable[[], object]
Figures = dict[str, Any]


def main(words: list[str]) -> None:
    """Measure what ``words`` say, and print the answer as every arm does."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.gpu measure")
    arguments.add_argument("what", choices=MEASURES)
    arguments.add_argument("--runtime", choices=RUNTIMES, default="onnxruntime")
    arguments.add_argument("--device", required=True)
    arguments.add_argument("--precision", default="fp32")
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--clip", default="rendered:?size=1920x1080&frames=120")
    arguments.add_argument("--frames", type=int, default=FRAMES)
    asked = arguments.parse_args(words)
    measuring.answer(**MEASURES[asked.what](asked))


def latency(run: Run, *, frames: int, images: int = 1) -> Figures:
    """Milliseconds of a call, p50 and p99, and of an image; a tenth of the calls warm up."""
    for _ in range(max(1, frames // 10)):
        run()
    taken_ms = []
    for _ in range(frames):
        started = time.perf_counter()
        run()
        taken_ms.append(1e3 * (time.perf_counter() - started))
    p50, p99 = (round(float(np.percentile(taken_ms, p)), 3) for p in (50, 99))
    return {"p50_ms": p50, "p99_ms": p99, "image_ms": round(p50 / images, 3), "calls": frames}


def measure_one(asked: argparse.Namespace) -> Figures:
    """How long loading takes, whether it computes what it should, latency of one image."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        engine = _engine(asked, Path(folder))
        found: Figures = {"load_s": round(time.perf_counter() - started, 1)}
        checked = self_check(engine, origin=asked.model.name)
        if checked is not None:
            bound = BOUNDS[engine.precision]
            found["largest difference in score"] = round(checked.score, 5)
            found["allowed in score"] = bound.score
            found["largest difference in px"] = round(checked.side_px, 3)
            found["allowed in px"] = bound.side_px
        width, height = engine.metadata.size
        tensor = np.full((1, 3, height, width), 0.5, np.float32)
        found |= latency(lambda: engine.run(tensor), frames=asked.frames)
        if asked.device == "tensorrt":
            started = time.perf_counter()
            _engine(asked, Path(folder))
            found["load_again_s"] = round(time.perf_counter() - started, 1)
    return found


def measure_batch(asked: argparse.Namespace) -> Figures:
    """Latency of ``BATCH`` images in one call."""
    from benchmarks.gpu.batched import batched

    content = batched(asked.model, BATCH)
    run: Callable[[Any], object]
    if asked.runtime == "torch":
        from benchmarks.gpu.torch_graph import TorchGraph

        how = {"device": asked.device, "precision": asked.precision}
        graph = TorchGraph(content, origin=asked.model.name, **how)
        run, shape = graph.run, graph.metadata.size
    else:
        session = _session(content, asked.device, asked.precision)
        given = session.get_inputs()[0]
        run, shape = lambda tensor: session.run(None, {given.name: tensor}), given.shape[:1:-1]
    tensors = np.full((BATCH, 3, shape[1], shape[0]), 0.5, np.float32)
    return latency(lambda: run(tensors), frames=asked.frames, images=BATCH)


def measure_frame(asked: argparse.Namespace) -> Figures:
    """From a frame in memory to boxes: letterbox, inference, decoding of the output. It needs
    neither a video decoder nor a tracker."""
    import cv2

    from oneglance.models.decode import ClassTable, decode
    from oneglance.models.detector import DEFAULT_CONFIDENCE
    from oneglance.models.letterbox import Canvas
    from oneglance.models.tasks import Task

    with tempfile.TemporaryDirectory() as folder:
        engine = _engine(asked, Path(folder))
    metadata = engine.metadata
    width, height = metadata.size
    seen = [frame.image() for frame in metadata.reference_frames[:1]]
    image = cv2.resize(seen[0] if seen else np.zeros((height, width, 3), np.uint8), FULL_HD)
    canvas, table = Canvas(metadata.size), ClassTable(metadata.classes, set(Task))

    def boxes() -> int:
        tensor, _ = canvas.fill(np.asarray(image, np.uint8))
        output, _ = engine.run(tensor)
        found = decode(output, metadata.head, confidence=DEFAULT_CONFIDENCE, table=table)
        return len(found.xyxy)

    return {"boxes": boxes(), **latency(boxes, frames=asked.frames)}


def measure_four(asked: argparse.Namespace) -> Figures:
    """One network against four of its size: after one another, and in a thread each."""
    with tempfile.TemporaryDirectory() as folder:
        engines = [_engine(asked, Path(folder)) for _ in range(NETWORKS)]
    width, height = engines[0].metadata.size
    tensor = np.full((1, 3, height, width), 0.5, np.float32)

    def in_sequence() -> None:
        for engine in engines:
            engine.run(tensor)

    def in_threads() -> None:
        threads = [threading.Thread(target=each.run, args=(tensor,)) for each in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    one = latency(lambda: engines[0].run(tensor), frames=asked.frames)
    four = latency(in_sequence, frames=asked.frames)
    threads = latency(in_threads, frames=asked.frames)
    quickest = min(four["p50_ms"], threads["p50_ms"])
    return {
        "one_p50_ms": one["p50_ms"],
        "four_in_sequence_p50_ms": four["p50_ms"],
        "four_in_threads_p50_ms": threads["p50_ms"],
        "one_over_the_quickest_four": round(one["p50_ms"] / quickest, 3),
        "calls": asked.frames,
    }


def measure_loop(asked: argparse.Namespace) -> Figures:
    """The whole loop over a 1080p recording with tracking, decoded on the card where it can be."""
    from benchmarks.parts.sizes import Clip, make_clip
    from oneglance.models import Detector
    from oneglance.perception import Pipeline, Tracker
    from oneglance.streams import ConnectOptions, StreamError, UsageError, open_stream

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(asked.clip, clip, Clip("1080p", "H.264"), frames=asked.frames)
        detector = Detector(_engine(asked, Path(folder)))
        decoder = "cuda"
        try:
            stream = open_stream(clip, ConnectOptions(hwaccel="cuda"))
        except (StreamError, UsageError):
            stream, decoder = open_stream(clip), "CPU (the card's cannot be used)"
        summary = Pipeline(stream, detector, tracker=Tracker()).run()
    stages = {f"{name}_p50_ms": each.p50 for name, each in summary.latency_ms.items()}
    return {"decoder": decoder, "frames": summary.frames, "fps": summary.fps, **stages}


def _engine(asked: argparse.Namespace, cache: Path) -> Engine:
    if asked.runtime != "onnxruntime":
        from benchmarks.gpu.torch_graph import load

        captured = asked.runtime == "torch-captured"
        how = {"device": asked.device, "precision": asked.precision, "captured": captured}
        return load(asked.model, **how)
    how = {"device": asked.device, "precision": asked.precision, "cache": cache}
    threads = None if asked.device == providers.CPU else 1
    return load_engine(asked.model, threads=threads, check=False, **how)


def _session(content: bytes, device: str, precision: str) -> Any:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    providers.check_provider(ort, device)
    asked = providers.configure(ort, options, device, precision=precision, cache=None)
    with providers.only_on(ort, device):
        session = ort.InferenceSession(content, options, providers=asked, enable_fallback=False)
        providers.check_session(ort, session, device)
    return session


MEASURES: Mapping[str, Callable[[argparse.Namespace], Figures]] = {
    "one": measure_one,
    "batch": measure_batch,
    "frame": measure_frame,
    "four": measure_four,
    "loop": measure_loop,
}
