"""What a training goes on from: whole, two of them, and never run."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.training.running.states import FORMAT, LAST, PREVIOUS, TrainingStates
from oneglance.streams.errors import ModelError, SinkError

pytestmark = pytest.mark.filterwarnings("ignore")


def state(epoch: int) -> dict[str, Any]:
    weights = {"layer.weight": torch.full((64, 64), float(epoch))}
    return {
        "epoch": epoch,
        "model": weights,
        "ema": weights,
        "updates": epoch,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]},
        "scaler": {},
    }


@pytest.fixture
def states(tmp_path: Path) -> TrainingStates:
    made = TrainingStates(tmp_path / "weights")
    made.claim()
    return made


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_the_last_two_states_are_kept(states: TrainingStates, tmp_path: Path) -> None:
    assert states.newest() is None
    for epoch in range(3):
        states.keep(state(epoch))
    found = states.newest()
    assert found is not None
    assert found["epoch"] == 2
    assert torch.equal(found["ema"]["layer.weight"], state(2)["ema"]["layer.weight"])
    (tmp_path / "weights" / LAST).unlink()
    before = states.newest()
    assert before is not None
    assert before["epoch"] == 1
    assert states.any


@pytest.mark.parametrize("damage", ["cut", "emptied", "a flipped bit", "text", "another's"])
def test_a_damaged_state_is_reported_and_the_one_before_taken(
    states: TrainingStates, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    for epoch in range(2):
        states.keep(state(epoch))
    last = tmp_path / "weights" / LAST
    content = bytearray(last.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "emptied":
        content.clear()
    elif damage == "a flipped bit":
        content[len(content) // 2] ^= 1
    elif damage == "text":
        content[:] = b"hello"
    if damage == "another's":
        torch.save({"epoch": 7}, last)
    else:
        last.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        found = states.newest()
    assert found is not None
    assert found["epoch"] == 0
    assert "last.pt is damaged: the training goes on from previous.pt, after epoch 1" in caplog.text
    (tmp_path / "weights" / PREVIOUS).unlink()
    assert states.newest() is None
    assert "starts anew" in caplog.text


@pytest.mark.parametrize("name", [LAST, PREVIOUS])
def test_code_in_a_state_is_refused_and_never_run(
    states: TrainingStates, tmp_path: Path, name: str
) -> None:
    states.keep(state(0))
    mark, file = tmp_path / "executed", tmp_path / "weights" / name
    (tmp_path / "weights" / LAST).unlink()
    torch.save({"format": FORMAT, **state(1), "more": Trap(mark)}, file)
    with pytest.raises(ModelError, match=rf"{name} is not a training state.*posix.system; refused"):
        states.newest()
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists()  # the trap was a trap


def test_a_folder_of_other_states_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    torch.save({"epoch": 3}, tmp_path / "weights" / LAST)
    for act in ("check", "claim"):
        with pytest.raises(SinkError, match=r"did not make \(last.pt\)"):
            getattr(TrainingStates(tmp_path / "weights"), act)()


def test_a_state_that_cannot_be_written_leaves_those_before(
    states: TrainingStates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in range(2):
        states.keep(state(epoch))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SinkError, match="the disk is full"):
            states.keep(state(2))
    assert {entry.name for entry in (tmp_path / "weights").iterdir()} == {
        *(LAST, PREVIOUS),
        *(".oneglance.json", ".oneglance.made"),
    }
    found = states.newest()
    assert found is not None
    assert found["epoch"] == 1
