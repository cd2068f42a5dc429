"""Disks that fill up under every command that writes: a sentence, nothing that is not whole, and
room is all that the next try takes. Trainings: see ``test_training_stops``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from media import make_video
from program import Outcome, Program

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("onnxslim", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.fit.heads import from_scratch
from oneglance.streams.rendered.dataset import write_dataset

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves

KB = 1024


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a base, and a clip."""
    folder = tmp_path_factory.mktemp("made")
    write_dataset(folder / "set", frames=8, seed=5, size=(96, 64))
    torch.manual_seed(0)
    base = {"model": from_scratch(FOUR_TASKS).as_ultralytics().half(), "train_args": {}}
    torch.save(base, folder / "base.pt")
    make_video(folder / "clip.mp4", frames=60, size=(320, 240))
    return folder


def fill(disk: Path, *, leave: int) -> Path:
    """Leave so many bytes on the disk; returns what fills it."""
    found = os.statvfs(disk)
    filler = disk.parent / "disk" / "filler"
    filler.write_bytes(bytes(found.f_bavail * found.f_frsize - leave))
    return filler


def is_reported(outcome: Outcome) -> bool:
    words = outcome.err.strip().splitlines()[-1]
    assert "Traceback" not in outcome.err
    return outcome.code == 2 and words.startswith("error: ") and "the disk is full" in words


COMMANDS: dict[str, tuple[int, Callable[[Path, Path], list[object]]]] = {
    "export": (
        300 * KB,
        lambda made, out: ["export", made / "base.pt", "--out", out / "a.onnx", "--size", "96x64"],
    ),
    "render": (60 * KB, lambda made, out: ["render", "--out", out / "set", "--frames", "12"]),
    "video": (8 * KB, lambda made, out: ["run", made / "clip.mp4", "--video", out / "a.mp4"]),
    "json lines": (
        4 * KB,
        lambda made, out: ["run", made / "clip.mp4", "--jsonl", out / "a.jsonl"],
    ),
    "summary": (0, lambda made, out: ["run", made / "clip.mp4", "--json-summary", out / "a.json"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_a_sentence_and_leaves_nothing_that_looks_whole(
    name: str, made: Path, small_disk: Path, oneglance: Program
) -> None:
    leave, words = COMMANDS[name]
    filler = fill(small_disk, leave=leave)
    outcome = oneglance(*words(made, small_disk))
    assert is_reported(outcome), outcome.err
    left = {entry.name for entry in small_disk.iterdir()} - {"filler"}
    assert left <= {"set", "a.mp4", "a.jsonl"}, left
    filler.unlink()
    again = oneglance(*words(made, small_disk))
    assert again.code == 0, again.err


@pytest.mark.slow
def test_a_study_and_an_average_go_on_where_there_is_room_again(
    made: Path, small_disk: Path, tmp_path: Path, oneglance: Program
) -> None:
    data, base, run = made / "set" / "data.yaml", made / "base.pt", tmp_path / "run"
    words = ["train", data, "--base", base, "--out", run, "--size", "96x64", "--epochs", "1"]
    assert oneglance(*words, "--learning-rate", "0.001").code == 0
    tries: list[list[object]] = [
        ["average", run, run, "--out", small_disk / "mean"],
        [
            *("study", data, "--base", base, "--out", small_disk / "study", "--size", "96x64"),
            *("--epochs", "1", "--seeds", "0", "--questions", "2", "--seconds-per-image", "1"),
        ],
    ]
    filler = fill(small_disk, leave=200 * KB)
    for line in tries:
        outcome = oneglance(*line)
        assert is_reported(outcome), outcome.err
    assert not list(small_disk.rglob("*.pt"))
    filler.unlink()
    again = oneglance(*tries[0])
    assert again.code == 0, again.err
    assert (small_disk / "mean" / "model.pt").is_file()
