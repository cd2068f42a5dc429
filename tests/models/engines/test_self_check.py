"""A model proves on this machine that it computes what it should, or it is not used."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from oneglance.models import Detector
from oneglance.models.engines import self_check as checking
from oneglance.models.engines.accuracy_gate import gate_problem
from oneglance.models.engines.loading import load_engine
from oneglance.models.engines.self_check import BOUNDS, record, self_check
from oneglance.models.metadata import KEY, Metadata
from oneglance.models.reference_frames import ReferenceFrame, encode_frame
from oneglance.models.zoo import list_zoo, resolve_model
from oneglance.streams.errors import ModelError

CAR, PEDESTRIAN = 1, 0
BOX = [10.0, 10.0, 60.0, 50.0, 0.9, CAR]
TASKS = np.arange(4, dtype=np.int32)


def boxes(*rows: list[float]) -> npt.NDArray[np.float32]:
    """Rows of a reference frame."""
    return np.array(rows, np.float32).reshape(-1, 6)


def moved(**changes: float) -> list[float]:
    """``BOX`` with other numbers by place, as ``p4=0.5``."""
    row = list(BOX)
    for place, value in changes.items():
        row[int(place[1:])] = value
    return row


@pytest.mark.parametrize("name", [e.name for e in list_zoo() if not e.is_quantised])
def test_every_model_of_the_zoo_carries_frames_and_passes_here(name: str) -> None:
    engine = load_engine(resolve_model(name), check=False)
    frames = engine.metadata.reference_frames
    assert 1 <= len(frames) <= checking.MOST_FRAMES  # type: ignore[attr-defined]
    sure = [len(frame.boxes[frame.boxes[:, 4] >= checking.SURE]) for frame in frames]
    assert sum(sure) >= 12
    outcome = self_check(engine, origin=name)
    assert outcome is not None
    assert outcome.frames == len(frames)
    assert outcome.within(BOUNDS["fp32"])


@pytest.mark.parametrize("name", [e.name for e in list_zoo() if e.is_quantised])
@pytest.mark.usefixtures("openvino")
def test_a_quantised_model_of_the_zoo_passed_its_gate_and_passes_here(name: str) -> None:
    detector = Detector.load(name, engine="openvino", precision="int8")
    assert not gate_problem(detector.metadata)
    assert "scores within" in detector.engine_check


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.usefixtures("openvino")
def test_another_engine_passes_in_every_precision_that_this_cpu_has(precision: str) -> None:
    from oneglance.streams.errors import UsageError

    try:
        detector = Detector.load("road4-n-416", engine="openvino", precision=precision)
    except UsageError as error:
        pytest.skip(str(error))
    assert detector.precision == precision


def negated(file: Path, out: Path) -> Path:
    """A copy of a model in which the largest weight tensor has the wrong sign."""
    onnx = pytest.importorskip("onnx", reason="changes an ONNX file")
    model = onnx.load(file)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights = -onnx.numpy_helper.to_array(largest)
    largest.CopyFrom(onnx.numpy_helper.from_array(weights, largest.name))
    onnx.save(model, out)
    return out


def test_a_file_with_wrong_weights_is_not_used(tmp_path: Path) -> None:
    wrong = negated(resolve_model("road4-n-416"), tmp_path / "wrong.onnx")
    with pytest.raises(ModelError, match=r"wrong\.onnx: engine onnxruntime in fp32") as error:
        Detector.load(wrong)
    words = str(error.value)
    assert "on this CPU (" in words
    assert "scores differ by up to" in words
    assert "Choose another engine or precision" in words
    assert Detector.load(wrong, self_check=False).name == "road4-n-416"


def with_int8_weights(file: Path, out: Path, *, scale: float = 1.0, zero_point: int = 0) -> Path:
    """A copy whose convolutions take weights of 8 bits through ``DequantizeLinear``, as a file
    that was quantised into QDQ holds them: with scales and zero points that are right, or not."""
    onnx = pytest.importorskip("onnx", reason="changes an ONNX file")
    model = onnx.load(file)
    graph, to_array = model.graph, onnx.numpy_helper.to_array
    weights = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    steps = []
    for convolution in convolutions:
        values = to_array(weights[convolution.input[1]])
        right = np.abs(values).max(axis=(1, 2, 3)) / 127 + 1e-12
        rounded = np.round(values / right[:, None, None, None]).astype(np.int8)
        name = f"{convolution.name}/int8"
        parts = {
            name: rounded,
            f"{name}/scale": (right * scale).astype(np.float32),
            f"{name}/zero": np.full(len(right), zero_point, np.int8),
        }
        graph.initializer.extend(onnx.numpy_helper.from_array(v, key) for key, v in parts.items())
        steps.append(
            onnx.helper.make_node("DequantizeLinear", list(parts), [f"{name}/float"], axis=0)
        )
        convolution.input[1] = f"{name}/float"
    for step in reversed(steps):
        graph.node.insert(0, step)
    assert len(steps) > 60
    onnx.save(model, out)
    return out


@pytest.mark.parametrize(
    "wrong",
    [{}, {"scale": 1.04}, {"zero_point": 2}],
    ids=["another precision", "wrong scales", "wrong zero points"],
)
def test_a_quantised_file_that_computes_something_else_is_not_used_as_fp32(
    wrong: dict[str, Any], tmp_path: Path
) -> None:
    file = with_int8_weights(resolve_model("road4-n-416"), tmp_path / "qdq.onnx", **wrong)
    with pytest.raises(ModelError, match=r"qdq\.onnx: engine onnxruntime in fp32 computes some"):
        load_engine(file)


class Counting:
    """An engine that counts what it is asked."""

    def __init__(self, engine: Any, frames: tuple[ReferenceFrame, ...]) -> None:
        self.name, self.precision, self.threads = engine.name, engine.precision, 1
        self.metadata = dataclasses.replace(engine.metadata, reference_frames=frames)
        self._engine, self.asked = engine, 0

    def run(self, tensor: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
        """As the engine does."""
        self.asked += 1
        found: tuple[npt.NDArray[np.float32], float] = self._engine.run(tensor)
        return found


def test_it_costs_three_inferences_at_most_and_says_what_it_cost(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = load_engine(model)
    width, height = engine.metadata.size
    frames = record(engine, [np.zeros((height, width, 3), np.uint8)])
    counting = Counting(engine, frames * 7)
    with caplog.at_level(logging.DEBUG):
        outcome = self_check(counting, origin="a.onnx")
    assert counting.asked == 3
    assert outcome is not None
    assert outcome.frames == 3
    assert outcome.seconds > 0
    assert str(outcome).startswith("3 frames in ")
    assert str(outcome) in caplog.text


def test_a_run_says_what_its_self_check_found_and_cost(oneglance: Any, model: Path) -> None:
    run = ("run", "rendered:?frames=2", "--model")
    for words in ((), ("--engine", "auto")):
        outcome = oneglance(*run, "road4-n-416", *words)
        assert outcome.code == 0, outcome.err
        assert re.search(r"self-check: \d frames? in \d+ ms, scores within 0\.\d{4} ", outcome.out)
    summary = json.loads(oneglance(*run, "road4-n-416", "--json-summary", "-").out)
    assert "(allowed 0.01)" in summary["engine_check"]
    for without in (("road4-n-416", "--no-self-check"), (model,)):
        assert "self-check" not in oneglance(*run, *without).out


@pytest.mark.parametrize("how", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_a_detector_that_was_sent_proves_itself_where_it_arrives(
    how: Callable[[Detector], Detector], tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(resolve_model("road4-n-416").read_bytes())
    checked, unchecked = (Detector.load(file, self_check=asked) for asked in (True, False))
    assert how(checked).name == how(how(checked)).name == "road4-n-416"
    negated(file, tmp_path / "wrong.onnx").replace(file)
    with pytest.raises(ModelError, match="sent to this process: engine onnxruntime in fp32"):
        how(checked)
    assert how(how(unchecked)).name == "road4-n-416"
    assert copy.copy(checked)._engine is checked._engine  # loads nothing


def test_the_command_refuses_it_and_can_be_switched_off(tmp_path: Path, oneglance: Any) -> None:
    wrong = negated(resolve_model("road4-n-416"), tmp_path / "wrong.onnx")
    outcome = oneglance("run", "rendered:?frames=2", "--model", wrong)
    assert outcome.code == 2
    assert "computes something else" in outcome.message
    assert oneglance("run", "rendered:?frames=2", "--model", wrong, "--no-self-check").code == 0


@pytest.mark.parametrize(
    ("found", "score", "side_px"),
    [
        (boxes(BOX), 0.0, 0.0),
        (boxes(moved(p4=0.7)), 0.2, 0.0),
        (boxes(moved(p2=63.0)), 0.0, 3.0),
        (boxes(), 0.9, 0.0),
        (boxes(BOX, [200, 200, 240, 240, 0.6, PEDESTRIAN]), 0.6, 0.0),
        (boxes(moved(p5=PEDESTRIAN)), 0.9, 0.0),
        (boxes(BOX, [200, 200, 240, 240, 0.2, CAR]), 0.0, 0.0),
        (boxes(moved(p0=200, p2=260)), 0.9, 0.0),
    ],
    ids=[
        *("same", "less sure", "wider", "missed", "invented", "another task", "faint", "elsewhere"),
    ],
)
def test_differences_are_those_of_sure_boxes(
    found: npt.NDArray[np.float32], score: float, side_px: float
) -> None:
    difference = checking.largest_difference(boxes(BOX), found, task=TASKS)
    assert difference == pytest.approx((score, side_px), abs=1e-6)


def test_subclasses_of_one_task_are_counterparts() -> None:
    task = np.array([0, 1, 1, 1], np.int32)
    difference = checking.largest_difference(boxes(BOX), boxes(moved(p5=3)), task=task)
    assert difference == (0.0, 0.0)


def test_a_model_without_frames_is_not_checked(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert self_check(load_engine(model), origin="seeing") is None
    assert "has no reference frames" in caplog.text


def test_frames_survive_the_metadata(model: Path) -> None:
    engine = load_engine(model)
    width, height = engine.metadata.size
    image = np.full((height, width, 3), 90, np.uint8)
    frames = record(engine, [image])
    kept = dataclasses.replace(engine.metadata, reference_frames=frames)
    from oneglance.models.metadata import read_metadata

    read = read_metadata({KEY: kept.to_json()}, "a.onnx")
    assert len(read.reference_frames) == 1
    np.testing.assert_allclose(read.reference_frames[0].boxes, frames[0].boxes, atol=0.06)
    assert read.reference_frames[0].jpeg == frames[0].jpeg


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (ReferenceFrame(b"no jpeg", boxes(BOX)), "cannot be decoded"),
        (ReferenceFrame(encode_frame(np.zeros((8, 8, 3), np.uint8)), boxes()), "is 8x8, not 64x32"),
    ],
)
def test_a_frame_that_cannot_be_used_is_reported(
    model: Path, frame: ReferenceFrame, sentence: str
) -> None:
    engine = load_engine(model)
    engine.metadata = dataclasses.replace(engine.metadata, reference_frames=(frame,))  # type: ignore[misc]
    with pytest.raises(ModelError, match=sentence):
        self_check(engine, origin="a.onnx")


def test_too_many_frames_are_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="at most 3"):
        record(load_engine(model), [np.zeros((32, 64, 3), np.uint8)] * 4)


def test_broken_frames_in_the_metadata_are_a_sentence(model: Path) -> None:
    metadata: Metadata = load_engine(model).metadata
    from oneglance.models.metadata import read_metadata

    frame = ReferenceFrame(b"x", boxes(BOX))
    text = dataclasses.replace(metadata, reference_frames=(frame,)).to_json()
    for broken in (text.replace('"boxes"', '"bxs"'), text.replace("0.9", '"much"')):
        with pytest.raises(ModelError, match="broken 'oneglance' metadata"):
            read_metadata({KEY: broken}, "a.onnx")
