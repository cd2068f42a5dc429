"""Where every command writes: folders that are ours alone, files that are complete or not there.

``OutputFolder`` keeps the user's files safe: a folder that we fill carries a mark, a folder with
anything else in it is refused before a byte is written, and nothing is removed but what we noted
down before we made it. ``write_file`` keeps ours safe: written beside, synced, then renamed, so a
full disk, a kill or a power cut leaves the old file or the new one and never a piece.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path, PurePosixPath

from oneglance.streams.errors import OS_REASONS, OneglanceError, SinkError
from oneglance.streams.files.lock import FolderLock

MARK = ".oneglance.json"
"""The file that says: this folder was made by us, and by which command."""

MADE = ".oneglance.made"
"""The names of the files we made in a folder that is cleared again, one a line."""

_PART_NAME = re.compile(r"\.oneglance-[0-9a-f]{12}\.part")
_NOWHERE = "the current folder was removed; change to another one (cd)"


def os_reason(error: OSError) -> str:
    """What an error of the operating system means and what to do, in a few words."""
    if error.errno == errno.ENOENT:
        if str(error.strerror).startswith("No usable temporary directory"):
            return "no temporary folder can be written to; set TMPDIR to one that can"
        if not Path(str(error.filename or "")).is_absolute() and not has_current_folder():
            return _NOWHERE
    return OS_REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def has_current_folder() -> bool:
    """Whether the folder that this process works in is still there."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def os_error(error: OSError) -> OneglanceError:
    """An error of the operating system that nobody expected, as one that can be shown."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{' and '.join(names)}: " if names else ""
    return OneglanceError(f"{where}{os_reason(error)}")


def output_error(name: str | Path, error: OSError, *, kept: str = "") -> SinkError:
    """The error to raise when writing ``name`` failed with ``error``; ``kept``: what is left."""
    folder = Path(name).parent
    if error.errno == errno.ENOENT and not folder.exists():
        reason = f"there is no folder {folder}; create it first"
    elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
        reason = f"{folder} is not a folder"
    else:
        reason = os_reason(error)
    return SinkError(f"cannot write {name}: {reason}" + (f". {kept}" if kept else ""))


def write_file(path: Path, content: bytes | str) -> None:
    """Write ``content`` (text as UTF-8) to ``path``, complete or not at all.

    What was there stays until the new file is safely on the disk. A link is followed; a pipe or
    a device is written to as it is.

    Raises:
        SinkError: the file cannot be written; what was there before is untouched.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if _is_special(path):
            path.write_bytes(data)
        else:
            replace_file(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise output_error(path, error) from None


def replace_file(path: Path, data: bytes | memoryview | str) -> None:
    """Put ``data`` (text as UTF-8) in the place of ``path``, which may be a link: not followed.

    Raises:
        OSError: from the operating system; ``path`` is as it was.
    """
    # The name may be as long as the file system allows, so the part's name is not made from it.
    part = path.with_name(f".oneglance-{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            with suppress(OSError):  # one that is replaced keeps its permissions
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat(follow_symlinks=False).st_mode))
            file.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` outlast a power cut, where the system can."""
    with suppress(OSError):  # Windows opens no folder, some network file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def refuse_inputs(path: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output file that is one of ``inputs``, by whatever link.

    Raises:
        SinkError: it is.
    """
    for entry in inputs:
        if same_file(path, entry):
            raise SinkError(f"cannot write {path}: it is {entry}, which is read; give another name")


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether both are one file on the disk, by whatever link."""
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False


class OutputFolder:
    """A folder that one command fills. See ``check``, ``claim`` and ``clear``.

    ``made_by``: the command, as "train". What another command made is not ours to fill.
    """

    def __init__(self, path: str | os.PathLike[str], made_by: str) -> None:
        self.path = Path(path)
        self._made_by = made_by
        self._new: list[Path] = []
        self._lock = FolderLock()

    def check(self, inputs: Iterable[Path] = ()) -> None:
        """Refuse a folder that is not ours to fill; nothing is written.

        It may be absent, empty, or carry our mark. ``inputs``: what the command reads, none of
        which may lie in the folder.

        Raises:
            SinkError: it is a file, holds something without our mark, was made by another
                command, or holds an input; or it cannot be looked into.
        """
        try:
            self._check()
        except OSError as error:
            raise self._error(error) from None
        place = self.path.resolve()
        for entry in inputs:
            if entry.exists() and entry.resolve().is_relative_to(place):
                raise SinkError(
                    f"cannot write to {self.path}: {entry}, which is read, lies in it; give an "
                    "output folder of its own"
                )

    def lock(self) -> None:
        """Have it alone, in this process too, before what is in it is read or changed.

        Raises:
            SinkError: another run is filling it.
        """
        self._lock.take(self.path, alone=True)

    def claim(self) -> None:
        """Check it, make it where it is absent, and leave our mark.

        It is ours alone until ``release``, or for as long as this object lives.

        Raises:
            SinkError: as from ``check`` and ``lock``, or it cannot be made or written to.
        """
        self.check()
        try:
            self._lock.take(self.path)
            if self.marked:
                for entry in self.path.iterdir():
                    if _is_part(entry.name):  # of a run that was killed
                        entry.unlink()
                return
            self._new = _make_folders(self.path)
            self._lock.take(self.path)
            mark = {"made_by": f"oneglance {self._made_by}", "version": _version()}
            replace_file(self.path / MARK, (json.dumps(mark) + "\n").encode())
        except OSError as error:
            self.release()
            raise self._error(error) from None

    def release(self) -> None:
        """Let others fill it; take back the mark and what ``claim`` made if nothing was written."""
        self._lock.release()
        with suppress(OSError):
            if {entry.name for entry in self.path.iterdir()} <= {MARK}:
                (self.path / MARK).unlink(missing_ok=True)
                for folder in reversed(self._new):
                    folder.rmdir()

    @property
    def marked(self) -> bool:
        """Whether the folder carries a mark of ours."""
        return _regular(self.path / MARK)

    def write(self, name: str, content: bytes | memoryview | str) -> Path:
        """Write a file of that name in the folder, complete or not at all; returns its path.

        Raises:
            SinkError: it cannot be written; what was there before is untouched.
        """
        path = self.path / name
        try:
            replace_file(path, content)
        except OSError as error:
            raise output_error(path, error) from None
        return path

    @contextmanager
    def making(self) -> Iterator[Callable[[str], Path]]:
        """What notes a name (relative, with ``/``) as ours and gives the path to be made.

        Raises:
            OSError: from the operating system.
        """
        with (self.path / MADE).open("a", encoding="utf-8") as record:

            def note(name: str) -> Path:
                record.write(f"{json.dumps(name)}\n")
                record.flush()  # before the file is made: a kill leaves nothing unknown
                return self.path / name

            yield note

    def clear(self) -> None:
        """Remove what was noted by ``making``, and the folder; nothing where there is none.

        Raises:
            SinkError: as from ``lock``, or it holds what we did not make: nothing is removed.
        """
        try:
            self._lock.take(self.path)
            self._clear()
        except OSError as error:
            raise self._error(error) from None
        finally:
            self._lock.release()

    def _check(self) -> None:
        mode = _mode(self.path)
        if mode is None:
            return
        if stat.S_ISLNK(mode) and not self.path.exists():
            raise SinkError(f"cannot write to {self.path}: it is a link that leads nowhere")
        if not self.path.is_dir():
            raise SinkError(
                f"cannot write to {self.path}: it is a file; give a folder that is new or empty"
            )
        found = sorted(entry.name for entry in self.path.iterdir() if not _is_part(entry.name))
        if not found:
            return
        if not self.marked:
            names = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
            raise SinkError(
                f"{self.path} holds what oneglance did not make ({names}); nothing was written: "
                "give a folder that is new or empty"
            )
        if (maker := self._maker()) not in {None, f"oneglance {self._made_by}"}:
            raise SinkError(
                f"{self.path} was made by '{maker}', not by 'oneglance {self._made_by}'; nothing "
                "was written: give another folder"
            )

    def _maker(self) -> str | None:
        try:
            mark = json.loads((self.path / MARK).read_bytes())
            return str(mark["made_by"])
        except (KeyError, TypeError, ValueError):
            return None

    def _clear(self) -> None:
        if _mode(self.path) is None:
            return
        self._check()
        made = self._noted()
        ours = made | {MARK, MADE}
        folders, files = [], []
        for root, inside, names in os.walk(self.path):
            here = Path(root)
            links = [name for name in inside if (here / name).is_symlink()]
            folders += [here / name for name in inside if name not in links]
            files += [here / name for name in (*names, *links)]
        ours |= {parent.as_posix() for name in made for parent in PurePosixPath(name).parents}
        foreign = [
            name
            for file in (*files, *folders)
            if (name := file.relative_to(self.path).as_posix()) not in ours
            and not _is_part(file.name)
        ]
        if foreign:
            raise SinkError(
                f"{self.path} holds what oneglance did not make ({min(foreign)}); nothing was "
                "removed: move it to another place"
            )
        notes = [self.path / MADE, self.path / MARK]  # last: they say what the rest is
        for file in files:
            if file not in notes:
                file.unlink()
        for folder in reversed(folders):
            folder.rmdir()
        for note in notes:
            note.unlink(missing_ok=True)
        if not self.path.is_symlink():
            self.path.rmdir()

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
            return SinkError(f"cannot write to {self.path}: what it should lie in is no folder")
        return SinkError(f"cannot write to {self.path}: {os_reason(error)}")


def _make_folders(path: Path) -> list[Path]:
    """Make ``path`` and what it lies in, all of it or nothing; returns what was not there."""
    missing = []
    for folder in (path, *path.parents):
        if _mode(folder) is not None:
            break
        missing.append(folder)
    made: list[Path] = []
    try:
        for folder in reversed(missing):
            folder.mkdir()
            made.append(folder)
    except OSError:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise
    return made


def _mode(path: Path) -> int | None:
    """What lies at ``path``, a link being a link; None for nothing."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None


def _regular(path: Path) -> bool:
    return (mode := _mode(path)) is not None and stat.S_ISREG(mode)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # there is none, or writing it will say why not
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_part(name: str) -> bool:
    """Whether ``replace_file`` was killed while it wrote this."""
    return _PART_NAME.fullmatch(name) is not None


def _version() -> str:
    try:
        return metadata.version("oneglance")
    except metadata.PackageNotFoundError:
        return "unknown"
