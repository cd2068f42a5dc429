"""How far each engine is from what the machine allows: arithmetic and memory traffic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.parts.throughput import bare_arms
from benchmarks.processes import Arm, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.streams.errors import ModelError

MATRIX = 2048
REPEATS = 12
COPY_BYTES = 256_000_000


def work(model: Path) -> tuple[float, float]:
    """Floating-point operations of one inference, and bytes it must move at least.

    Operations: two for each multiply-add of convolutions and matrix products, the rest (about
    1 %) left out. Bytes: weights once, and each tensor that these layers read and write, once,
    as if everything between them were fused.

    Raises:
        ModelError: the graph's shapes are not fixed.
    """
    graph = shape_inference.infer_shapes(onnx.load(model)).graph
    shapes = _shapes(graph)
    weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    operations = bytes_moved = 0.0
    for node in graph.node:
        if node.op_type not in {"Conv", "Gemm", "MatMul"}:
            continue
        try:
            output = math.prod(shapes[node.output[0]])
            operations += 2.0 * output * _reduced(node, shapes, weights)
            touched = output + sum(
                weights[name].size if name in weights else math.prod(shapes[name])
                for name in node.input
            )
        except KeyError as error:
            raise ModelError(f"{model}: the shape of {error} is not known") from None
        bytes_moved += 4.0 * touched
    return operations, bytes_moved


def _reduced(
    node: onnx.NodeProto, shapes: dict[str, list[int]], weights: dict[str, np.ndarray]
) -> int:
    """Multiply-adds for one element of the node's output."""
    if node.op_type == "Conv":
        # Weights are out × in/groups × kernel: all but the first side is summed over.
        return math.prod(weights[node.input[1]].shape[1:])
    name = node.input[0]
    return int(weights[name].shape[-1] if name in weights else shapes[name][-1])


def _shapes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    known = [*graph.value_info, *graph.input, *graph.output]
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}


def matrix_rate() -> float:
    """Best float32 operations a second of a matrix product, all CPUs."""
    random = np.random.default_rng(0)
    a, b = (random.random((MATRIX, MATRIX), np.float32) for _ in range(2))
    return 2.0 * MATRIX**3 / _best_s(lambda: a @ b)


def bandwidth() -> float:
    """Best bytes a second of a copy that no cache holds, read and written counted; one thread."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    return 2.0 * COPY_BYTES / _best_s(lambda: np.copyto(target, source))


def _best_s(run: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(REPEATS):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best


def measure_floor(asked: Options) -> Part:
    """The floor, then each engine's time for one inference over it."""
    part = Part(
        part="floor",
        title="Distance from the machine's limit",
        facts=facts.gather(asked.model, asked.clip),
        timer="inference alone, inputs made before; rates from the time all CPUs took "
        "for one inference",
        silent_on=[
            (
                "a limit that nobody reaches: convolutions of few channels cannot run at the rate "
                "of a large matrix product"
            ),
            "bf16 and int8, whose limits lie higher: their times are set against the float32 one",
        ],
    )
    operations, moved = work(asked.model)
    rate, copied = matrix_rate(), bandwidth()
    floor_ms = 1e3 * max(operations / rate, moved / copied)
    part.facts |= {
        "operations": f"{operations / 1e9:.2f} GFLOP",
        "bytes": f"{moved / 1e6:.0f} MB",
        "matrix rate": f"{rate / 1e9:.0f} GFLOP/s float32, all CPUs",
        "bandwidth": f"{copied / 1e9:.1f} GB/s copying, one thread",
        "floor": f"{floor_ms:.1f} ms: {1e3 * operations / rate:.1f} ms of arithmetic, "
        f"{1e3 * moved / copied:.1f} ms of memory",
    }
    arms = bare_arms(asked)
    arms += [
        Arm(
            f"openvino_{precision}",
            f"OpenVINO, one request, {precision}",
            "benchmarks.arms.peers.openvino",
            (*asked.arm, "--how", "bare", "--precision", precision),
            python=asked.peers_python,
        )
        for precision in ("f32", "bf16")
    ]
    measured = measure(arms, rounds=asked.rounds)
    part.holes += measured.holes
    rows = []
    for arm in arms:
        if arm.name not in measured.answers:
            continue
        # The time all CPUs need for one: two at once in 40 ms are 20 ms each.
        means = [float(np.mean(a["intervals_ms"])) for a in measured.answers[arm.name]]
        part.add(f"{arm.name}.ms", arm.label, [[ms] for ms in means], unit="ms")
        ms = intervals.median(means)
        achieved = operations / ms * 1e3 / 1e9
        rows.append((arm.label, f"{ms:.1f}", f"{achieved:.0f}", f"{ms / floor_ms:.2f}×"))
    columns = ("engine", "ms an inference", "GFLOP/s", "over the floor")
    part.tables.append(results.Table(f"Floor: {floor_ms:.1f} ms", columns, tuple(rows)))
    return part


if __name__ == "__main__":
    options.main(measure_floor, __doc__, rounds=3, frames=60)
