"""The real arms on a real clip, a few frames each: equal work, and answers of the right form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.options import Options, check, parser
from benchmarks.parts import live, loop
from benchmarks.parts.throughput import OURS, TUTORIAL, arms, bare_arms
from benchmarks.processes import ArmFailed, run_arm
from oneglance.models.cpus import available_cpus
from oneglance.streams import ModelError, SourceNotFound, UsageError

FRAMES, WARMUP = 4, 1


def _asked(clip: Path, *words: str) -> Options:
    arguments = parser(None, rounds=1, frames=FRAMES)
    arguments.set_defaults(warmup=WARMUP)
    return check(arguments.parse_args(["--clip", str(clip), *words]))


def test_our_command_and_the_tutorial_find_the_same_boxes(drive: Path) -> None:
    chosen = {arm.name: arm for arm in arms(_asked(drive))}
    ours, tutorial = run_arm(chosen[OURS]), run_arm(chosen[TUTORIAL])
    assert ours["boxes"] == tutorial["boxes"] > 0
    assert len(ours["intervals_ms"]) == len(tutorial["intervals_ms"]) == FRAMES
    assert ours["peak_mb"] > 50  # the command's own, not that of the process that times it


def test_a_bare_arm_times_every_inference(drive: Path) -> None:
    answer = run_arm(bare_arms(_asked(drive))[-1])
    assert len(answer["intervals_ms"]) == FRAMES
    assert min(answer["intervals_ms"]) >= 0
    assert (answer["sessions"], answer["threads"]) == (available_cpus(), 1)


def test_single_calls_of_sinks_are_timed_each(drive: Path) -> None:
    answer = run_arm(replace(loop.SINGLE_CALLS, arguments=("--clip", "none", "--frames", "5")))
    assert [len(answer[name]) for name in loop.CALLS] == [5, 5]
    assert min(*answer["draw_ms"], *answer["line_ms"]) > 0


def test_a_clip_that_ends_early_fails_its_arm_and_says_so(drive: Path) -> None:
    asked = _asked(drive, "--warmup", "20")
    with pytest.raises(ArmFailed, match="ended after 8 frames; 22 are needed"):
        run_arm({arm.name: arm for arm in arms(asked)}[TUTORIAL])


def test_every_frame_of_an_overloaded_source_is_a_result_or_a_counted_drop(drive: Path) -> None:
    answer = run_arm(live._arm(_asked(drive), 150.0, 1.0))
    assert answer["dropped"] > 0
    assert live.uncounted(answer) == 0
    assert min(answer["ages_ms"]) > 0


def test_a_missing_clip_model_or_number_ends_in_one_sentence(drive: Path) -> None:
    with pytest.raises(SourceNotFound, match="name a video with --clip"):
        _asked(Path("/nowhere.mp4"))
    with pytest.raises(ModelError, match="no model named"):
        _asked(drive, "--model", "road5")
    with pytest.raises(UsageError, match="--frames must be at least 1"):
        _asked(drive, "--frames", "0")
