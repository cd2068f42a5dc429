"""Files that outputs are written to: whole, or an error that says what to do."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from oneglance.perception.sinks.files import check_writable, open_output
from oneglance.streams import SinkError
from oneglance.streams.outputs import write_whole
from present import present


def test_what_a_file_held_is_gone_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")
    with open_output(path, keep=True) as kept:
        assert kept.read() == b"before"
    assert path.read_text() == "before"
    open_output(path).close()
    assert path.read_text() == ""


def test_a_folder_that_is_not_there_is_reported_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"there is no folder .*missing; create it first"):
        open_output(tmp_path / "missing" / "out.jsonl")


def test_a_folder_in_the_place_of_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="it is a folder; name a file in it"):
        open_output(tmp_path)


def test_whether_a_file_can_be_written_is_seen_without_touching_another_run_s(
    tmp_path: Path,
) -> None:
    path, over = tmp_path / "out.jsonl", threading.Event()

    def check() -> None:
        while not over.is_set():
            with suppress(SinkError):  # while the other has it
                check_writable(path)

    checking = threading.Thread(target=check)
    checking.start()
    try:
        for _ in range(300):
            open_output(path).close()
            assert path.exists()
            path.unlink()
    finally:
        over.set()
        checking.join()
    assert list(tmp_path.iterdir()) == []


HELD = """
import sys
from pathlib import Path
from oneglance.perception.sinks.files import open_output
file = open_output(Path(sys.argv[1]))
file.write(b"mine")
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks otherwise")
def test_a_file_that_another_process_writes_to_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert present(other.stdout).readline() == b"\n"
        for take in (check_writable, open_output):
            with pytest.raises(SinkError, match="another run writes to it"):
                take(path)
        assert path.read_bytes() == b"mine"
        present(other.stdin).close()
    open_output(path).close()
    assert path.read_bytes() == b""


class Slow(io.FileIO):
    """A file that takes three bytes at a time, as a pipe may."""

    def write(self, data: object) -> int:
        return super().write(bytes(data)[:3])  # type: ignore[call-overload]


def test_a_write_that_stops_half_way_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    with Slow(path, "w") as file:
        write_whole(file, b"0123456789")
    assert path.read_bytes() == b"0123456789"


@pytest.mark.skipif(not hasattr(os, "set_blocking"), reason="needs a pipe that does not block")
def test_a_full_pipe_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = os.urandom(300_000)  # more than a pipe holds
    got: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as end:  # noqa: PTH123 - a pipe has no path
            got.append(end.read())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with io.FileIO(writing, "w") as file:
        write_whole(file, data)
    reader.join(10)
    assert got == [data]
