"""The file under a video: after an error nothing more reaches it, and it ends with a whole
fragment."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from oneglance.perception.sinks.files import open_output
from oneglance.perception.sinks.mp4 import FragmentedMp4, end_of_fragments


def box(name: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    return (8 + len(content) if length is None else length).to_bytes(4, "big") + name + content


FRAGMENT = box(b"moof", b"index") + box(b"mdat", b"frames")


@pytest.mark.parametrize(
    ("rest", "kept"),
    [
        (b"", 2),
        (FRAGMENT[:-1], 2),  # the data is truncated
        (box(b"moof", b"index"), 2),  # an index without its data
        (box(b"mdat", b"123", length=0), 2),  # data whose length nobody wrote
        (b"\0\0\0", 2),
        (FRAGMENT, 3),
    ],
)
def test_what_follows_the_last_whole_fragment_is_truncated(
    rest: bytes, kept: int, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    whole = box(b"ftyp", b"isom") + 2 * FRAGMENT
    path.write_bytes(whole + rest)
    with io.FileIO(path, "r+") as file:
        FragmentedMp4(file).truncate_to_fragment()
    assert path.read_bytes() == (box(b"ftyp", b"isom") + kept * FRAGMENT)


def test_a_file_without_a_whole_fragment_is_worth_nothing(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(box(b"ftyp", b"isom") + FRAGMENT[:-1])
    with io.FileIO(path, "r+") as file:
        assert end_of_fragments(file) == 0


class Full(io.FileIO):
    """A file on a disk that is full after ``room`` bytes."""

    room = 10

    def write(self, data: object) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        if size > self.room:
            raise OSError(errno.ENOSPC, "no space left on device")
        self.room -= size
        return super().write(data)  # type: ignore[arg-type]


def test_after_a_failed_write_nothing_more_reaches_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with Full(path, "w+") as raw:
        file = FragmentedMp4(raw)
        assert file.write(b"12345678") == 8
        assert file.error is None
        assert file.write(b"too much") == 8  # libav must not know, or it would write an index
        assert file.error is not None
        assert file.error.errno == errno.ENOSPC
        file.write(b"1")
        assert file.size == 8
    assert path.read_bytes() == b"12345678"


def test_a_file_is_emptied_written_and_sought_as_libav_does(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"what was there before")
    file = FragmentedMp4(open_output(path, keep=True))
    file.empty()
    file.write(b"abcdef")
    assert (file.tell(), file.seek(2), file.size) == (6, 2, 6)
    file.write(b"X")
    file.close()
    assert file.error is None
    assert path.read_bytes() == b"abXdef"


def test_an_error_of_emptying_counts_as_one_of_writing(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"before")
    with io.FileIO(path, "r") as raw:  # a file that may not be changed
        file = FragmentedMp4(raw)
        file.empty()
        assert file.error is not None
        file.write(b"1")
    assert path.read_bytes() == b"before"
