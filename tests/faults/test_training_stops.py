"""Trainings that are killed, run out of disk, or find traps: nothing broken is trusted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("onnxslim", reason="needs the 'train' extra")

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.heads import from_scratch
from oneglance.streams.rendered.dataset import write_dataset
from program import COMMAND, Program, start
from waiting import LONG_S, wait_until

pytestmark = pytest.mark.filterwarnings("default")  # ultralytics and torch warn of themselves


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "set", frames=8, seed=5, size=(96, 64))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("base") / "base.pt"
    torch.save({"model": from_scratch(FOUR_TASKS).as_ultralytics().half(), "train_args": {}}, file)
    return file


def train(data: Path, base: Path, out: Path, *, epochs: int = 3) -> list[object]:
    return [
        *("train", data, "--base", base, "--out", out, "--size", "96x64"),
        *("--epochs", epochs, "--learning-rate", "0.001"),
    ]


def weights(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_checkpoint(out / "model.pt").state_dict()
    return found


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: happened() or process.poll() is not None, within_s=2 * LONG_S)


KILLS = int(os.environ.get("ONEGLANCE_KILLS", "2"))
"""How many moments the training is killed at; more are a matter of patience."""


@pytest.mark.slow
@pytest.mark.timeout(120 + 120 * KILLS)
def test_a_training_killed_at_any_moment_ends_as_one_that_was_not(
    data: Path, base: Path, tmp_path: Path, oneglance: Program
) -> None:
    whole = oneglance(*train(data, base, tmp_path / "whole"))
    assert whole.code == 0, whole.err
    expected = weights(tmp_path / "whole")
    begun = weights_of(base)
    moments = random.Random(20)
    for number in range(KILLS):
        out = tmp_path / f"killed{number}"
        state, epochs = out / "weights" / "last.pt", moments.randrange(3)
        process = start(*train(data, base, out), stdout=-3, stderr=-3)

        def reached(out: Path = out, state: Path = state, epochs: int = epochs) -> bool:
            """So many epochs are noted; then some bytes into the next thing that is done."""
            table = out / "results.csv"
            done = len(table.read_text().splitlines()) - 1 if table.is_file() else 0
            return done >= epochs and out.is_dir()

        wait_for(reached, process)
        time.sleep(moments.random() * 0.2)  # any moment of what comes next
        process.send_signal(signal.SIGKILL)
        process.wait()
        resumed = oneglance(*train(data, base, out))
        assert resumed.code == 0, resumed.err
        found = weights(out)
        moved = sum((expected[k].float() - begun[k].float()).abs().sum() for k in begun)
        apart = sum((expected[k].float() - found[k].float()).abs().sum() for k in begun)
        assert apart < 0.01 * moved, (number, float(apart), float(moved))
        lines = (out / "results.csv").read_text().splitlines()[1:]
        assert [line.partition(",")[0] for line in lines] == ["1", "2", "3"]


def weights_of(base: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_checkpoint(base).state_dict()
    return {k: v for k, v in found.items() if k.endswith("weight")}


def test_weights_that_are_not_whole_are_made_again(
    data: Path, base: Path, tmp_path: Path, oneglance: Program
) -> None:
    command = train(data, base, tmp_path, epochs=1)
    assert oneglance(*command).code == 0
    model = tmp_path / "model.pt"
    content = model.read_bytes()
    for broken in (content[: len(content) // 2], content[:-9] + b"\0" * 9, b""):
        model.write_bytes(broken)
        again = oneglance(*command)
        assert again.code == 0, again.err
        assert f"trained: {model}" in again.out
        assert read_checkpoint(model).names[3] == "light"
    stamp = model.stat().st_mtime_ns
    assert oneglance(*command).code == 0
    assert model.stat().st_mtime_ns == stamp


def test_data_that_changed_are_not_trained_already(
    base: Path, tmp_path: Path, oneglance: Program
) -> None:
    data = write_dataset(tmp_path / "set", frames=8, seed=5, size=(96, 64))
    command = train(data, base, tmp_path / "out", epochs=1)
    assert oneglance(*command).code == 0
    data.write_text(
        data.read_text().replace("0: pedestrian", "0: car").replace("1: car", "1: pedestrian")
    )
    changed = oneglance(*command)
    assert changed.code == 2
    assert "made another way (different data): give another --out" in changed.message


def test_data_that_were_moved_are_trained_already(
    base: Path, tmp_path: Path, oneglance: Program
) -> None:
    data = write_dataset(tmp_path / "set", frames=8, seed=5, size=(96, 64))
    assert oneglance(*train(data, base, tmp_path / "out", epochs=1)).code == 0
    stamp = (tmp_path / "out" / "model.pt").stat().st_mtime_ns
    data.parent.rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / "data.yaml"
    assert oneglance(*train(moved, base, tmp_path / "out", epochs=1)).code == 0
    assert (tmp_path / "out" / "model.pt").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("name", ["recipe.json", "model.pt"])
def test_a_damaged_file_of_a_run_is_a_sentence_for_whoever_reads_it(
    name: str, data: Path, base: Path, tmp_path: Path, oneglance: Program
) -> None:
    run = tmp_path / "run"
    assert oneglance(*train(data, base, run, epochs=1)).code == 0
    (run / name).write_text("{ not")
    words: dict[str, list[object]] = {
        "export": ["export", run / "model.pt", "--out", tmp_path / "a.onnx", "--size", "96x64"],
        "average": ["average", run, run, "--out", tmp_path / "mean"],
        "base": train(data, run / "model.pt", tmp_path / "next", epochs=1),
    }
    if name == "recipe.json":
        words["train"] = train(data, base, run, epochs=1)
    for command, line in words.items():
        outcome = oneglance(*line)
        assert outcome.code == 2, (command, outcome.err)
        assert str(run / name) in outcome.message
    assert not (tmp_path / "a.onnx").exists()


def grow(disk: Path) -> None:
    command = ["mount", "-o", "remount,size=300m", str(disk)]
    subprocess.run(command, check=True, capture_output=True)


def test_a_full_disk_is_a_sentence_and_room_is_all_it_takes(
    small_disk: Path, data: Path, base: Path, oneglance: Program
) -> None:
    out = small_disk / "out"
    first = oneglance(*train(data, base, out, epochs=1))
    assert first.code == 2, first.err
    assert "the disk is full" in first.err.splitlines()[-1]
    assert "Traceback" not in first.err
    assert not (out / "model.pt").exists()
    grow(small_disk)
    second = oneglance(*train(data, base, out, epochs=1))
    assert second.code == 0, second.err
    assert read_checkpoint(out / "model.pt").names[3] == "light"


def test_room_for_the_state_and_not_for_the_weights_is_no_training_done(
    small_disk: Path, data: Path, base: Path, oneglance: Program
) -> None:
    out = small_disk / "out"
    grow(small_disk)
    assert oneglance(*train(data, base, out, epochs=1)).code == 0
    size = (out / "model.pt").stat().st_size
    (out / "model.pt").unlink()
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(b"x" * (free - size // 2))
    for _ in range(2):
        outcome = oneglance(*train(data, base, out, epochs=1))
        assert outcome.code == 2, outcome.err
        assert "model.pt: the disk is full" in outcome.message
        assert not (out / "model.pt").exists()
    (small_disk / "filler").unlink()
    assert oneglance(*train(data, base, out, epochs=1)).code == 0
    assert read_checkpoint(out / "model.pt").names[3] == "light"


def test_a_file_size_limit_is_a_sentence(data: Path, base: Path, tmp_path: Path) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20));"
        "from oneglance.perception.cli.main import main; main()"
    )
    words = [str(word) for word in train(data, base, tmp_path / "out", epochs=1)]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=110,
    )
    assert done.returncode == 2, done.stderr
    assert "it has grown to the largest size a file may have here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "model.pt").exists()


def traps(folder: Path, base: Path, mark: Path) -> Path:
    """A run's folder whose weights run code when they are unpickled."""
    folder.mkdir()
    content = torch.load(base, weights_only=False)
    torch.save({**content, "date": Trap(mark)}, folder / "model.pt")
    (folder / "recipe.json").write_text(json.dumps({"run": {"data": []}}))
    return folder / "model.pt"


