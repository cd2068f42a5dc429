"""Single-task models cut from the real four-task one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

onnx = pytest.importorskip("onnx", reason="cuts ONNX graphs")

from benchmarks.parts.derived_models import CUT, cut, cut_all
from benchmarks.parts.floor import work
from oneglance.models import Detector, Task
from oneglance.models.metadata import Head
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.streams import ModelError, open_stream
from onnx_models import build_model


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Task, Path]]:
    return cut_all(resolve_model(DEFAULT), tmp_path_factory.mktemp("four"))  # type: ignore[return-value]


def _output(model: Path, tensor: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": tensor})[0])


def test_a_cut_model_gives_its_tasks_rows_to_the_bit(four: dict[Task, Path]) -> None:
    model = resolve_model(DEFAULT)
    width, height = Detector.load(model, threads=1).metadata.size
    tensor = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    whole = _output(model, tensor)
    tasks = [c.task for c in Detector.load(model, threads=1).metadata.classes]
    for task in (Task.PEDESTRIAN, Task.LIGHT):
        rows = [4 + i for i, found in enumerate(tasks) if found is task]
        np.testing.assert_array_equal(_output(four[task], tensor), whole[:, [0, 1, 2, 3, *rows]])


def test_four_cut_models_find_together_what_the_whole_one_finds(four: dict[Task, Path]) -> None:
    with open_stream("rendered:?frames=1&seed=3") as stream:
        image = next(iter(stream)).image
    whole = Detector.load(DEFAULT)(image)
    assert len(whole) > 0
    for task, file in four.items():
        mine = whole.xyxy[whole.data["task"] == task.value]
        np.testing.assert_array_equal(Detector.load(file)(image).xyxy, mine)


def test_a_cut_model_says_what_it_is_and_costs_what_the_whole_one_costs(
    four: dict[Task, Path],
) -> None:
    metadata = Detector.load(four[Task.SIGN], threads=1).metadata
    assert metadata.name == "sign-n"
    assert {c.task for c in metadata.classes} == {Task.SIGN}
    assert str(metadata.training["made"]).startswith(CUT)
    whole, part = work(resolve_model(DEFAULT)), work(four[Task.SIGN])
    assert 0.99 < part[0] / whole[0] < 1
    assert 3.0e9 < whole[0] < 3.6e9  # ../shared/README.md: 3.3 GFLOPs at 640×384


def test_a_model_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    fixed = build_model(tmp_path / "one.onnx", np.zeros((1, 3, 6), np.float32))
    with pytest.raises(ModelError, match="only one_to_many can be cut"):
        cut(fixed, Task.CAR, tmp_path / "out.onnx")
    many = build_model(
        tmp_path / "many.onnx", np.zeros((1, 8, 5), np.float32), head=Head.ONE_TO_MANY
    )
    with pytest.raises(ModelError, match="does not end as"):
        cut(many, Task.CAR, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
