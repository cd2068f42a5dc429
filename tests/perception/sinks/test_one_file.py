"""An output has its file alone: no other one shares it, and that it was removed is noticed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.result import Result
from oneglance.perception.sinks.video import VideoSink
from oneglance.streams import SinkError

NEEDS = {"mcap": "mcap", "rerun": "rerun", "parquet": "pyarrow"}
FILES = ["jsonl:out", "csv:out", "coco:out", "video:out.mp4", "mcap:out.mcap", "rerun:out.rrd"]
EVERY = [*FILES, "parquet:out"]
WRITTEN = [each for each in FILES if not each.startswith("coco")]
CAR = ("car", 0.5, (1.0, 2.0, 3.0, 4.0), 7)
KEPT_OPEN = pytest.mark.skipif(sys.platform == "win32", reason="what is open stays on Windows")
WRITES = "another output of this program writes to it"


def opened(text: str) -> Sink:
    needed = NEEDS.get(text.partition(":")[0])
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    return SinkChoice.parse(text).open(SinkContext())


def same(sink: str) -> str:
    return sink


def symlink(sink: str) -> str:
    name = sink.partition(":")[2]
    os.symlink(name, f"link-{name}")  # noqa: PTH211 - what is there is a name in text
    return sink.replace(":", ":link-")


def hard_link(sink: str) -> str:
    name = sink.partition(":")[2]
    if not Path(name).exists():
        pytest.skip("there is no file before its end")
    os.link(name, f"hard-{name}")
    return sink.replace(":", ":hard-")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("way", [same, symlink, hard_link])
@pytest.mark.parametrize("sink", FILES)
def test_a_second_output_on_a_file_is_refused_and_the_first_is_whole(
    sink: str, way: Callable[[str], str], result: Callable[..., Result]
) -> None:
    first = opened(sink)
    first.write(result(0.0))
    again = way(sink)
    file = Path(sink.partition(":")[2])
    before = file.read_bytes() if file.exists() else None
    with pytest.raises(SinkError, match=WRITES):
        opened(again)
    assert (file.read_bytes() if file.exists() else None) == before
    first.write(result(0.04, index=1))
    first.close()
    assert file.stat().st_size > 0
    opened(again).close()


@pytest.mark.parametrize(("one", "other"), [("coco:out", "jsonl:out"), ("csv:out", "coco:out")])
def test_outputs_of_different_kinds_do_not_share_a_file_either(one: str, other: str) -> None:
    first = opened(one)
    with pytest.raises(SinkError, match=WRITES):
        opened(other)
    first.close()
    opened(other).close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks otherwise")
def test_an_output_that_was_refused_leaves_the_first_one_locked_against_other_programs(
    tmp_path: Path,
) -> None:
    first = opened("jsonl:out")
    with pytest.raises(SinkError, match=WRITES):
        opened("jsonl:out")
    words = "from oneglance.perception import JsonLinesSink; JsonLinesSink('out')"
    other = subprocess.run(
        [sys.executable, "-c", words], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert "another run writes to it" in other.stderr
    first.close()


def run_of_another_program(sink: str) -> str:
    """What is said there when ``sink`` is opened and closed."""
    words = (
        "import sys; from oneglance.perception.plugins import SinkChoice, SinkContext;"
        "SinkChoice.parse(sys.argv[1]).open(SinkContext()).close()"
    )
    command = [sys.executable, "-c", words, sink]
    return subprocess.run(command, check=False, capture_output=True, text=True).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks otherwise")
@pytest.mark.parametrize("way", [same, symlink, hard_link])
@pytest.mark.parametrize("kept", ["", "older"])
@pytest.mark.parametrize("other", ["coco:out", "jsonl:out"])
def test_a_file_that_is_written_at_the_end_is_kept_from_other_programs_until_then(
    other: str, kept: str, way: Callable[[str], str], result: Callable[..., Result]
) -> None:
    if kept:
        Path("out").write_text(kept)
    first = opened("coco:out")
    first.write(result(0.0, found=[CAR]))
    assert "another run writes to it" in run_of_another_program(way(other))
    assert not Path("out").exists() or Path("out").read_text() == kept
    first.close()
    assert json.loads(Path("out").read_bytes())["annotations"]
    assert run_of_another_program(other) == ""
    assert [file for file in os.listdir() if file.startswith(".oneglance")] == []  # noqa: PTH208


@pytest.fixture
def here_and_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """What goes into one of two folders; the program is in ``here``."""

    def go(name: str) -> None:
        monkeypatch.chdir(tmp_path / name)

    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    go("here")
    return go


@pytest.mark.parametrize("other", ["coco:out", "jsonl:out"])
def test_a_file_is_the_one_that_was_meant_when_the_output_was_opened(
    other: str,
    here_and_there: Callable[[str], None],
    tmp_path: Path,
    result: Callable[..., Result],
) -> None:
    first = opened("coco:out")
    first.write(result(0.0, found=[CAR]))
    here_and_there("there")
    second = opened(other)
    first.close()
    assert json.loads((tmp_path / "here" / "out").read_bytes())["annotations"]
    second.close()
    assert os.listdir() == ["out"]  # noqa: PTH208


@pytest.mark.parametrize("moves", [0, 1, 2])
@pytest.mark.parametrize("sink", EVERY)
def test_a_program_that_goes_to_another_folder_writes_where_it_was_to(
    sink: str,
    moves: int,
    here_and_there: Callable[[str], None],
    tmp_path: Path,
    result: Callable[..., Result],
) -> None:
    output = opened(sink)
    for index in range(3):
        if index == moves:
            here_and_there("there")
        if index < 2:
            output.write(result(0.04 * index, index=index, found=[CAR]))
    output.close()
    out = tmp_path / "here" / sink.partition(":")[2]
    assert out.stat().st_size > 0
    assert out.is_file() or list(out.glob("*.parquet"))
    assert os.listdir() == []  # noqa: PTH208


def test_a_video_without_frames_leaves_nothing_wherever_the_program_is(
    here_and_there: Callable[[str], None], tmp_path: Path
) -> None:
    sink = opened("video:out.mp4")
    here_and_there("there")
    sink.close()
    assert list((tmp_path / "here").iterdir()) == []


@contextmanager
def largest_file(largest_bytes: int) -> Iterator[None]:
    resource = pytest.importorskip("resource", reason="needs a system with limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("sink", ["jsonl:out", "csv:out", "rerun:out.rrd"])
def test_a_disk_that_fills_up_is_said_of_the_file_that_was_meant(
    sink: str,
    here_and_there: Callable[[str], None],
    tmp_path: Path,
    result: Callable[..., Result],
) -> None:
    output, name = opened(sink), sink.partition(":")[2]
    here_and_there("there")
    theirs = tmp_path / "there" / name
    theirs.write_text("theirs")
    before = theirs.stat().st_mtime_ns

    def go_on() -> None:
        for index in range(100):
            output.write(result(0.04 * index, index=index, found=[CAR]))

    with largest_file(1000), pytest.raises(SinkError, match=f"cannot write {name}"):
        go_on()
    output.close()
    assert (theirs.read_text(), theirs.stat().st_mtime_ns) == ("theirs", before)
    if name == "out":  # lines, of which none is cut
        assert (tmp_path / "here" / name).read_bytes().endswith(b"\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks otherwise")
@pytest.mark.parametrize("other", ["coco:out", "jsonl:out"])
def test_what_a_killed_run_was_to_write_is_anybodys(other: str) -> None:
    words = (
        "import os; from pathlib import Path;"
        "from oneglance.perception.sinks.files import Promised; kept = Promised(Path('out'));"
        "print(os.listdir(), flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", words], check=False, stdout=subprocess.PIPE)
    assert b".oneglance-" in killed.stdout
    sink = opened(other)
    sink.close()
    assert os.listdir() == ["out"]  # noqa: PTH208


def dangling(sink: str) -> str:
    """A folder by another name, where there is none yet."""
    Path("link").symlink_to("out")
    return sink.replace(":out", ":link")


@pytest.mark.parametrize(
    ("folder", "way"),
    [("parquet:out", same), ("parquet:out/below/it", same), ("parquet:out", dangling)],
)
@pytest.mark.parametrize("by", ["this program", "another"])
def test_no_folder_takes_the_name_of_a_file_that_is_written_at_the_end(
    by: str, folder: str, way: Callable[[str], str], result: Callable[..., Result]
) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra batch")
    if by == "another" and sys.platform == "win32":
        pytest.skip("Windows locks otherwise")
    first = opened("coco:out")
    first.write(result(0.0, found=[CAR]))
    second = way(folder)
    if by == "another":
        assert "another run writes to it" in run_of_another_program(second)
    else:
        with pytest.raises(SinkError, match=WRITES):
            opened(second)
    assert not Path("out").exists()
    first.close()
    assert json.loads(Path("out").read_bytes())["annotations"]


@pytest.mark.parametrize("by", ["this program", "another"])
def test_nobody_fills_a_folder_that_a_file_is_to_be_written_in(
    by: str, result: Callable[..., Result]
) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra batch")
    if by == "another" and sys.platform == "win32":
        pytest.skip("Windows locks otherwise")
    opened("parquet:out").close()  # which another run may clear
    first = opened("coco:out/seen.json")
    first.write(result(0.0, found=[CAR]))
    if by == "another":
        assert "another run writes to it" in run_of_another_program("parquet:out")
    else:
        with pytest.raises(SinkError, match=WRITES):
            opened("parquet:out")
    first.close()
    assert json.loads(Path("out/seen.json").read_bytes())["annotations"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_that_ends_leaves_the_file_to_who_is_to_write_it() -> None:
    words = (
        "import os, subprocess, sys; from pathlib import Path;"
        "from oneglance.perception.sinks.files import Promised; kept = Promised(Path('out'));"
        "child = os.fork();"
        "child or sys.exit();"
        "os.waitpid(child, 0);"
        "sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1], 'jsonl:out']).returncode)"
    )
    other = (
        "import sys; from oneglance.perception.plugins import SinkChoice, SinkContext;"
        "SinkChoice.parse(sys.argv[1]).open(SinkContext())"
    )
    command = [sys.executable, "-c", words, other]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "another run writes to it" in done.stderr
    opened("jsonl:out").close()


def test_devices_are_anybodys() -> None:
    sinks = [opened(f"{name}:{os.devnull}") for name in ("coco", "jsonl", "csv", "jsonl", "coco")]
    for sink in sinks:
        sink.close()


def test_two_tables_in_one_folder_are_refused_and_the_first_is_whole(
    result: Callable[..., Result],
) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra batch")
    first = opened("parquet:out")
    first.write(result(0.0, found=[CAR]))
    for name in ("out", "./out/", "link"):
        if name == "link":
            Path("link").symlink_to("out")
        with pytest.raises(SinkError, match="another part of this program writes to it"):
            opened(f"parquet:{name}")
    first.close()
    assert pq.read_table("out").num_rows == 1
    opened("parquet:out").close()


@KEPT_OPEN
@pytest.mark.parametrize("text", WRITTEN)
def test_an_output_that_was_removed_is_an_error_once(
    text: str, result: Callable[..., Result]
) -> None:
    sink, file = opened(text), Path(text.partition(":")[2])
    sink.write(result(0.0, found=[CAR]))
    file.unlink()

    def go_on() -> None:
        for index in range(1, 100):
            sink.write(result(index / 25, index=index, found=[CAR]))

    with pytest.raises(SinkError, match=f"^{file} was removed while it was written"):
        go_on()
    sink.close()


@KEPT_OPEN
@pytest.mark.parametrize("text", WRITTEN)
def test_one_that_was_removed_after_its_last_result_is_an_error_too(
    text: str, result: Callable[..., Result]
) -> None:
    sink, file = opened(text), Path(text.partition(":")[2])
    sink.write(result(0.0))
    file.unlink()
    file.write_text("another's")
    with pytest.raises(SinkError, match="was removed while it was written"):
        sink.close()
    sink.close()
    assert file.read_text() == "another's"


@KEPT_OPEN
@pytest.mark.parametrize("text", WRITTEN)
def test_one_that_was_moved_is_whole_where_it_is(text: str, result: Callable[..., Result]) -> None:
    sink, file = opened(text), Path(text.partition(":")[2])
    sink.write(result(0.0))
    moved = file.rename(f"moved-{file.name}")
    sink.write(result(0.04, index=1))
    sink.close()
    assert moved.stat().st_size > 0
    assert not file.exists()


@KEPT_OPEN
def test_a_video_without_frames_removes_nothing_that_is_not_its_own() -> None:
    sink = VideoSink("out.mp4")
    Path("out.mp4").unlink()
    Path("out.mp4").touch()
    sink.close()
    assert Path("out.mp4").exists()
