"""One table of what was timed and what was scored, of the same files or not at all."""

from __future__ import annotations

from benchmarks.report import side_by_side
from benchmarks.report.intervals import Interval
from benchmarks.report.results import Part


def _parts(*, scored_sha: str = "aa") -> dict[str, Part]:
    facts = {"precision": "float", "input size": "416x256", "model bytes": 9_700_000}
    timed = Part(part="one_vs_four", title="Timed", timer="a frame")
    timed.facts = {**facts, "model sha256": "aa", "model bytes of the four": 38_800_000}
    for name, ms in (("one_sequence_tuned", 20.0), ("four_threads_tuned", 80.0)):
        timed.add(f"{name}.frame", name, [[ms]], unit="ms")
    timed.add("four_sequence_tuned.frame", "slower", [[90.0]], unit="ms")
    timed.add("one_sequence_tuned.pss_mb", "memory", [[150.0]], unit="MB")
    timed.claim("latency", "latency", Interval(0.25, 0.24, 0.26), at_most=0.3)
    scored = Part(part="accuracy", title="Scored", timer="nothing")
    scored.facts = {**facts, "model sha256": scored_sha, "data": "road"}
    for many, value in (("one", 0.5), ("four", 0.52)):
        scored.add(f"{many}.car.map50_95", many, [[value]], unit="mAP", better="higher")
    scored.claim("car", "car", Interval(-0.02, -0.04, 0.01), unit="mAP")
    return {"one_vs_four": timed, "accuracy": scored}


def test_latency_and_accuracy_of_the_same_files_stand_on_one_line() -> None:
    table = side_by_side.table(_parts())
    assert table is not None
    dash = "—"
    assert table.rows == (
        ("one_sequence_tuned", "20.0", "150", "9.7", dash, "0.500", dash, dash),
        ("four_threads_tuned", "80.0", dash, "38.8", dash, "0.520", dash, dash),
        (
            *("one over four; accuracy: one - four", "0.250× [0.240 to 0.260]", dash, dash),
            *(dash, "-0.020 [-0.040 to +0.010]", dash, dash),
        ),
    )
    assert "416x256" in table.note


def test_other_files_than_were_timed_are_not_set_beside_them() -> None:
    assert side_by_side.table(_parts(scored_sha="bb")) is None
    parts = _parts()
    parts["accuracy"].facts["engine of all"] = "openvino bf16"
    assert side_by_side.table(parts) is None
    assert side_by_side.table({"one_vs_four": _parts()["one_vs_four"]}) is None
