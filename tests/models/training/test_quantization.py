"""A model in int8: one file that describes itself and proves itself, or no file."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'quantize' extra")
if any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf")):
    pytest.skip("needs the 'quantize' extra", allow_module_level=True)

from oneglance.models import Detector
from oneglance.models.engines.accuracy_gate import Gate, gate_problem
from oneglance.models.engines.openvino import import_openvino
from oneglance.models.packed_ir import pack_ir, unpack_ir
from oneglance.models.training import quantization
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.float_layers import Kept
from oneglance.models.training.quantization import Quantised, import_nncf, quantize
from oneglance.models.zoo import resolve_model
from oneglance.streams import open_stream
from oneglance.streams.errors import DataError, ModelError, UsageError
from oneglance.streams.rendered.dataset import write_dataset
from present import present

MODEL = "road4-n-416"
ANYTHING = Gate(map_loss=1, f1_loss=1, confidence_shift=1)
NOTHING = Gate(map_loss=-1, f1_loss=-1, confidence_shift=-1)


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set, 12 images to calibrate with and 4 for the gate."""
    folder = tmp_path_factory.mktemp("drives") / "drives"
    return write_dataset(folder, frames=16, seed=3, val_share=0.25)


@pytest.fixture(scope="module")
def quantised(drives: Path) -> Quantised:
    with open_stream("rendered:?frames=4&seed=5") as stream:
        images = [frame.image for frame in stream]
    text = drives.read_text()
    assert "path: ." in text
    # A set is named by its file, if that has a name of its own.
    named = drives.parent.parent / "rain.yaml"
    named.write_text(text.replace("path: .", "path: drives"))
    datasets = [read_dataset(named)]
    return quantize(resolve_model(MODEL), datasets, images=images, gate=ANYTHING)


@pytest.fixture
def file(quantised: Quantised, tmp_path: Path) -> Path:
    path = tmp_path / "small.zip"
    path.write_bytes(quantised.content)
    return path


def test_it_is_one_small_file_that_describes_itself_and_finds_the_same(
    quantised: Quantised, file: Path
) -> None:
    assert len(quantised.content) < 4_000_000
    detector = Detector.load(file, engine="openvino", precision="int8")  # proves itself here
    original = Detector.load(MODEL)
    assert (detector.engine, detector.precision) == ("openvino", "int8")
    assert detector.classes == original.classes
    before, after = (d.metadata for d in (original, detector))
    assert after.size == before.size
    assert len(after.reference_frames) == len(before.reference_frames) > 0
    how = after.training["quantization"]
    assert how["calibration"]["frames"] == 16
    assert how["gate"]["rows"] == [row.as_dict() for row in quantised.rows]
    assert how["gate"]["passed"] is True
    assert gate_problem(after) == ""
    assert {row.set_name for row in quantised.rows} == {"rain"}
    assert {row.task.value for row in quantised.rows} >= {"car", "sign"}
    assert (quantised.kept, quantised.refused) == (Kept.HEAD, ())
    assert how["float"] == "the detection head"
    with open_stream("rendered:?frames=61&seed=2") as stream:
        *_, frame = stream
    found, expected = detector(frame.image), original(frame.image)
    sure = int((present(expected.confidence) > 0.5).sum())
    assert sure >= 4
    for box, cls in zip(expected.xyxy[:sure], expected.data["task"][:sure], strict=True):
        near = abs(found.xyxy - box).max(axis=1) < 12
        assert cls in found.data["task"][near]


def test_biases_are_constants_that_can_be_corrected() -> None:
    model = quantization._read(resolve_model(MODEL))
    biases = [
        operator.input(1).get_source_output().get_node().get_type_name()
        for operator in model.get_ops()
        if operator.get_type_name() == "Add"
        and operator.input(0).get_source_output().get_node().get_type_name() == "Convolution"
    ]
    assert len(biases) > 50
    assert set(biases) == {"Constant"}


def test_nothing_is_rounded_between_a_convolution_and_its_silu(quantised: Quantised) -> None:
    model = import_openvino().Core().read_model(*unpack_ir(quantised.content, "small.zip"))
    silu = [op for op in model.get_ops() if op.get_type_name() == "Swish"]
    assert len(silu) > 50
    fed_by = {op.input(0).get_source_output().get_node().get_type_name() for op in silu}
    assert fed_by == {"Add"}  # the convolution's bias


def test_the_detection_head_stays_in_float(quantised: Quantised) -> None:
    model = import_openvino().Core().read_model(*unpack_ir(quantised.content, "small.zip"))
    rounded = [op for op in model.get_ops() if op.get_type_name() == "FakeQuantize"]
    assert len(rounded) > 50
    fed = [
        target.get_node().get_friendly_name()
        for op in rounded
        for target in op.output(0).get_target_inputs()
        if target.get_node().get_type_name() == "Convolution"
    ]
    assert len(fed) > 20
    assert not [name for name in fed if name.startswith("/model.23/")]


