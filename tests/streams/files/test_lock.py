"""Who may write to a folder, and until when."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from filling import filling
from oneglance.streams.errors import SinkError
from oneglance.streams.files.lock import FolderLock
from oneglance.streams.output_folder import OutputFolder

pytest.importorskip("fcntl", reason="no locks on this system")


def test_a_folder_that_another_process_fills_is_refused_until_that_is_killed(
    tmp_path: Path,
) -> None:
    with filling(tmp_path) as other:
        with pytest.raises(SinkError, match="another run writes to it"):
            FolderLock().take(tmp_path)
        other.kill()
        other.wait()
        FolderLock().take(tmp_path)


def test_within_a_process_it_is_anybodys_by_whatever_name(tmp_path: Path) -> None:
    one, other = FolderLock(), FolderLock()
    one.take(tmp_path)
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    other.take(link)
    with pytest.raises(SinkError, match="another part of this program writes"):
        other.take(tmp_path, alone=True)
    one.release()
    other.take(tmp_path, alone=True)


@pytest.mark.parametrize("let_go", [FolderLock.release, lambda lock: None])
def test_it_is_free_again_when_it_is_released_or_nobody_has_it(
    tmp_path: Path, let_go: Callable[[FolderLock], None]
) -> None:
    lock = FolderLock()
    lock.take(tmp_path)
    let_go(lock)
    del lock
    with filling(tmp_path):
        pass


def test_a_fork_that_lingers_does_not_keep_it(tmp_path: Path) -> None:
    lock = FolderLock()
    lock.take(tmp_path)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.read(reading, 1)
        os._exit(0)
    lock.release()
    with filling(tmp_path):
        pass
    os.write(writing, b".")
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


def test_what_is_no_folder_has_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    FolderLock().take(tmp_path / "file")
    FolderLock().take(tmp_path / "gone")


def test_nothing_in_a_folder_that_is_being_filled_is_touched(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first = OutputFolder(folder, "train")
    first.claim()
    with first.making() as note:
        note("half").write_text("of it")
    part = folder / ".oneglance-0123456789ab.part"
    part.write_text("being written")
    first.release()
    before = sorted(folder.iterdir())
    with filling(folder):
        for refused in (OutputFolder.claim, OutputFolder.clear):
            with pytest.raises(SinkError, match=r"another run writes to it"):
                refused(OutputFolder(folder, "train"))
    assert sorted(folder.iterdir()) == before
    OutputFolder(folder, "train").claim()
    assert not part.exists()