READERS: dict[str, Callable[[Path, Path, Path], list[object]]] = {
    "train": lambda trap, data, out: train(data, trap, out, epochs=1),
    "distil": lambda trap, data, out: [
        *train(data, trap, out, epochs=1),
        *("--unlabelled", "distill"),
    ],
    "alpha": lambda trap, data, out: [*train(data, trap, out, epochs=1), "--alpha", "0.5"],
    "export": lambda trap, data, out: ["export", trap, "--out", out.with_suffix(".onnx")],
    "average": lambda trap, data, out: ["average", trap.parent, trap.parent, "--out", out],
    "study": lambda trap, data, out: ["study", data, "--base", trap, "--out", out],
    "eval": lambda trap, data, out: ["eval", trap, data],
    "run": lambda trap, data, out: ["run", "rendered:?frames=2", "--model", trap],
}


@pytest.mark.parametrize("command", READERS)
def test_code_in_weights_is_never_run(
    command: str, data: Path, base: Path, tmp_path: Path, oneglance: Program
) -> None:
    mark = tmp_path / "executed"
    trap = traps(tmp_path / "given", base, mark)
    outcome = oneglance(*READERS[command](trap, data, tmp_path / "out"))
    assert outcome.code == 2, outcome.err
    assert outcome.message
    assert not mark.exists()
    assert not (tmp_path / "out").exists()
    torch.load(trap, weights_only=False)
    assert mark.exists()  # the trap was a trap


def test_code_in_the_state_of_a_training_is_never_run(
    data: Path, base: Path, tmp_path: Path, oneglance: Program
) -> None:
    out, mark = tmp_path / "out", tmp_path / "executed"
    assert oneglance(*train(data, base, out, epochs=1)).code == 0
    state = torch.load(out / "weights" / "last.pt", weights_only=True)
    torch.save({**state, "date": Trap(mark)}, out / "weights" / "last.pt")
    (out / "model.pt").unlink()
    outcome = oneglance(*train(data, base, out, epochs=1))
    assert outcome.code == 2, outcome.err
    assert "last.pt is not a training state: loading it would run" in outcome.message
    assert not mark.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("output", [">&-", "> /dev/full", ">&- 2>&-"])
def test_a_closed_or_full_standard_output_does_not_decide_a_training(
    data: Path, base: Path, tmp_path: Path, output: str
) -> None:
    words = [*COMMAND, *map(str, train(data, base, tmp_path / "out", epochs=1))]
    shell = ["sh", "-c", f'exec "$@" {output}', "sh", *words]
    assert subprocess.run(shell, check=False, timeout=LONG_S * 4).returncode == 0
    assert weights(tmp_path / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_folder_whose_name_is_no_utf8_is_refused_at_once(
    oneglance: Program, data: Path, base: Path, tmp_path: Path
) -> None:
    run = oneglance(*train(data, base, tmp_path / os.fsdecode(b"caf\xe9")))
    assert run.code == 2
    assert "its name is no UTF-8" in run.message
    assert list(tmp_path.iterdir()) == []