def test_one_whose_scales_are_wrong_does_not_pass_the_self_check(
    quantised: Quantised, tmp_path: Path
) -> None:
    openvino = import_openvino()
    model = openvino.Core().read_model(*unpack_ir(quantised.content, "small.zip"))
    rounded = [op for op in model.get_ops() if op.get_type_name() == "FakeQuantize"]
    for op in rounded[len(rounded) // 2 :]:
        for side in (1, 2):  # the range that is kept: a quarter of what it should be
            bound = op.input(side).get_source_output()
            quarter = openvino.opset13.multiply(
                bound, openvino.opset13.constant(np.array([0.25], np.float32))
            )
            op.input(side).replace_source_output(quarter.output(0))
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    wrong = tmp_path / "wrong.zip"
    parts = (tmp_path / name for name in ("model.xml", "model.bin"))
    wrong.write_bytes(pack_ir(*(part.read_bytes() for part in parts)))
    with pytest.raises(ModelError, match="engine openvino in int8 computes something else"):
        Detector.load(wrong, engine="openvino", precision="int8")


@pytest.mark.timeout(900)  # three models are quantised, and each is scored
def test_what_the_gate_refuses_is_not_written_and_the_command_shows_why(
    drives: Path, tmp_path: Path, oneglance: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the three tries is shown, with more in float each time."""
    monkeypatch.setattr(quantization, "Gate", lambda: NOTHING)
    out = tmp_path / "new" / "small.zip"
    outcome = oneglance("quantize", MODEL, "--data", drives, "--frames", "8", "--out", out)
    assert outcome.code == 2
    assert "less in float, road4-n-416 does not pass the accuracy gate (drives " in outcome.message
    shown = [line for line in outcome.out.splitlines() if " in float: " in line]
    assert shown == [f"{each} in float: does not pass the accuracy gate" for each in Kept]
    assert "mAP50-95" in outcome.out
    assert " → " in outcome.out
    assert "%" not in outcome.out  # no progress of others where nobody looks
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--out", "small.onnx"), "--out ends in .zip"),
        (("--out", "small.zip", "--engine", "onnxruntime"), "slower than fp32"),
        (("--out", "small.zip", "--data", "absent.yaml"), "absent.yaml"),
        (("--out", f"{__file__}/new/small.zip"), "is not a folder"),
    ],
)
def test_what_the_command_cannot_do_is_a_sentence(
    drives: Path, oneglance: Callable[..., Any], words: tuple[str, ...], sentence: str
) -> None:
    outcome = oneglance("quantize", MODEL, "--data", drives, *words)
    assert outcome.code == 2
    assert sentence in outcome.message


def subset(drives: Path, folder: Path, text: str) -> Dataset:
    """The drawn set described otherwise."""
    file = folder / "data.yaml"
    file.write_text(text.replace("HERE", str(drives.parent)))
    return read_dataset(file)


def test_sets_that_cannot_serve_are_refused_before_anything_is_calibrated(
    drives: Path, tmp_path: Path
) -> None:
    model = resolve_model(MODEL)
    with pytest.raises(UsageError, match="give a data set"):
        quantize(model, [])
    with pytest.raises(DataError, match="8 are the least"):
        quantize(model, [read_dataset(drives)], frames=2)
    names = "names: {0: tree}\nlabels: []\n"
    with pytest.raises((DataError, UsageError)):
        quantize(model, [subset(drives, tmp_path, "path: HERE\ntrain: images/train\n" + names)])
    one_split = "path: HERE\ntrain: images/train\nnames: {0: pedestrian, 1: car, 2: sign, 3: light}"
    with pytest.raises(DataError, match="has no 'val:' entry"):
        quantize(model, [subset(drives, tmp_path, one_split)])
    boxless = write_dataset(tmp_path / "boxless", frames=16, seed=3, size=(96, 64))
    for labels in (boxless.parent / "labels" / "val").iterdir():
        labels.write_text("")
    with pytest.raises(DataError, match="the accuracy gate has nothing to compare"):
        quantize(model, [read_dataset(boxless)])


def test_a_quantised_model_is_not_quantised_again_nor_one_without_a_known_head(
    file: Path, model: Path, drives: Path
) -> None:
    with pytest.raises(UsageError, match="is quantised already: give the float model"):
        quantize(file, [read_dataset(drives)])
    with pytest.raises(ModelError, match="which of its layers are the detection head"):
        quantize(model, [read_dataset(drives)])


def test_it_reports_to_nobody(tmp_path: Path) -> None:
    program = (
        "import sys; from oneglance.models.training.quantization import import_nncf; "
        "nncf = import_nncf(); from nncf.telemetry import telemetry; "
        "assert type(telemetry).__name__ != 'NNCFTelemetry', telemetry"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"HOME": str(tmp_path), "PATH": ""}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert import_nncf().__version__
