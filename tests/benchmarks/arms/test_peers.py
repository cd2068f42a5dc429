"""The arms in OpenVINO: the precision asked for, and the same work as in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="cuts ONNX graphs")

from benchmarks.options import Options, check, parser
from benchmarks.parts import one_vs_four
from benchmarks.parts.derived_models import cut_all
from benchmarks.parts.throughput import OURS, OURS_IN_OPENVINO, arms
from benchmarks.processes import run_arm
from oneglance.streams import UsageError

pytestmark = pytest.mark.usefixtures("openvino")


def _asked(clip: Path, *words: str) -> Options:
    arguments = parser(None, rounds=1, frames=2)
    return check(arguments.parse_args(["--clip", str(clip), "--warmup", "1", *words]))


def test_our_command_finds_the_same_boxes_in_either_engine(drive: Path) -> None:
    chosen = {arm.name: arm for arm in arms(_asked(drive))}
    reference, ours = run_arm(chosen[OURS]), run_arm(chosen[OURS_IN_OPENVINO["fp32"]])
    assert ours["boxes"] == reference["boxes"] > 0
    assert (ours["engine"], ours["precision"]) == ("openvino", "fp32")
    assert (reference["engine"], reference["precision"]) == ("onnxruntime", "fp32")


def test_one_and_four_are_both_run_by_the_engine_asked_for(drive: Path, tmp_path: Path) -> None:
    asked = _asked(drive, "--engine", "openvino")
    four = list(cut_all(asked.model, tmp_path).values())
    one = run_arm(one_vs_four.arm(asked, [asked.model], "sequence", "tuned"))
    threads = run_arm(one_vs_four.arm(asked, four, "threads", "tuned"))
    assert threads["boxes"] == one["boxes"] > 0
    assert one["engine"] == threads["engine"] == "openvino"


def test_what_one_engine_did_is_not_written_over_what_another_did(drive: Path) -> None:
    default, bf16 = _asked(drive), _asked(drive, "--engine", "openvino", "--precision", "bf16")
    assert bf16.out.name == f"{default.out.name}-openvino-bf16"
    with pytest.raises(UsageError, match="does not compute in bf16"):
        _asked(drive, "--precision", "bf16")
