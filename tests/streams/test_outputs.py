"""Folders that are ours alone, and files that are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.streams.errors import SinkError
from oneglance.streams.outputs import (
    MADE,
    MARK,
    OutputFolder,
    os_error,
    refuse_inputs,
    write_file,
)


def tree(folder: Path) -> dict[str, str]:
    """Every entry below a folder: where links lead, and a hash of what files hold."""
    found = {}
    for entry in sorted(folder.rglob("*")):
        name = str(entry.relative_to(folder))
        if entry.is_symlink():
            found[name] = f"link to {entry.readlink()}"
        elif entry.is_dir():
            found[name] = "folder"
        else:
            found[name] = hashlib.sha256(entry.read_bytes()).hexdigest()
    return found


def fill(place: OutputFolder, *names: str) -> None:
    place.claim()
    with place.making() as made:
        for name in names:
            file = made(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("ours")


@pytest.mark.parametrize("name", ["new", "new/below/that", "empty"])
def test_a_folder_that_is_new_or_empty_becomes_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    place = OutputFolder(tmp_path / name, "train")
    place.check()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["empty"]  # a check writes nothing
    place.claim()
    assert '"made_by": "oneglance train"' in (tmp_path / name / MARK).read_text()
    OutputFolder(tmp_path / name, "train").claim()  # and stays so


def with_a_file(out: Path) -> None:
    out.mkdir()
    (out / "notes.txt").write_text("mine")


def with_a_folder(out: Path) -> None:
    (out / "data").mkdir(parents=True)


def a_link_to_a_full_one(out: Path) -> None:
    with_a_file(out.parent / "elsewhere")
    out.symlink_to(out.parent / "elsewhere")


def a_link_to_nothing(out: Path) -> None:
    out.symlink_to(out.parent / "gone")


def of_another_command(out: Path) -> None:
    OutputFolder(out, "render").claim()


def with_a_mark_that_is_a_link(out: Path) -> None:
    out.mkdir()
    (out.parent / "mark").write_text("{}")
    (out / MARK).symlink_to(out.parent / "mark")


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file in it": (with_a_file, r"holds what oneglance did not make \(notes.txt\)"),
    "a folder in it": (with_a_folder, r"holds what oneglance did not make \(data\)"),
    "a file": (lambda out: out.write_text("mine"), "it is a file"),
    "a link to a full folder": (a_link_to_a_full_one, "holds what oneglance did not make"),
    "a link to nothing": (a_link_to_nothing, "a link that leads nowhere"),
    "another command's": (of_another_command, "was made by 'oneglance render'"),
    "a linked mark": (with_a_mark_that_is_a_link, "holds what oneglance did not make"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_ours_is_refused_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    make, sentence = FOREIGN[kind]
    out = tmp_path / "out"
    make(out)
    before = tree(tmp_path)
    for act in ("check", "claim", "clear"):
        with pytest.raises(SinkError, match=sentence):
            getattr(OutputFolder(out, "train"), act)()
    assert tree(tmp_path) == before


def test_below_a_file_nothing_can_lie(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(SinkError, match="what it should lie in is no folder"):
        OutputFolder(tmp_path / "file" / "out", "train").claim()
    assert tree(tmp_path) == before


def test_a_name_that_is_too_long_makes_none_of_the_folders_above_it(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="longer than the file system allows"):
        OutputFolder(tmp_path / "a" / "b" / ("x" * 300), "train").claim()
    assert tree(tmp_path) == {}


def test_what_is_read_may_not_lie_where_we_write(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    place.claim()
    (tmp_path / "out" / "base.pt").write_text("weights")
    (tmp_path / "link.pt").symlink_to(tmp_path / "out" / "base.pt")
    place.check([tmp_path / "other.pt"])
    for base in (tmp_path / "out" / "base.pt", tmp_path / "link.pt"):
        with pytest.raises(SinkError, match=r"\.pt, which is read, lies in it"):
            place.check([base])


def test_clearing_removes_what_we_made_and_the_folder(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    fill(place, "a.txt", "deep/er/b.txt")
    place.clear()
    assert tree(tmp_path) == {}
    place.clear()  # nothing left to do
    fill(place, "a.txt")


def test_clearing_beside_a_file_of_the_users_removes_nothing(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    fill(place, "a.txt", "deep/b.txt")
    for name in ("deep/notes.txt", "raw/notes.txt", "link"):
        mine = tmp_path / "out" / name
        mine.parent.mkdir(exist_ok=True)
        mine.symlink_to(tmp_path) if name == "link" else mine.write_text("mine")
        before = tree(tmp_path)
        with pytest.raises(SinkError, match=r"did not make .*nothing was removed: move it"):
            place.clear()
        assert tree(tmp_path) == before
        mine.unlink()
        if name.startswith("raw"):
            mine.parent.rmdir()
    place.clear()


def test_clearing_follows_no_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "keep.txt").write_text("mine")
    place = OutputFolder(tmp_path / "out", "train")
    place.claim()
    with place.making() as made:
        made("folder").symlink_to(tmp_path / "mine")
        made("file").symlink_to(tmp_path / "mine" / "keep.txt")
    place.clear()
    assert (tmp_path / "mine" / "keep.txt").read_text() == "mine"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_clearing_that_was_killed_is_done_again(tmp_path: Path, kept: int) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    fill(place, "a", "deep/b", "deep/c")
    for name in ("a", "deep/b", "deep/c")[kept:]:
        (tmp_path / "out" / name).unlink()
    with (tmp_path / "out" / MADE).open("a") as record:
        record.write('"torn')
    place.clear()
    assert tree(tmp_path) == {}


def test_a_claim_that_was_not_used_leaves_nothing(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "a" / "b", "train")
    place.claim()
    place.release()
    assert tree(tmp_path) == {}
    place.claim()
    place.write("file", "used")
    place.release()
    assert (tmp_path / "a" / "b" / MARK).is_file()


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
