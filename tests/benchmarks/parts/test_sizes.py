"""What is made of the arms' answers, and the clips themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from benchmarks.parts import sizes
from benchmarks.processes import Measured
from benchmarks.report.results import NONE, Part
from media import index_of
from oneglance.streams import open_stream

CLIP = sizes.Clip("4K", "H.265")


@pytest.fixture
def part() -> Part:
    return Part(part="sizes", title="Large frames", timer="CPU time")


def measured(**changes: Any) -> Measured:
    """Decoding 10 ms, inference 30, inputs 1 and 4; 40 frames a second; two rounds."""
    costs = {"decode": 10.0, "infer": 30.0, "planes": 1.0, "image": 4.0}
    answers: dict[str, Any] = {how: [{"cpu_ms": [ms] * 5}] * 2 for how, ms in costs.items()}
    answers["run"] = [{"intervals_ms": [25.0] * 5, "cpu_ms": 43.0}] * 2
    return Measured({f"{CLIP.name}.{k}": v for k, v in (answers | changes).items() if v})


def test_the_loop_is_held_to_what_decoding_and_inference_leave_of_the_cpus(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "available_cpus", lambda: 2)
    row = sizes._row(part, CLIP, measured())
    cells = ("10.00", "1.00", "4.00", "30.00", "43.00", "40.0", "0.20", "0.60", "0.80")
    assert row == ("4K H.265", *cells)
    claims = {claim.name: claim for claim in part.claims}
    assert claims["sizes.4k_h265.of_cpus"].value == pytest.approx(40 / (2 * 1000 / 40))
    assert claims["sizes.4k_h265.of_cpus"].met is False
    assert claims["sizes.4k_h265.around"].value == pytest.approx(0.1)
    assert claims["sizes.4k_h265.around"].met is None
    assert claims["sizes.4k_h265.planes"].value == pytest.approx(0.25)


@pytest.mark.parametrize(("all_ms", "met"), [(41.0, True), (42.0, False)])
def test_what_is_around_inference_is_held_to_a_share_of_it_at_540p(
    part: Part, all_ms: float, met: bool
) -> None:
    small = sizes.Clip("540p", "H.264")
    found = measured(run=[{"intervals_ms": [25.0] * 5, "cpu_ms": all_ms}] * 2)
    answers = {k.replace(CLIP.name, small.name): v for k, v in found.answers.items()}
    sizes._row(part, small, Measured(answers))
    claims = {claim.name: claim for claim in part.claims}
    assert claims["sizes.540p_h264.around"].met is met


def test_without_the_cpu_time_of_the_run_nothing_is_said_of_it(part: Part) -> None:
    row = sizes._row(part, CLIP, measured(run=[{"intervals_ms": [25.0] * 5, "cpu_ms": None}] * 2))
    assert row[5] == NONE
    assert "sizes.4k_h265.around" not in {claim.name for claim in part.claims}


def test_an_arm_that_failed_is_a_dash_and_claims_nothing(part: Part) -> None:
    row = sizes._row(part, CLIP, measured(infer=None, image=None))
    assert row == ("4K H.265", "10.00", "1.00", NONE, NONE, "43.00", "40.0", NONE, NONE, NONE)
    assert part.claims == []


def test_each_clip_has_arms_of_its_own_name() -> None:
    names = [clip.name for clip in sizes.CLIPS]
    assert len(set(names)) == len(sizes.SIZES) * len(sizes.CODECS)


@pytest.mark.parametrize("codec", sizes.CODECS)
def test_a_clip_is_the_given_one_scaled_and_repeated(
    video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setitem(sizes.SIZES, "540p", (160, 96))
    file = tmp_path / "made.mp4"
    sizes.make_clip(str(video("a.mp4", frames=5)), file, sizes.Clip("540p", codec), frames=8)
    found = list(open_stream(file))
    assert [frame.size for frame in found] == [(160, 96)] * 8
    assert [index_of(frame.image) for frame in found] == [0, 1, 2, 3, 4, 0, 1, 2]
    with av.open(str(file)) as container:
        coded = container.streams.video[0].codec_context.name
    assert coded == {"H.264": "h264", "H.265": "hevc"}[codec]
