"""Two trees side by side: how they are laid out, and what is made of the arms' answers."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path
from typing import Any

import pytest

from benchmarks import against
from benchmarks.against import BEFORE, NOW
from benchmarks.options import Options
from benchmarks.processes import Measured
from benchmarks.report.results import Part
from oneglance.streams import open_stream
from oneglance.streams.errors import SourceUnreadable, UsageError

PROJECT = """
[project.scripts]
oneglance = "oneglance.streams.shown:main"
[tool.setuptools.package-dir]
"oneglance.streams" = "{place}"
"oneglance.streams.files" = "{place}/files"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A program of one package that says where it lies."""
    package = tmp_path / "tree" / "streams"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "shown.py").write_text("def main():\n    print(__file__)\n    return 3\n")
    (tmp_path / "tree" / "pyproject.toml").write_text(PROJECT.format(place="streams"))
    return tmp_path / "tree"


@pytest.fixture
def part() -> Part:
    return Part(part="against", title="against", timer="CPU time")


def asked() -> Options:
    return Options(
        model=Path("m.onnx"),
        clip="a.mp4",
        out=Path("out"),
        rounds=2,
        frames=180,
        warmup=20,
        seconds=1.0,
        peers_python=Path("p"),
        roboflow_python=Path("r"),
        four=None,
        weights=None,
        data=(),
    )


def answers(which: str, *, fps: float, frame_s: float, start_s: float) -> dict[str, Any]:
    """Two rounds of a run of 200 frames and of a start of two."""
    start = {"cpu_s": start_s + 2 * frame_s, "frames": 2, "first_s": start_s, "peak_mb": 200.0}
    run = {
        "cpu_s": start_s + 200 * frame_s,
        "frames": 200,
        "intervals_ms": [1000 / fps] * 180,
        "peak_mb": 250.0,
    }
    live = {"ages_ms": [10.0] * 5}
    arms = {"run": run, "start": start, "live": live}
    return {f"{which}.onnxruntime.{name}": [answer] * 2 for name, answer in arms.items()}


def test_a_tree_is_what_runs_and_not_what_is_installed(tree: Path, tmp_path: Path) -> None:
    command = against.lay_out(tree, tmp_path / "laid")
    run = subprocess.run([command], capture_output=True, text=True, check=False)
    assert run.returncode == 3, run.stderr
    assert Path(run.stdout.strip()).resolve() == tree / "streams" / "shown.py"
    assert list((tree / "streams" / "__pycache__").iterdir())


def test_a_tree_that_another_would_run_in_place_of_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "pyproject.toml").write_text(PROJECT.format(place="gone"))
    with pytest.raises(UsageError, match="would run in place of"):
        against.lay_out(tree, tmp_path / "laid")


def test_a_commit_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot check out no-such-commit"):
        against.check_out("no-such-commit", tmp_path)


def test_starts_and_frames_are_separated_and_held_to_their_goals(part: Part) -> None:
    measured = Measured(
        answers(BEFORE, fps=80, frame_s=0.024, start_s=1.0)
        | answers(NOW, fps=84, frame_s=0.023, start_s=1.5)
    )
    rows = {row[0]: row for row in against.compare(part, measured, "onnxruntime")}
    claims = {claim.label.removeprefix("onnxruntime: "): claim for claim in part.claims}
    assert claims["rate"].value == pytest.approx(84 / 80)
    assert claims["rate"].met is True
    assert claims["CPU time a frame"].value == pytest.approx(23 / 24)
    assert claims["CPU time a frame"].met is True
    assert claims["time to the first frame"].value == pytest.approx(1.5)
    assert claims["time to the first frame"].met is None
    assert claims["CPU time of the run"].value == pytest.approx((1.5 + 4.6) / (1.0 + 4.8))
    assert claims["CPU time of the run"].met is False
    assert rows["onnxruntime: CPU time of the run"][-1] == "**no**"
    assert claims["age, live"].value == 1


def test_an_engine_whose_arm_failed_has_no_rows(part: Part) -> None:
    found = answers(BEFORE, fps=80, frame_s=0.024, start_s=1.0)
    assert against.compare(part, Measured(found), "onnxruntime") == []
    assert part.claims == []


def test_each_arm_runs_its_own_tree_and_both_take_the_same_turns() -> None:
    commands = {BEFORE: Path("b/command"), NOW: Path("n/command")}
    arms = against.arms(asked(), commands, ["onnxruntime", "openvino"], Path("longer.mp4"))
    assert len({arm.name for arm in arms}) == len(arms) == 10
    for arm in arms:
        which, _, _ = arm.name.partition(".")
        assert str(commands[which]) in arm.arguments
    ours, theirs = (
        [arm.name.partition(".")[2] for arm in arms if arm.name.startswith(which)]
        for which in (BEFORE, NOW)
    )
    assert ours == theirs


def test_a_rate_is_that_of_the_clip_several_times_over(tmp_path: Path, drive: Path) -> None:
    longer = tmp_path / "longer.mp4"
    against.lengthen(str(drive), longer, times=3)
    with open_stream(drive) as once:
        frames = [(frame.image.tobytes(), frame.timestamp_s) for frame in once]
    with open_stream(longer) as stream:
        found = [(frame.image.tobytes(), frame.timestamp_s) for frame in stream]
    assert [image for image, _ in found] == [image for image, _ in frames] * 3
    times_s = [time_s for _, time_s in found]
    assert times_s == sorted(set(times_s))


def test_a_sound_has_no_rate(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    with pytest.raises(SourceUnreadable, match="no video"):
        against.lengthen(str(sound), tmp_path / "longer.mp4", times=2)
