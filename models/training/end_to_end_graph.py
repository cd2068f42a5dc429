"""The nodes of an end-to-end graph: letterbox before the network, boxes after it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from oneglance.models.decode import (
    MAX_DETECTIONS,
    SUBCLASS_SHARE,
    SUPPRESSION,
    TINY,
    VOTERS_FROM,
    ClassTable,
)
from oneglance.models.letterbox import PAD_VALUE, Letterbox
from oneglance.models.metadata import END_TO_END, Head, Metadata
from oneglance.models.tasks import Task


class Graph:
    """A graph that grows by nodes; their names cannot meet those that it has."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph, self._count = graph, 0
        self._network = list(graph.node)
        del graph.node[:]

    def _name(self) -> str:
        self._count += 1
        return f"{END_TO_END}/{self._count}"

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """The name of a constant tensor."""
        name = self._name()
        array = np.asarray(value, dtype).copy()
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """The name of what an operator gives; ``to``: this name."""
        name = to or self._name()
        self._graph.node.append(
            helper.make_node(operator, list(inputs), [name], name=name, **attributes)
        )
        return name

    def second_of(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The name of the second of two tensors that an operator gives."""
        names = [self._name(), self._name()]
        node = helper.make_node(operator, list(inputs), names, name=names[0], **attributes)
        self._graph.node.append(node)
        return names[1]

    def cast(self, tensor: str, to_type: int) -> str:
        """``tensor`` as another type of ``TensorProto``."""
        name = self._name()
        self._graph.node.append(helper.make_node("Cast", [tensor], [name], name=name, to=to_type))
        return name

    def network(self) -> None:
        """The nodes that were there, after those added so far."""
        self._graph.node.extend(self._network)

    def floats(self, value: npt.ArrayLike) -> str:
        """A float32 constant."""
        return self.constant(value, np.float32)

    def integers(self, value: npt.ArrayLike) -> str:
        """An int64 constant."""
        return self.constant(value, np.int64)

    def take(self, data: str, places: npt.ArrayLike, *, axis: int = 0) -> str:
        """``data`` at ``places`` along ``axis``; a single place drops the axis."""
        return self.node("Gather", data, self.integers(places), axis=axis)


def add_letterbox(graph: Graph, geometry: Letterbox, *, to: str) -> None:
    """``Canvas.fill`` in ONNX: the tensor ``to`` from the input ``image``."""
    (w, h), (width, height) = geometry.scaled, geometry.target
    rows = graph.node("Unsqueeze", _rows(graph, geometry), graph.integers([0]))
    scaled = graph.node(
        *("Resize", rows, "", "", graph.integers([1, h, w, 3])),
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    # Whole levels, as OpenCV gives them: its half goes up, ONNX's Round would take the even one.
    levels = graph.node("Floor", graph.node("Add", scaled, graph.floats(0.5)))
    right, bottom = width - w - geometry.left, height - h - geometry.top
    pads = graph.integers([0, geometry.top, geometry.left, 0, 0, bottom, right, 0])
    padded = graph.node("Pad", levels, pads, graph.floats(PAD_VALUE), mode="constant")
    rgb = graph.take(graph.node("Transpose", padded, perm=[0, 3, 1, 2]), [2, 1, 0], axis=1)
    graph.node("Mul", rgb, graph.floats(1 / 255), to=to)


def _rows(graph: Graph, geometry: Letterbox) -> str:
    """The frame as float32, already of the scaled height where that spares rows.

    Most of the time goes into making floats of levels: of a frame that is much higher than its
    scaled copy, only the rows that are looked at are converted. 1.8 ms instead of 18 for
    1920×1080 to 640×360, which needs every third.
    """
    source, scaled = geometry.source[1], geometry.scaled[1]
    place = (np.arange(scaled) + 0.5) * (source / scaled) - 0.5
    first = np.floor(place)
    share = (place - first)[:, None, None]
    upper_rows, lower_rows = (np.clip(first + step, 0, source - 1) for step in (0, 1))
    if (2 if share.any() else 1) * scaled >= source:
        return graph.cast("image", TensorProto.FLOAT)
    upper = graph.cast(graph.take("image", upper_rows), TensorProto.FLOAT)
    if not share.any():
        return upper
    lower = graph.cast(graph.take("image", lower_rows), TensorProto.FLOAT)
    change = graph.node("Mul", graph.node("Sub", lower, upper), graph.floats(share))
    return graph.node("Add", upper, change)


def add_decoding(
    graph: Graph, output: str, *, metadata: Metadata, geometry: Letterbox, confidence: float
) -> None:
    """``models.decode`` in ONNX, and the boxes back in the frame."""
    table = ClassTable(metadata.classes, set(Task))
    tensor = graph.node("Squeeze", output, graph.integers([0]))
    if metadata.head is Head.ONE_TO_ONE:
        xyxy, scores, classes = _one_to_one(graph, tensor, table, confidence)
    else:
        xyxy, scores, classes = _one_to_many(graph, tensor, table, confidence)
    shift = np.array((geometry.left, geometry.top) * 2)
    gain = np.array(geometry.scaled * 2) / np.array(geometry.source * 2)
    boxes = graph.node("Div", graph.node("Sub", xyxy, graph.floats(shift)), graph.floats(gain))
    boxes = graph.node("Max", boxes, graph.floats(0))
    graph.node("Min", boxes, graph.floats(geometry.source * 2), to="boxes")
    graph.node("Identity", scores, to="scores")
    graph.node("Identity", classes, to="classes")


def _one_to_many(
    graph: Graph, columns: str, table: ClassTable, confidence: float
) -> tuple[str, str, str]:
    """Boxes, scores and classes of (4+C)×N columns: non-maximum suppression, task by task."""
    count = len(table.task)
    scores = graph.take(columns, np.arange(4, 4 + count))
    best_class = graph.node("ArgMax", scores, axis=0, keepdims=1)
    best = graph.node("GatherElements", scores, best_class, axis=0)
    tasks = np.unique(table.task)
    task = graph.node("Gather", graph.integers(table.task), best_class)
    of_task = graph.node("Equal", task, graph.integers(tasks[:, None]))
    by_task = graph.node("Where", of_task, best, graph.floats(-1))
    xywh = graph.node("Transpose", graph.take(columns, np.arange(4)), perm=[1, 0])
    kept = graph.node(
        "NonMaxSuppression",
        graph.node("Unsqueeze", xywh, graph.integers([0])),
        graph.node("Unsqueeze", by_task, graph.integers([0])),
        graph.integers([MAX_DETECTIONS]),
        graph.floats([SUPPRESSION.iou]),
        graph.floats([_just_below(confidence)]),
        center_point_box=1,
    )
    place = graph.take(kept, 2, axis=1)
    confidences = graph.node("Gather", graph.node("Squeeze", best, graph.integers([0])), place)
    order = _best_first(graph, confidences)
    place = graph.node("Gather", place, order)
    confidences = graph.node("Gather", confidences, order)
    class_id = graph.node("Gather", graph.node("Squeeze", best_class, graph.integers([0])), place)
    if table.has_subclasses:
        of_place = graph.node("Gather", scores, place, axis=1)
        class_id = _best_subclass(graph, of_place, confidences, class_id=class_id, table=table)
    centre, side = (graph.take(xywh, places, axis=1) for places in ([0, 1], [2, 3]))
    start = graph.node("Sub", centre, graph.node("Div", side, graph.floats(2)))
    corners = graph.node("Concat", start, graph.node("Add", start, side), axis=1)
    boxes = graph.node("Gather", corners, place)
    if SUPPRESSION.voting_iou is not None:
        candidates = _Candidates(
            corners, *(graph.node("Squeeze", each, graph.integers([0])) for each in (best, task))
        )
        of_kept = _Candidates(boxes, confidences, graph.node("Gather", candidates.task, place))
        least = graph.floats(_just_below(min(confidence, VOTERS_FROM)))
        voters = candidates.where(graph, graph.node("Greater", candidates.scores, least))
        boxes = _voted(graph, of_kept, voters, SUPPRESSION.voting_iou)
    return boxes, confidences, class_id


class _Candidates(NamedTuple):
    """Tensors of N boxes: ``corners`` N×4, ``scores`` and ``task`` N."""

    corners: str
    scores: str
    task: str

    def where(self, graph: Graph, condition: str) -> _Candidates:
        return _Candidates(*(graph.node("Compress", each, condition, axis=0) for each in self))


def _voted(graph: Graph, kept: _Candidates, voters: _Candidates, least_iou: float) -> str:
    """``decode``'s box voting: the mean of those of N voters that overlap each of K kept boxes."""
    tiny, zero = graph.floats(TINY), graph.floats(0)
    columns = [graph.take(kept.corners, [side], axis=1) for side in range(4)]
    rows = [graph.take(voters.corners, side, axis=1) for side in range(4)]
    shared = graph.node("Mul", *(_shared_side(graph, columns, rows, axis) for axis in (0, 1)))
    areas = graph.node("Add", _area(graph, columns), _area(graph, rows))
    union = graph.node("Max", graph.node("Sub", areas, shared), tiny)
    overlap = graph.node("Div", shared, union)
    near = graph.node("Not", graph.node("Less", overlap, graph.floats(least_iou)))
    task = graph.node("Unsqueeze", kept.task, graph.integers([1]))
    votes = graph.node("And", near, graph.node("Equal", task, voters.task))
    weights = graph.node("Where", votes, voters.scores, zero)
    total = graph.node("ReduceSum", weights, graph.integers([1]), keepdims=1)
    means = graph.node("MatMul", weights, voters.corners)
    means = graph.node("Div", means, graph.node("Max", total, tiny))
    return graph.node("Where", graph.node("Greater", total, zero), means, kept.corners)


def _shared_side(graph: Graph, columns: list[str], rows: list[str], axis: int) -> str:
    """How much of a side K and N boxes share, K×N; lists of x1, y1, x2, y2."""
    end = graph.node("Min", columns[axis + 2], rows[axis + 2])
    start = graph.node("Max", columns[axis], rows[axis])
    return graph.node("Max", graph.node("Sub", end, start), graph.floats(0))


def _area(graph: Graph, sides: list[str]) -> str:
    width, height = (graph.node("Sub", sides[axis + 2], sides[axis]) for axis in (0, 1))
    return graph.node("Mul", width, height)


def _best_subclass(
    graph: Graph, scores: str, best: str, *, class_id: str, table: ClassTable
) -> str:
    """``class_id``, or the best subclass of its task where that is likely enough (C×M scores)."""
    count = len(table.task)
    subclass_of = np.zeros((count, count), np.bool_)  # [subclass, a class of the same task]
    for task, subclasses in table.subclasses.items():
        subclass_of[np.ix_(subclasses, np.flatnonzero(table.task == task))] = True
    eligible = graph.node("Gather", graph.constant(subclass_of, np.bool_), class_id, axis=1)
    of_subclasses = graph.node("Where", eligible, scores, graph.floats(-1))
    subclass = graph.node("ArgMax", of_subclasses, axis=0, keepdims=1)
    score = graph.node("GatherElements", of_subclasses, subclass, axis=0)
    least = graph.node("Mul", best, graph.floats(SUBCLASS_SHARE))
    likely_enough = graph.node("Not", graph.node("Less", score, least))
    chosen = graph.node("Where", likely_enough, subclass, class_id)
    return graph.node("Squeeze", chosen, graph.integers([0]))


def _one_to_one(
    graph: Graph, rows: str, table: ClassTable, confidence: float
) -> tuple[str, str, str]:
    """Boxes, scores and classes of K×6 rows, which need no suppression."""
    scores = graph.take(rows, 4, axis=1)
    sure = graph.node("Greater", scores, graph.floats(_just_below(confidence)))
    rows = graph.node("Compress", rows, sure, axis=0)
    boxes, scores = graph.take(rows, np.arange(4), axis=1), graph.take(rows, 4, axis=1)
    class_id = graph.cast(graph.take(rows, 5, axis=1), TensorProto.INT64)
    if not table.has_subclasses:
        return boxes, scores, class_id
    # A place is listed once for each class that it may be: the first row of it is the object.
    task = graph.node("Gather", graph.integers(table.task), class_id)
    same = graph.node("And", _pairs(graph, task), _same_boxes(graph, boxes))
    first = graph.node("ArgMax", graph.cast(same, TensorProto.INT32), axis=1, keepdims=0)
    # Its class: the best subclass among its rows, where that is likely enough.
    is_subclass = np.isin(
        np.arange(len(table.task)), np.concatenate(list(table.subclasses.values()))
    )
    subclass = graph.node("Gather", graph.constant(is_subclass, np.bool_), class_id)
    least = graph.node("Mul", scores, graph.floats(SUBCLASS_SHARE))
    column = graph.node("Unsqueeze", least, graph.integers([1]))
    likely = graph.node("Not", graph.node("Less", scores, column))
    candidate = graph.node("And", graph.node("And", same, subclass), likely)
    weight = graph.cast(candidate, TensorProto.INT32)
    best = graph.node("ArgMax", weight, axis=1, keepdims=1)
    there = graph.node("GatherElements", weight, best, axis=1)
    axis = graph.integers([1])
    likely_enough = graph.node(
        "And",
        graph.cast(graph.node("Squeeze", there, axis), TensorProto.BOOL),
        graph.node("Not", subclass),
    )
    best_subclass = graph.node("Gather", class_id, graph.node("Squeeze", best, axis))
    class_id = graph.node("Where", likely_enough, best_subclass, class_id)
    number = graph.node(
        "Squeeze", graph.node("NonZero", graph.node("Equal", scores, scores)), graph.integers([0])
    )
    keep = graph.node("Equal", first, number)
    return (
        graph.node("Compress", boxes, keep, axis=0),
        graph.node("Compress", scores, keep, axis=0),
        graph.node("Compress", class_id, keep, axis=0),
    )


def _places(graph: Graph, values: str) -> str:
    """0, 1, 2 … for each of ``values``."""
    count = graph.node("Squeeze", graph.node("Shape", values), graph.integers([0]))
    return graph.node("Range", graph.integers(0), count, graph.integers(1))


def _pairs(graph: Graph, values: str) -> str:
    """Which pairs of M values are equal: M×M."""
    return graph.node("Equal", graph.node("Unsqueeze", values, graph.integers([1])), values)


def _same_boxes(graph: Graph, boxes: str) -> str:
    """Which pairs of M×4 boxes are equal, side by side: M×M."""
    sides = [_pairs(graph, graph.take(boxes, side, axis=1)) for side in range(4)]
    first, second = (graph.node("And", *sides[i : i + 2]) for i in (0, 2))
    return graph.node("And", first, second)


def _best_first(graph: Graph, scores: str) -> str:
    """The places of the best ``MAX_DETECTIONS`` scores, best first."""
    count = graph.node("Min", graph.node("Shape", scores), graph.integers([MAX_DETECTIONS]))
    return graph.second_of("TopK", scores, count, axis=0, largest=1, sorted=1)


def _just_below(confidence: float) -> float:
    """ONNX asks for scores above a threshold; ours are taken from it on."""
    return float(np.nextafter(np.float32(confidence), np.float32(-1)))
