"""The regression check: what is worse, and what is only noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import compare, results
from benchmarks.report.results import Part

PartMaker = Callable[..., Part]


def noisy(level: float, seed: int, *, rounds: int = 5) -> list[list[float]]:
    """Rounds of one sample, 3 % around ``level``."""
    return [[level * f] for f in np.random.default_rng(seed).normal(1, 0.03, rounds)]


@pytest.mark.parametrize(
    ("after", "verdict"), [(20.0, "same"), (19.9, "same"), (15.0, "worse"), (26.0, "better")]
)
def test_a_rate_that_falls_beyond_noise_is_worse(
    part: PartMaker, after: float, verdict: str
) -> None:
    (change,) = compare.compare(part(noisy(20.0, 1)), part(noisy(after, 2)))
    assert change.verdict == verdict


def test_a_change_within_wide_noise_is_not_called_one(part: PartMaker) -> None:
    before = [[10.0], [20.0], [30.0], [15.0], [25.0]]
    after = [[12.0], [18.0], [27.0], [14.0], [24.0]]
    (change,) = compare.compare(part(before), part(after))
    assert change.verdict == "same"


def test_latency_that_rises_is_worse(part: PartMaker) -> None:
    def timed(ms: float) -> Part:
        made = Part(part="one_vs_four", title="t", timer="t")
        made.add("one.frame", "one", noisy(ms, 3), unit="ms", better="lower")
        return made

    assert compare.compare(timed(20.0), timed(25.0))[0].verdict == "worse"
    assert compare.compare(timed(25.0), timed(20.0))[0].verdict == "better"


def test_a_single_sample_must_change_twice_as_much(part: PartMaker) -> None:
    assert compare.compare(part([[20.0]]), part([[18.5]]))[0].verdict == "same"
    assert compare.compare(part([[20.0]]), part([[17.0]]))[0].verdict == "worse"


@pytest.mark.parametrize(("after", "code"), [(20.0, 0), (15.0, 1)])
def test_the_command_names_what_got_worse_and_fails(
    part: PartMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    after: float,
    code: int,
) -> None:
    before = results.write(part(noisy(20.0, 1)), tmp_path / "before")
    results.write(part(noisy(after, 1), device="another machine"), tmp_path / "after")
    new = tmp_path / "after" / before.name
    monkeypatch.setattr("sys.argv", ["compare.py", str(before), str(new)])
    with pytest.raises(SystemExit) as caught:
        compare.main()
    printed = capsys.readouterr().out
    assert caught.value.code == code
    assert ("throughput.oneglance_run.fps" in printed) == (code == 1)
    assert "device: a machine, 2 CPUs before, another machine after" in printed


def test_two_results_without_a_common_part_are_refused(
    part: PartMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = results.write(part(), tmp_path)
    after = results.write(Part(part="live", title="l", timer="t"), tmp_path)
    monkeypatch.setattr("sys.argv", ["compare.py", str(before), str(after)])
    with pytest.raises(SystemExit) as caught:
        compare.main()
    assert caught.value.code == 2
    assert "no part in common" in capsys.readouterr().err
