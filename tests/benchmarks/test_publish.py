"""What is published is of one model, at whatever moment the program is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'train' extra")

from benchmarks import publish
from oneglance.streams.errors import SinkError
from oneglance.streams.files.lock import FolderLock

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("road9.md", "road9.onnx", "zoo.json")

# python -c PROGRAM FOLDER CHANGES: killed before it changes the folder once more.
PROGRAM = """
import os, sys
from pathlib import Path
from benchmarks.publish import put

zoo, left = sys.argv[1], int(sys.argv[2])

def changed(event, args):
    global left
    names = [os.fsdecode(each) for each in args if isinstance(each, (str, bytes))]
    is_change = event in {"os.rename", "os.mkdir", "os.rmdir", "os.remove"} or (
        event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
    )
    if is_change and any(name.startswith(zoo) for name in names):
        if left == 0:
            os.kill(os.getpid(), 9)
        left -= 1

sys.addaudithook(changed)
put(Path(zoo), {name: b"new" for name in ("road9.onnx", "road9.md", "zoo.json")})
"""


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    folder = tmp_path / "zoo"
    folder.mkdir()
    for name in (*NAMES, "other.onnx"):
        (folder / name).write_bytes(b"old")
    return folder


def killed_after(changes: int, zoo: Path) -> bool:
    command = [sys.executable, "-c", PROGRAM, str(zoo), str(changes)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode == -9


def found_in(zoo: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in zoo.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_kill_at_any_change_leaves_the_old_or_what_the_next_start_makes_the_new(
    tmp_path: Path, zoo: Path
) -> None:
    before, seen = found_in(zoo), set()
    for changes in range(100):
        for name, content in before.items():
            (zoo / name).write_bytes(content)
        was_killed = killed_after(changes, zoo)
        publish.finish(zoo)
        after = found_in(zoo)
        assert after.keys() == before.keys()
        assert after.pop("other.onnx") == b"old"
        (content,) = set(after.values())
        seen.add(content)
        if not was_killed:
            break
    assert changes > 10
    assert content == b"new"
    assert seen == {b"old", b"new"}


def test_what_another_run_publishes_is_left_to_it(zoo: Path) -> None:
    pytest.importorskip("fcntl", reason="no locks on this system")
    lock = FolderLock()
    lock.take(zoo)
    before = found_in(zoo)
    with pytest.raises(SinkError, match="writes to it; wait for it"):
        publish.put(zoo, {"zoo.json": b"new"})
    assert found_in(zoo) == before
