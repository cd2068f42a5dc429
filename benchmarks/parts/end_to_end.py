"""What one graph from pixels to boxes brings and costs, beside the hand-made pipeline around the
same network: time, CPU time, memory, bytes, and mAP on labelled images."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.models import Detector
from oneglance.models.engines.onnxruntime import import_onnxruntime
from oneglance.models.tasks import ModelClass
from oneglance.streams import open_stream
from oneglance.streams.errors import DataError, OneglanceError

if TYPE_CHECKING:
    import supervision as sv

    from oneglance.models.training.data.datasets import Dataset

HOWS = {"detector": "hand-made: letterbox, network, NMS apart", "graph": "one graph"}


def measure_end_to_end(asked: Options) -> Part:
    """Speed on the clip, accuracy on the val images of the data; what cannot be is a hole."""
    part = Part(
        part="end_to_end",
        title="One graph from pixels to boxes",
        facts=facts.gather(asked.model, asked.clip),
        timer="one call, from an image in BGR to boxes in its pixels, all CPUs on it; decoding "
        "and what makes the image are left out",
        silent_on=[
            "colours of lights, which the graph leaves out",
            (
                "input from a decoder's planes, which the hand-made pipeline can take and a graph "
                "cannot: images are made before the clock starts"
            ),
            "other engines: the graph's NMS is ONNX's operator",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        _speed(part, asked, Path(folder))
        try:
            _accuracy(part, asked, Path(folder))
        except ModuleNotFoundError as error:
            part.holes.append(f"accuracy not measured: {error.name} is not installed")
        except OneglanceError as error:
            part.holes.append(f"accuracy not measured: {error}")
    return part


def _speed(part: Part, asked: Options, folder: Path) -> None:
    with open_stream(asked.clip) as stream:
        size = next(iter(stream)).size
    graph = export(asked.model, folder / "speed.onnx", size)
    part.facts["bytes of the graph"] = graph.stat().st_size
    arms = [
        Arm(
            how,
            label,
            "benchmarks.arms.graphs.end_to_end",
            (
                *("--model", str(graph if how == "graph" else asked.model), "--clip", asked.clip),
                *("--frames", str(asked.frames), "--warmup", str(asked.warmup), "--how", how),
            ),
        )
        for how, label in HOWS.items()
    ]
    measured = measure(arms, rounds=asked.rounds)
    part.holes += measured.holes
    rows = [_row(part, a, measured.answers[a.name]) for a in arms if a.name in measured.answers]
    columns = ("pipeline", "p50 ms", "p90 ms", "p99 ms", "CPU ms", "peak MB", "boxes")
    title = f"From {size[0]}x{size[1]} BGR to boxes"
    part.tables.append(results.Table(title, columns, tuple(rows)))
    if len(rows) == len(HOWS):
        for key, words in (("intervals_ms", "time"), ("cpu_ms", "CPU time")):
            graphs, detectors = (
                [answer[key] for answer in measured.answers[how]] for how in ("graph", "detector")
            )
            found = intervals.ratio(graphs, detectors)
            part.claim(key, f"one graph over the hand-made pipeline, {words} a frame", found)


def export(model: Path, out: Path, size: tuple[int, int], *, confidence: float = 0.25) -> Path:
    """The end-to-end graph of ``model`` for frames of ``size``."""
    from oneglance.models.training.end_to_end import end_to_end

    end_to_end(model, out, size=size, confidence=confidence)
    return out


def _row(part: Part, arm: Arm, answers: list[Answer]) -> tuple[str, ...]:
    part.add(f"{arm.name}.ms", arm.label, [a["intervals_ms"] for a in answers], unit="ms")
    part.add(f"{arm.name}.cpu", arm.label, [a["cpu_ms"] for a in answers], unit="ms")
    spent_ms = [ms for answer in answers for ms in answer["intervals_ms"]]
    cpu_ms = intervals.median([ms for answer in answers for ms in answer["cpu_ms"]])
    memory = intervals.median([answer["peak_mb"] for answer in answers])
    boxes = " or ".join(str(count) for count in sorted({answer["boxes"] for answer in answers}))
    return arm.label, *part.percentiles(spent_ms), f"{cpu_ms:.2f}", f"{memory:.0f}", boxes


class GraphDetector:
    """A graph as a detector of images of its size; ``detect`` of evaluation calls it."""

    def __init__(self, file: Path, classes: tuple[ModelClass, ...]) -> None:
        self.name, self.classes = file.stem, classes
        self._session = import_onnxruntime().InferenceSession(
            str(file), providers=["CPUExecutionProvider"]
        )
        self._names = np.array([cls.name for cls in classes])
        self._tasks = np.array([cls.task.value for cls in classes])

    def __call__(self, image: npt.NDArray[np.uint8]) -> sv.Detections:
        """Its boxes, in pixels of the image."""
        import supervision

        boxes, scores, class_id = self._session.run(None, {"image": image})
        data: dict[str, Any] = {"class_name": self._names[class_id], "task": self._tasks[class_id]}
        return supervision.Detections(
            xyxy=boxes.reshape(-1, 4), confidence=scores, class_id=class_id, data=data
        )


def _accuracy(part: Part, asked: Options, folder: Path) -> None:
    from oneglance.models.training.data.datasets import read_dataset
    from oneglance.models.training.evaluation.coco import EVALUATION_CONFIDENCE, detect, score

    dataset = read_dataset(asked.data[0])
    size = _only_size(dataset)
    graph = export(asked.model, folder / "map.onnx", size, confidence=EVALUATION_CONFIDENCE)
    detector = Detector.load(asked.model, confidence=EVALUATION_CONFIDENCE)
    alone = cast("Detector", GraphDetector(graph, detector.metadata.classes))  # called, and no more
    both = [detect(one, dataset) for one in (detector, alone)]
    rows = []
    for task in both[0].tasks:
        found = [score(each.ground_truth, each.predictions, task) for each in both]
        if found[0] is None or found[1] is None:
            continue
        points = 100 * (found[1].map50_95 - found[0].map50_95)
        cells = (f"{found[0].map50_95:.4f}", f"{found[1].map50_95:.4f}", f"{points:+.2f}")
        rows.append((task.value, str(found[0].boxes), *cells))
        label = f"mAP50-95 of {task.value}: one graph less the hand-made pipeline"
        part.claim(f"map.{task.value}", label, points, unit="points")
    columns = ("task", "boxes", "hand-made mAP50-95", "one graph", "points")
    title = f"Accuracy on {dataset.file.parent.name} val, {size[0]}x{size[1]}"
    part.tables.append(results.Table(title, columns, tuple(rows)))


def _only_size(dataset: Dataset) -> tuple[int, int]:
    """Of all val images, as a graph takes one size alone.

    Raises:
        DataError: they differ.
    """
    import cv2

    shapes = set()
    for file in dataset.images("val"):
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"cannot read image {file}")
        shapes.add((image.shape[1], image.shape[0]))
    if len(shapes) != 1:
        raise DataError(f"images of {dataset.file} have {len(shapes)} sizes, a graph takes one")
    return shapes.pop()


if __name__ == "__main__":
    options.main(measure_end_to_end, __doc__, rounds=3, frames=70)
