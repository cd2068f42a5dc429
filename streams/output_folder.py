"""Folders that are ours alone.

A folder that we fill carries a mark, a folder with anything else in it is refused before a byte is
written, and nothing is removed but what we noted down before we made it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from itertools import takewhile
from pathlib import Path, PurePosixPath

from oneglance.streams.errors import SinkError
from oneglance.streams.files.lock import FolderLock, refuse_promised, refuse_promised_in
from oneglance.streams.outputs import (
    fixed_path,
    is_part,
    os_reason,
    output_error,
    real_path,
    refuse_as_folder,
    replace_file,
)

MARK = ".oneglance.json"
"""The file that says: this folder was made by us, and by which command."""

MADE = ".oneglance.made"
"""The names of the files we made in a folder that is cleared again, one a line."""

ATTEMPTS = 10
"""How often a folder is made anew that another run takes back at the same moment."""

_STAGED = ".oneglance.new"
"""The folder for files that wait until all of them are written."""


class OutputFolder:
    """A folder that one command fills. See ``check``, ``claim`` and ``clear``.

    ``made_by``: the command, as "train". What another command made is not ours to fill. ``name`` is
    the folder as it was given, ``path`` the same wherever the program works later.
    """

    def __init__(self, path: str | os.PathLike[str], made_by: str) -> None:
        self.name, self.path = Path(path), fixed_path(path)
        self._made_by = made_by
        self._new: list[Path] = []
        self._is_claimed = False
        self._lock = FolderLock()

    def check(self, inputs: Iterable[Path] = ()) -> None:
        """Refuse a folder that is not ours to fill; nothing is written.

        It may be absent, empty, or carry our mark. ``inputs``: what the command reads, none of
        which may lie in the folder.

        Raises:
            SinkError: it is a file, holds something without our mark, was made by another
                command, or holds an input; or it cannot be looked into.
        """
        refuse_as_folder(self.name)
        try:
            self._check()
        except OSError as error:
            raise self._error(error) from None
        place = real_path(self.path)
        for entry in inputs:
            if entry.exists() and real_path(entry).is_relative_to(place):
                raise SinkError(
                    f"cannot write to {self.name}: {entry}, which is read, lies in it; give an "
                    "output folder of its own"
                )

    def lock(self) -> None:
        """Have it alone, in this process too, before what is in it is read or changed.

        Raises:
            SinkError: another run is filling it, or it cannot be looked into.
        """
        try:
            self._lock.take(self.path, alone=True, name=self.name)
        except OSError as error:
            raise self._error(error) from None

    def claim(self) -> None:
        """Check it, make it where it is absent, and leave our mark.

        It is ours alone until ``release``, or for as long as this object lives.

        Raises:
            SinkError: as from ``check`` and ``lock``, or it cannot be made or written to.
        """
        self.check()
        try:
            for _ in range(ATTEMPTS):
                self._new = _make_folders(self.path)
                if self._lock.take(self.path, name=self.name):
                    break  # else another run took it back in between
            self._check_again()
            self._is_claimed = True
            for entry in self.path.iterdir():
                if is_part(entry):  # of a run that was killed
                    entry.unlink(missing_ok=True)
            if self.marked:
                return
            mark = {"made_by": f"oneglance {self._made_by}", "version": _version()}
            replace_file(self.path / MARK, (json.dumps(mark) + "\n").encode())
        except OSError as error:
            self.release()
            raise self._error(error) from None

    def _check_again(self) -> None:
        """Another run may have filled it in between."""
        try:
            self._check()
        except SinkError:
            self._unmake()
            self._lock.release()
            raise

    def release(self) -> None:
        """Let others fill it; take back the mark and what ``claim`` made if nothing was written."""
        with suppress(OSError):
            if self._is_claimed and {entry.name for entry in self.path.iterdir()} <= {MARK}:
                (self.path / MARK).unlink(missing_ok=True)
                self._unmake()
        self._is_claimed = False
        self._lock.release()

    def _unmake(self) -> None:
        with suppress(OSError):
            for folder in reversed(self._new):
                folder.rmdir()

    def claim_anew(self, last: str, refusal: str) -> None:
        """Claim it, empty: what a run left that was stopped is removed.

        ``last``: the file that is written last. Where it is there, a run is done, be it since
        ``check``, and its files stay.

        Raises:
            SinkError: as from ``claim`` and ``clear``; or ``refusal``, where ``last`` is there.
        """
        self.claim()
        if _mode(self.path / last) is not None:
            self.release()
            raise SinkError(refusal)
        if any(entry.name != MARK for entry in self.path.iterdir()):
            self.clear()
            self.claim()

    @property
    def marked(self) -> bool:
        """Whether the folder carries a mark of ours."""
        return stat.S_ISREG(_mode(self.path / MARK) or 0)

    def write(self, name: str, content: bytes | memoryview | str) -> Path:
        """Write a file of that name in the folder, complete or not at all; returns its path.

        Raises:
            SinkError: it cannot be written; what was there before is untouched.
        """
        try:
            replace_file(self.path / name, content)
        except OSError as error:
            raise output_error(self.name / name, error) from None
        return self.name / name

    @contextmanager
    def making(self) -> Iterator[Callable[[str], Path]]:
        """What notes a name (relative, with ``/``) as ours and gives the path to be made.

        Raises:
            OSError: from the operating system.
        """
        with (self.path / MADE).open("a", encoding="utf-8") as record:
            begun = "\n" if record.tell() else ""  # a full disk may have cut off the last line

            def note(name: str) -> Path:
                nonlocal begun
                record.write(f"{begun}{json.dumps(name)}\n")
                begun = ""
                record.flush()  # before the file is made: a kill leaves nothing unknown
                return self.path / name

            yield note

    def refill(self, files: Iterable[tuple[str, bytes | str]]) -> int:
        """Claim it and write ``files`` (name with ``/``, content), all of them or none; how many.

        What an earlier run made stays until all are written, and is removed then.

        Raises:
            SinkError: as from ``claim``, or it holds what we did not make, or cannot be written.
                The folder is as it was then, and where ``files`` raises something.
        """
        self.claim()
        staged = self.path / _STAGED
        try:
            self._remove_below(staged)  # of a run that was killed
            notes = {self.path / MADE, self.path / MARK}
            earlier = [path for path in self._ours() if path not in notes]
        except OSError as error:
            raise self._error(error) from None
        names = []
        try:
            with self.making() as note:
                for name, content in files:
                    file = note(f"{_STAGED}/{name}")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    replace_file(file, content)
                    names.append(name)
                earlier, there = [], earlier
                self._remove(there)
                for name in names:
                    note(name).parent.mkdir(parents=True, exist_ok=True)
                    (staged / name).rename(self.path / name)
            self._remove_below(staged)
            replace_file(self.path / MADE, "".join(f"{json.dumps(name)}\n" for name in names))
        except BaseException as error:
            kept = {self.path / MARK, *earlier, *([self.path / MADE] if earlier else [])}
            self._remove([path for path in self._ours() if path not in kept])
            self.release()
            if isinstance(error, OSError):
                raise output_error(self.name, error) from None
            raise
        return len(names)

    def clear(self) -> None:
        """Remove what was noted by ``making``, and the folder; nothing where there is none.

        Raises:
            SinkError: as from ``lock``, or it holds what we did not make: nothing is removed.
        """
        try:
            self._lock.take(self.path, name=self.name)
            self._clear()
        except OSError as error:
            raise self._error(error) from None
        finally:
            self._lock.release()

    def _check(self) -> None:
        for folder in (self.path, *self._new, *_missing(self.path)):
            refuse_promised(folder, self.name)
        if (mode := _mode(self.path)) is None:
            return
        if stat.S_ISLNK(mode) and not self.path.exists():
            raise SinkError(f"cannot write to {self.name}: it is a link that leads nowhere")
        if not self.path.is_dir():
            if _mode(self.path) is None:  # another run took it back at this moment
                return
            raise SinkError(
                f"cannot write to {self.name}: it is a file; give a folder that is new or empty"
            )
        try:
            refuse_promised_in(self.path, self.name)
            found = sorted(entry.name for entry in self.path.iterdir() if not is_part(entry))
        except FileNotFoundError:
            return
        is_record_ours = stat.S_ISREG(_mode(self.path / MADE) or stat.S_IFREG)  # no link elsewhere
        if not (self.marked and is_record_ours):
            found = [name for name in found if name != MARK or _mode(self.path / MARK) is not None]
            if not found:
                return
            names = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
            raise SinkError(
                f"{self.name} holds what oneglance did not make ({names}); nothing was written: "
                "give a folder that is new or empty"
            )
        if (maker := self._maker()) not in {None, f"oneglance {self._made_by}"}:
            raise SinkError(
                f"{self.name} was made by '{maker}', not by 'oneglance {self._made_by}'; nothing "
                "was written: give another folder"
            )

    def _maker(self) -> str | None:
        try:
            mark = json.loads((self.path / MARK).read_bytes())
            return str(mark["made_by"])
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return None

    def _clear(self) -> None:
        if _mode(self.path) is None:
            return
        self._check()
        notes = [self.path / MADE, self.path / MARK]  # last: they say what the rest is
        self._remove([path for path in self._ours() if path not in notes])
        for note in notes:
            note.unlink(missing_ok=True)
        if not self.path.is_symlink():
            self.path.rmdir()

    def _ours(self) -> list[Path]:
        """The files and folders in it, what lies in a folder after it.

        Raises:
            SinkError: one of them we did not make.
            OSError: from the operating system.
        """
        made = self._noted()
        ours = made | {MARK, MADE}
        ours |= {parent.as_posix() for name in made for parent in PurePosixPath(name).parents}
        found = []
        for root, folders, names in os.walk(self.path):
            found += [Path(root, name) for name in (*folders, *names)]
        foreign = [
            name
            for path in found
            if (name := path.relative_to(self.path).as_posix()) not in ours and not is_part(path)
        ]
        if foreign:
            raise SinkError(
                f"{self.name} holds what oneglance did not make ({min(foreign)}); nothing was "
                "removed: move it to another place"
            )
        return found

    def _remove_below(self, folder: Path) -> None:
        self._remove([path for path in self._ours() if path.is_relative_to(folder)])

    @staticmethod
    def _remove(paths: Sequence[Path]) -> None:
        """Files and folders that are as in ``_ours``; links are not followed."""
        for path in reversed(paths):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()

    def _noted(self) -> set[str]:
        try:
            lines = (self.path / MADE).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return set()
        names = set()
        for line in lines:
            with suppress(ValueError):  # the last line of a run that was killed
                names.add(str(json.loads(line)))
        return names

    def _error(self, error: OSError) -> SinkError:
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            return SinkError(f"cannot write to {self.name}: what it should lie in is no folder")
        return SinkError(f"cannot write to {self.name}: {os_reason(error)}")


def _make_folders(path: Path) -> list[Path]:
    """Make ``path`` and what it lies in, all of it or nothing; returns what was not there.

    Another run that makes or takes back some of it at the same moment is no error.
    """
    for attempt in range(ATTEMPTS):
        made: list[Path] = []
        try:
            for folder in reversed(_missing(path)):
                try:
                    folder.mkdir()
                except FileExistsError:
                    if not folder.is_dir():
                        raise
                else:
                    made.append(folder)
            return made
        except OSError as error:
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()
            if not isinstance(error, FileNotFoundError) or attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _missing(path: Path) -> list[Path]:
    """``path`` and what it lies in, as far as they are not there."""
    return list(takewhile(lambda folder: _mode(folder) is None, (path, *path.parents)))


def _mode(path: Path) -> int | None:
    """What lies at ``path``, a link being a link; None for nothing."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None


def _version() -> str:
    try:
        return metadata.version("oneglance")
    except metadata.PackageNotFoundError:
        return "unknown"
