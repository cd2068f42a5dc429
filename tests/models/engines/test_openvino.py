"""The OpenVINO engine: the same answers, in the precision asked for, and no word to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from oneglance.models import Detector
from oneglance.models.engines.openvino import check_bf16, import_openvino
from oneglance.streams import UsageError, open_stream
from present import present

CONFIDENCE = 0.05

pytestmark = pytest.mark.usefixtures("openvino")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    with open_stream("rendered:?frames=61&seed=5") as stream:
        return [frame.image for frame in stream][::20]


@pytest.fixture(scope="module")
def reference(images: list[np.ndarray]) -> list[sv.Detections]:
    """What ONNX Runtime sees."""
    detector = Detector.load("road4-n", confidence=CONFIDENCE, threads=1)
    return [detector(image) for image in images]


def has_bf16() -> bool:
    core = import_openvino().Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def partners(found: sv.Detections, others: sv.Detections) -> list[tuple[int, int]]:
    """Each box of ``found`` with the box of the same task that overlaps it most: where a subclass
    is hardly sure enough, the one has it and the other not."""
    overlap = sv.box_iou_batch(found.xyxy, others.xyxy)
    overlap *= np.array(found.data["task"])[:, None] == np.array(others.data["task"])[None, :]
    return [(i, int(row.argmax())) for i, row in enumerate(overlap) if row.max() > 0.5]


def test_in_fp32_it_sees_what_onnx_runtime_sees(
    images: list[np.ndarray], reference: list[sv.Detections]
) -> None:
    detector = Detector.load("road4-n", confidence=CONFIDENCE, threads=1, engine="openvino")
    assert (detector.engine, detector.precision) == ("openvino", "fp32")
    for image, known in zip(images, reference, strict=True):
        found = detector(image)
        assert present(found.class_id).tolist() == present(known.class_id).tolist()
        np.testing.assert_allclose(found.xyxy, known.xyxy, atol=0.05)
        np.testing.assert_allclose(present(found.confidence), present(known.confidence), atol=1e-3)
    assert sum(map(len, reference)) > 12


def test_in_bf16_it_sees_nearly_the_same_or_says_that_the_cpu_cannot(
    images: list[np.ndarray], reference: list[sv.Detections]
) -> None:
    def load() -> Detector:
        return Detector.load(
            *("road4-n",), confidence=CONFIDENCE, threads=1, engine="openvino", precision="bf16"
        )

    if not has_bf16():
        with pytest.raises(UsageError, match="has no native bf16"):
            load()
        return
    detector = load()
    assert detector.precision == "bf16"
    differences = []
    for image, known in zip(images, reference, strict=True):
        found, sure = detector(image), known[present(known.confidence) > 0.25]
        assert isinstance(sure, sv.Detections)
        pairs = partners(sure, found)
        assert len(pairs) == len(sure) > 0  # nothing that is clearly there is lost
        for mine, other in pairs:
            differences.append(np.abs(sure.xyxy[mine] - found.xyxy[other]).max())
            assert abs(present(sure.confidence)[mine] - present(found.confidence)[other]) < 0.06
    assert 1e-3 < max(differences) < 2  # pixels of 1280×720; equal boxes were not made in bf16


def test_a_cpu_without_bf16_is_named() -> None:
    check_bf16(["FP32", "BF16"], cpu="new")
    with pytest.raises(UsageError, match=r"this CPU \(old\) has no native bf16"):
        check_bf16(["FP32", "INT8"], cpu="old ")


def test_threads_are_shared_out_among_as_many_inferences_as_they_leave_room_for() -> None:
    engine = Detector.load("road4-n", engine="openvino", threads=1)._engine
    compiled = engine._compiled  # type: ignore[attr-defined]
    from oneglance.models.cpus import available_cpus

    assert compiled.get_property("NUM_STREAMS") == available_cpus()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == available_cpus()
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=os.sep,
        env={**os.environ, **environment},
    )


def test_who_wants_openvinos_own_reports_still_has_them() -> None:
    program = """
import sys
from oneglance.models.engines.openvino import import_openvino
import_openvino()
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
import openvino_telemetry
"""
    done = python(program)
    assert done.returncode == 0, done.stderr


def test_without_openvino_there_is_one_sentence_that_says_how_to_get_it() -> None:
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "openvino":
            raise ModuleNotFoundError("No module named 'openvino'", name=name)
sys.meta_path.insert(0, Absent())
from oneglance.perception.cli.main import main
sys.argv = ["oneglance", "run", "--engine", "openvino", "--max-frames", "1"]
main()
"""
    done = python(program)
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "error: the engine openvino cannot be imported (No module named 'openvino'): "
        "pip install 'oneglance[openvino]' (from a clone: pip install '.[openvino]')\n"
    )


def test_an_openvino_that_cannot_be_loaded_is_reported_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so: no such file')")
    program = "from oneglance.models.engines.openvino import import_openvino; import_openvino()"
    done = python(program, PYTHONPATH=str(tmp_path))
    assert "UsageError: the engine openvino cannot be imported (libtbb.so" in done.stderr
