"""Damage that can be repeated, and a process that dies or hangs is seen."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzz import __main__ as fuzz
from benchmarks.fuzz.mutations import BINARY, TEXT, mutate
from benchmarks.fuzz.seeds import Seed, write_data_set

SEEDS = [
    Seed("media", "a.mp4", bytes(range(256)) * 20),
    Seed("data", "data.yaml", b"path: .\ntrain: images/train\n", text=True),
    Seed("labels", "labels.txt", b"0 0.5 0.5 0.1 0.1\n", text=True),
    Seed("model", "m.onnx", b"\x08\x07" * 3000),
]


@pytest.fixture
def opener() -> Iterator[fuzz.Opener]:
    found = fuzz.Opener()
    yield found
    found.close()


@pytest.mark.parametrize("content", [b"", b"x", bytes(5000), b"a: b\nc: [d]\n" * 9])
@pytest.mark.parametrize("text", [False, True])
def test_damage_always_changes_something_and_can_be_repeated(content: bytes, text: bool) -> None:
    for seed in range(50):
        damaged = mutate(content, random.Random(seed), text=text)
        assert damaged != content
        assert damaged == mutate(content, random.Random(seed), text=text)


@pytest.mark.parametrize("kind", [*BINARY, *set(TEXT)], ids=lambda kind: kind.__name__)
def test_every_kind_of_damage_takes_any_bytes(kind: object) -> None:
    for content in (b"", b"\x00", b"\n", b"one line", bytes(range(256)) * 40):
        for seed in range(20):
            assert callable(kind)
            assert isinstance(kind(content, random.Random(seed)), bytes)


def test_a_case_depends_on_the_seed_and_its_number_alone() -> None:
    few, many = (list(fuzz.cases(SEEDS, count=count, seed=3)) for count in (8, 40))
    assert few == many[:8]
    assert {seed.door for _, seed, _ in few} == {"media", "data", "labels", "model"}
    assert few != list(fuzz.cases(SEEDS, count=8, seed=4))


def test_a_process_that_dies_is_a_crash_and_the_next_input_is_opened(
    opener: fuzz.Opener, tmp_path: Path
) -> None:
    file = write_data_set(tmp_path / "set")
    assert opener.open("data", file).kind == "played"
    process = opener._process
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert opener.open("data", file).kind == "crash"
    assert opener.open("data", file).kind == "played"


def test_a_process_that_says_nothing_is_a_hang(
    opener: fuzz.Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_data_set(tmp_path / "set")
    opener.open("data", file)
    assert opener._process.pid is not None
    os.kill(opener._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(fuzz, "HANG_S", 0.2)
    assert opener.open("data", file).kind == "hang"


def test_what_is_no_error_of_ours_is_a_finding(opener: fuzz.Opener, tmp_path: Path) -> None:
    outcome = opener.open("no such door", tmp_path)
    assert outcome.kind == "traceback"
    assert "KeyError" in outcome.words
    assert opener.open("media", tmp_path / "nothing.mp4").kind == "refused"


def test_the_command_tells_its_counts_and_keeps_a_case(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--seed", "5"]
    root = Path(__file__).resolve().parents[3]
    kept = tmp_path / "case.bin"
    done = subprocess.run(
        [*command, "--only", "1", "--keep", str(kept), "--out", str(tmp_path / "out")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 inputs, 0 findings" in done.stdout
    assert kept.is_file()
    assert (tmp_path / "out" / "fuzz.json").is_file()


def test_an_output_that_cannot_be_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["fuzz", "--out", str(tmp_path / "file"), "--count", "1"])
    monkeypatch.setattr(fuzz, "all_seeds", None)
    with pytest.raises(SystemExit) as ended:
        fuzz.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'file'}")
