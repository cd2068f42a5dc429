"""Arms in processes of their own: real ones, small."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.processes import Arm, ArmFailed, measure, run_arm
from waiting import LONG_S

ArmMaker = Callable[..., Arm]


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArmMaker:
    """``arm("print(1)")``: an arm that runs this code, which knows ``measuring``."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(code: str, *, name: str = "a", **how: object) -> Arm:
        known = "import sys\nfrom benchmarks.arms import measuring"
        (tmp_path / f"arm_{name}.py").write_text(f"{known}\n{code}\n")
        return Arm(name, f"arm {name}", f"arm_{name}", **how)  # type: ignore[arg-type]

    return make


def test_an_arm_answers_through_whatever_else_is_printed(arm: ArmMaker) -> None:
    answer = run_arm(arm("print('hello'); measuring.answer(fps=3); print('bye')"))
    assert answer["fps"] == 3
    assert answer["peak_mb"] > 1
    assert answer["cpu_s"] > 0


def test_an_arm_knows_how_long_ago_it_was_asked_for(arm: ArmMaker) -> None:
    began = time.monotonic()
    answer = run_arm(arm("measuring.answer(first=measuring.since_started_s())"))
    assert 0 < answer["first"] <= time.monotonic() - began


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux restricts CPUs")
def test_an_arm_may_use_as_many_cpus_as_it_was_given_and_we_keep_ours(arm: ArmMaker) -> None:
    before = os.sched_getaffinity(0)
    code = "import os; measuring.answer(cpus=len(os.sched_getaffinity(0)))"
    assert run_arm(arm(code, cpus=1))["cpus"] == 1
    assert os.sched_getaffinity(0) == before


def test_a_failing_arm_says_its_last_words(arm: ArmMaker) -> None:
    with pytest.raises(ArmFailed, match="ValueError: no such model"):
        run_arm(arm("raise ValueError('no such model')"))
    with pytest.raises(ArmFailed, match="no answer"):
        run_arm(arm("print('nothing')"))


def test_an_arm_that_hangs_is_ended(arm: ArmMaker) -> None:
    began = time.monotonic()
    with pytest.raises(ArmFailed, match=r"more than 0\.5 s"):
        run_arm(arm("import time; time.sleep(600)", timeout_s=0.5))  # what hanging is
    assert time.monotonic() - began < 2 * LONG_S


def test_a_peer_that_is_not_installed_is_a_failure_with_a_remedy(arm: ArmMaker) -> None:
    with pytest.raises(ArmFailed, match="README"):
        run_arm(arm("", python=Path("/nowhere/python")))


def test_arms_take_turns_and_a_failed_one_is_a_hole_not_the_end(
    arm: ArmMaker, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    note = f"open({str(log)!r}, 'a').write(sys.argv[0][-4]); measuring.answer()"
    broken = arm("sys.exit('it broke')", name="b")
    found = measure([arm(note, name="a"), broken, arm(note, name="c")], rounds=2)
    assert log.read_text() == "acac"
    assert {name: len(answers) for name, answers in found.answers.items()} == {"a": 2, "c": 2}
    assert found.holes == ["arm b: not measured: it broke"]
