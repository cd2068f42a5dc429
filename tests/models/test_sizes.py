"""Which files are the same network with a smaller input."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneglance.models import Detector, zoo
from oneglance.models.metadata import KEY, Head, Metadata
from oneglance.models.model_file import read_properties
from oneglance.models.sizes import smaller_inputs
from oneglance.models.tasks import FOUR_TASKS
from oneglance.streams.errors import ModelError

SIZES = ((96, 64), (64, 32), (32, 32))


def network(file: Path, size: tuple[int, int], **facts: Any) -> Path:
    """A model file of that input size, of one training run unless ``facts`` say otherwise."""
    onnx = pytest.importorskip("onnx", reason="builds ONNX files")
    facts = {"training": {"run": 1}, "classes": FOUR_TASKS, "head": Head.ONE_TO_ONE} | facts
    width, height = size
    tensor = onnx.helper.make_tensor_value_info
    rows = np.zeros((1, 1, 6), np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            onnx.helper.make_node("Mul", ["fixed", "mean"], ["output0"]),
        ],
        "fixed",
        [tensor("images", 1, [1, 3, height, width])],
        [tensor("output0", 1, list(rows.shape))],
        [onnx.numpy_helper.from_array(rows, "fixed")],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    model.metadata_props.add(key="author", value="somebody")
    text = Metadata(file.stem, size=size, **facts).to_json()
    model.metadata_props.add(key=KEY, value=text)
    onnx.save(model, file)
    return file


@pytest.fixture
def largest(tmp_path: Path) -> Path:
    for size in reversed(SIZES):
        file = network(tmp_path / f"net-{size[0]}.onnx", size)
    return file


def names(file: Path) -> list[str]:
    metadata = Detector.load(file, threads=1).metadata
    return [each.name for each in smaller_inputs(file, metadata)]


def test_smaller_inputs_of_the_same_network_are_found_beside_it_the_largest_first(
    largest: Path,
) -> None:
    assert names(largest) == ["net-64.onnx", "net-32.onnx"]
    assert names(largest.with_name("net-64.onnx")) == ["net-32.onnx"]
    assert names(largest.with_name("net-32.onnx")) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"training": {"run": 2}},
        {"classes": FOUR_TASKS[:2]},
        {"head": Head.ONE_TO_MANY},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_a_file_of_another_network_is_none(tmp_path: Path, facts: dict[str, Any]) -> None:
    network(tmp_path / "small.onnx", (32, 32), **facts)
    assert names(network(tmp_path / "large.onnx", (64, 32))) == []


_RUN = {"base_sha256": "pretrained", "data_sha256": ["roads", "lights"]}
_ONCE = {"average_of": [{"run": _RUN}, {"run": _RUN}], "model_sha256": "once"}


def gone_on(**facts: Any) -> dict[str, Any]:
    run = {"base_sha256": "once", "data_sha256": ["lights"]} | facts
    return {"run": run, "model_sha256": "again"}


@pytest.mark.parametrize(
    ("training", "is_same"),
    [
        (gone_on(), True),
        ({"average_of": [gone_on()], "start": {"base_sha256": "once"}, "model_sha256": "2"}, True),
        ({"average_of": [gone_on()], "start": {"base_sha256": "x"}, "model_sha256": "2"}, False),
        ({"average_of": [gone_on(), gone_on(base_sha256="x")], "model_sha256": "2"}, False),
        (gone_on(base_sha256="pretrained"), False),
        (gone_on(data_sha256=["lights", "mine"]), False),
        ({"run": {"base_sha256": "once"}}, False),
        ({"run": 3}, False),
        ({"average_of": None}, False),
    ],
)
def test_who_went_on_from_the_same_weights_with_their_data_is_the_same(
    tmp_path: Path, training: dict[str, Any], is_same: bool
) -> None:
    network(tmp_path / "small.onnx", (32, 32), training=_ONCE)
    large = network(tmp_path / "large.onnx", (64, 32), training=training)
    assert names(large) == ["small.onnx"] * is_same
    network(tmp_path / "small.onnx", (32, 32), training=training)
    large = network(tmp_path / "large.onnx", (64, 32), training=_ONCE)
    assert names(large) == ["small.onnx"] * is_same


def test_without_training_facts_nothing_shows_that_weights_are_the_same(tmp_path: Path) -> None:
    network(tmp_path / "small.onnx", (32, 32), training={})
    assert names(network(tmp_path / "large.onnx", (64, 32), training={})) == []


def test_an_input_that_is_larger_one_way_is_none(tmp_path: Path) -> None:
    network(tmp_path / "tall.onnx", (32, 64))
    assert names(network(tmp_path / "wide.onnx", (64, 32))) == []


def test_files_that_are_no_models_of_ours_are_passed_over(largest: Path) -> None:
    folder = largest.parent
    (folder / "a.onnx").write_bytes(b"\0\1\2 not a model")
    (folder / "b.onnx").write_bytes(largest.read_bytes()[:100])
    (folder / "c.onnx").mkdir()
    (folder / "d.onnx").symlink_to("nowhere")
    (folder / "e.onnx").write_bytes(b"")
    assert names(largest) == ["net-64.onnx", "net-32.onnx"]


def test_of_several_files_of_one_size_one_is_taken(largest: Path) -> None:
    shutil.copy(largest.with_name("net-32.onnx"), largest.with_name("again.onnx"))
    assert names(largest) == ["net-64.onnx", "again.onnx"]


def test_those_of_the_zoo_have_each_other() -> None:
    detector = Detector.load("road4-n-960", threads=1, tasks=["car"], confidence=0.4)
    smaller = detector.smaller()
    assert [each.name for each in smaller] == ["road4-n", "road4-n-416"]
    for each in smaller:
        assert each.confidence == 0.4
        assert (each.engine, each.precision, each.threads) == ("onnxruntime", "fp32", 1)
        assert each.classes == detector.classes
        image = np.zeros((64, 64, 3), np.uint8)
        assert len(each(image)) == 0
    assert smaller[-1].inference_s(1) > 0


def test_a_zoo_file_that_was_changed_is_refused_as_a_smaller_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in zoo.FOLDER.iterdir():
        if file.suffix in {".onnx", ".json"}:
            shutil.copy(file, tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    detector = Detector.load("road4-n", threads=1)
    with (tmp_path / "road4-n-416.onnx").open("ab") as changed:
        changed.write(b"\0")
    with pytest.raises(ModelError, match=r"road4-n-416.*damaged or was changed"):
        detector.smaller()


def test_a_detector_knows_its_smaller_ones_when_it_was_copied_or_sent(largest: Path) -> None:
    detector = Detector.load(largest, threads=1)
    for other in (copy.copy(detector), pickle.loads(pickle.dumps(detector))):
        assert [each.name for each in other.smaller()] == ["net-64", "net-32"]


def test_the_properties_of_a_file_are_those_that_its_engine_reads() -> None:
    entry = zoo.list_zoo()[0]
    found = read_properties(entry.path)
    assert Detector.load(entry.name, threads=1).metadata.name == entry.name
    assert {"names", "imgsz", KEY} <= found.keys()
    assert f'"name": "{entry.name}"' in found[KEY]
