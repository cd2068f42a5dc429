"""One network against four: equal work in every arrangement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="cuts ONNX graphs")

from benchmarks.options import Options, check, parser
from benchmarks.parts import one_vs_four
from benchmarks.parts.derived_models import cut_all
from benchmarks.processes import Answer, Arm, run_arm
from benchmarks.report.results import Part
from oneglance.models import Task
from oneglance.streams import ModelError


@pytest.fixture(scope="module")
def asked(drive: Path) -> Options:
    arguments = parser(None, rounds=1, frames=2)
    return check(arguments.parse_args(["--clip", str(drive), "--warmup", "1"]))


@pytest.fixture(scope="module")
def one(asked: Options) -> Answer:
    return run_arm(one_vs_four.arm(asked, [asked.model], "sequence", "tuned"))


@pytest.fixture(scope="module")
def four(asked: Options, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(cut_all(asked.model, tmp_path_factory.mktemp("four")).values())


@pytest.mark.parametrize("how", one_vs_four.HOWS)
def test_four_networks_find_what_one_finds_however_they_run(
    asked: Options, one: Answer, four: list[Path], how: str
) -> None:
    found = run_arm(one_vs_four.arm(asked, four, how, "tuned"))
    assert found["boxes"] == one["boxes"] > 0
    assert len(found["ms"]["frame"]) == 2
    stages = sum(found["ms"][stage][0] for stage in one_vs_four.STAGES)
    assert stages == pytest.approx(found["ms"]["frame"][0], rel=0.05)
    assert found["first_s"] > 0
    assert found["pss_mb"] > one["pss_mb"] > 0


def test_a_missing_or_wrong_single_task_model_is_named(asked: Options, tmp_path: Path) -> None:
    given = replace(asked, four={Task.SIGN: tmp_path / "sign-n.onnx"})
    with pytest.raises(ModelError, match=r"no single-task model .*sign-n\.onnx"):
        one_vs_four.trained(given, Task.SIGN)
    (tmp_path / "sign-n.onnx").write_bytes(asked.model.read_bytes())
    with pytest.raises(ModelError, match="is no model of sign alone"):
        one_vs_four.trained(given, Task.SIGN)


def test_memory_is_set_beside_the_quickest_four_and_beside_those_that_hold_least() -> None:
    part = Part(part="one_vs_four", title="One", timer="a frame")
    answers: dict[str, list[Answer]] = {
        name: [{"ms": {"frame": [ms] * 3}, "pss_mb": held, "pss_before_mb": 100.0}] * 2
        for name, ms, held in (
            ("one_sequence_tuned", 30.0, 200.0),
            ("four_processes_tuned", 100.0, 800.0),
            ("four_threads_tuned", 101.0, 400.0),
        )
    }
    arms = [Arm(name, name, "none") for name in answers]
    one_vs_four._claims(part, arms, answers)
    found = {claim.name: claim.value for claim in part.claims}
    assert found["one_vs_four.latency"] == pytest.approx(0.3)
    assert found["one_vs_four.pss_mb"] == pytest.approx(0.25)
    assert found["one_vs_four.frugal_pss_mb"] == pytest.approx(0.5)
    assert found["one_vs_four.frugal_pss_growth"] == pytest.approx(1 / 3)


def test_with_frames_side_by_side_four_networks_find_what_one_finds(
    asked: Options, four: list[Path]
) -> None:
    one, all_four = (
        run_arm(one_vs_four.abreast(asked, models)) for models in ([asked.model], four)
    )
    assert one["boxes"] == all_four["boxes"] > 0
    assert len(one["intervals_ms"]) == asked.frames


def test_with_frames_side_by_side_one_network_is_held_to_the_time_of_four() -> None:
    part = Part(part="one_vs_four", title="One", timer="a frame")
    arms = [Arm(name, name, "none") for name in ("one", "four")]
    answers: dict[str, list[Answer]] = {
        "one": [{"intervals_ms": [9.0, 11.0], "cpu_ms": 20.0}] * 2,
        "four": [{"intervals_ms": [40.0, 40.0], "cpu_ms": 80.0}] * 2,
    }
    one_vs_four._rates(part, arms, answers)
    (claim,) = part.claims
    assert claim.value == pytest.approx(0.25)
    assert claim.met
    # Figures that end so are settings, with a stage each; see ``report.plots``.
    assert not [figure.name for figure in part.figures if figure.name.endswith(".frame")]
    assert part.tables[0].rows[0] == ("one", "10.00", "100.0", "20.0")
    one_vs_four._rates(part, arms, {"one": answers["one"]})  # the other is a hole
    assert len(part.claims) == 1
