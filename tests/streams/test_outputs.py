"""Files that are whole or not there, and what is said when they cannot be written."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from oneglance.streams.errors import SinkError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import check_reachable, os_error, refuse_inputs, write_file
from trees import tree


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    write_file(file, "old")
    assert file.stat().st_mode & 0o777 == 0o666 & ~_umask()
    file.chmod(0o640)
    write_file(file, "né")
    assert file.read_bytes() == "né".encode()
    assert file.stat().st_mode & 0o777 == 0o640
    assert tree(tmp_path).keys() == {"out.json"}


def test_a_link_is_written_through_by_name_and_replaced_in_our_folder(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "new"
    place = OutputFolder(tmp_path / "out", "train")
    place.claim()
    (tmp_path / "out" / "model.pt").symlink_to(tmp_path / "target")
    place.write("model.pt", "ours")
    assert (tmp_path / "target").read_text() == "new"


def test_a_name_as_long_as_names_get_is_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("n" * 255), "content")
    assert (tmp_path / ("n" * 255)).read_text() == "content"


def test_what_cannot_be_written_leaves_the_old_file_and_no_piece_of_the_new(
    tmp_path: Path,
) -> None:
    file = tmp_path / "out.json"
    file.write_text("old")
    program = f"""
import resource
from pathlib import Path
from oneglance.streams.errors import SinkError
from oneglance.streams.outputs import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(Path({str(file)!r}), b"x" * 2000)
except SinkError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == (
        f"cannot write {file}: it has grown to the largest size a file may have here\n"
    )
    assert file.read_text() == "old"
    assert tree(tmp_path).keys() == {"out.json"}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_an_output_that_is_read_is_refused_by_whatever_link(tmp_path: Path) -> None:
    source = tmp_path / "in.pt"
    source.write_text("weights")
    (tmp_path / "soft").symlink_to(source)
    os.link(source, tmp_path / "hard")
    for name in ("in.pt", "soft", "hard"):
        with pytest.raises(SinkError, match=r"in\.pt, which is read; give another name"):
            refuse_inputs(tmp_path / name, [source, tmp_path / "absent"])
    refuse_inputs(tmp_path / "new", [source])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.ENAMETOOLONG, "longer than the file system allows"),
        (errno.EIO, os.strerror(errno.EIO).lower()),
    ],
)
def test_an_error_of_the_system_is_reported_in_words(number: int, words: str) -> None:
    reported = str(os_error(OSError(number, os.strerror(number), "some/file")))
    assert reported.startswith("some/file: ")
    assert words in reported


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_a_file_in_folders_that_are_not_there_yet_is_looked_at_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").touch()
    before = tree(tmp_path)
    for name in ("new", "a/b/new", "old", "/dev/null", "x/../new"):
        check_reachable(Path(name))
    assert tree(tmp_path) == before


def test_a_file_that_can_never_be_written_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "round").symlink_to("round")
    names = ("file/new", "file/a/new", "folder", ".", "/proc/new", "/proc/a/new", "round/new")
    for name in names if sys.platform == "linux" else names[:4]:
        with pytest.raises(SinkError, match=f"^cannot write {re.escape(name)}: "):
            check_reachable(Path(name))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://bucket/out", "s3:/bucket/out"),
        ("http://u:S3CRET@h/out", "http:/***@h/out"),
        ("file:///out", "file:/out"),
    ],
)
def test_no_folder_is_made_of_an_address(
    address: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = re.escape(f"cannot write to {shown}: it is an address")
    with pytest.raises(SinkError, match=said):
        OutputFolder(address, "train").check()
    with pytest.raises(SinkError, match=said):
        check_reachable(Path(address))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / address.partition("/")[0]).mkdir()  # somebody's folder has such a name
    OutputFolder(address, "train").check()
    check_reachable(Path(address))
