"""Files that are complete or not there, and what to say when they cannot be written.

``write_file`` writes beside, syncs, then renames, so a full disk, a kill or a power cut leaves the
old file or the new one and never a piece. Whole folders: ``output_folder``.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import secrets
import select
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.errors import OS_REASONS, OneglanceError, SinkError
from oneglance.streams.redaction import redact

_ODD = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f\udc80-\udcff]')
"""What exFAT, FAT and Windows take in no name; bytes that are no UTF-8 neither."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Of a path, which has lost a slash; no drive of Windows has two letters."""

_PART_NAME = re.compile(rf"\.oneglance-[0-9a-f]{{12}}{_ODD.pattern}*\.part")
_OPEN_FILE = re.compile(r"(?:/dev|/proc/([\w-]+)(?:/task/\d+)?)/fd/(\d+)")
_MOST_ODD = 40
_MOST_LINKS = 40
_STDERR = 2
_FULL_PIPE_WAIT_S = 1.0
_NOWHERE = "the current folder was removed; change to another one (cd)"


def os_reason(error: OSError) -> str:
    """What an error of the operating system means and what to do, in a few words."""
    if error.errno == errno.ENOENT:
        if str(error.strerror).startswith("No usable temporary directory"):
            return "no temporary folder can be written to; set TMPDIR to one that can"
        if not Path(str(error.filename or "")).is_absolute() and not has_current_folder():
            return _NOWHERE
    if error.errno in {errno.EINVAL, errno.EILSEQ} and (found := odd_characters(error.filename)):
        return _odd_name(found)
    return OS_REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def odd_characters(path: str | os.PathLike[str] | None) -> str:
    """The characters of a file's name that some file systems take in none, each once."""
    return "".join(dict.fromkeys(_ODD.findall(Path(path or "").name)))


def _odd_name(found: str) -> str:
    return f"this file system takes no name with {' '.join(map(repr, found))}; give another name"


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
    elif error.errno in {errno.ENOENT, errno.EINVAL, errno.EILSEQ} and (
        found := odd_characters(name)
    ):  # exfat-fuse calls it missing
        reason = _odd_name(found)
    elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
        reason = f"{folder} is not a folder"
    else:
        reason = os_reason(error)
    return SinkError(f"cannot write {name}: {reason}" + (f". {kept}" if kept else ""))


def write_file(path: Path, content: bytes | str) -> None:
    """Write ``content`` (text as UTF-8) to ``path``, complete or not at all.

    What was there stays until the new file is safely on the disk. A link is followed; a pipe, a
    device, or a file that this process has open (``/dev/stderr``) is written to as it is.

    Raises:
        SinkError: the file cannot be written; what was there before is untouched.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if (number := open_file(path)) is not None:
            with io.FileIO(os.dup(number), "w") as file:
                write_whole(file, data)
        elif _is_special(path):
            path.write_bytes(data)
        else:
            target = real_path(path)
            if target.is_symlink():  # a circle
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            replace_file(target, data)
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


def check_place(path: Path) -> None:
    """See that a file, which is not there, can be made at ``path``, without making it: by one whose
    name has the same odd characters.

    Raises:
        OSError: from the operating system.
    """
    odd = odd_characters(path)[:_MOST_ODD]
    part = path.with_name(f".oneglance-{secrets.token_hex(6)}{odd}.part")
    part.open("xb").close()
    part.unlink()


def check_reachable(path: Path) -> None:
    """See that ``write_file`` can write ``path`` once the folders that it lies in are there, as far
    as they are not; nothing is made.

    Raises:
        SinkError: it cannot.
    """
    refuse_address(path)
    try:
        target = fixed_path(real_path(path))
        if target.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not _is_special(target):
            above = next(folder for folder in target.parents if os.path.lexists(folder))
            check_place(above / target.name)
    except OSError as error:
        raise output_error(path, error) from None


def make_parent(path: Path) -> None:
    """Make the folders that a file lies in, as far as they are not there.

    Raises:
        SinkError: they cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from None


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` outlast a power cut, where the system can."""
    with suppress(OSError):  # Windows opens no folder, some network file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Who has it makes the file ``path`` and renames it; others wait until that is done. A file
    that the block leaves there is removed.

    Raises:
        OSError: from the operating system.
    """
    held = _held_alone(path)
    try:
        yield
    finally:
        if held is None or is_at(path, held):
            path.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


def _held_alone(path: Path) -> int | None:
    """An open and locked file at ``path``; None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows, where an open file cannot be renamed either
        return None
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if is_at(path, file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # renamed or removed by who had it


def is_at(path: Path, file: int) -> bool:
    """Whether an open file still lies at ``path``."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def open_file(path: str | os.PathLike[str]) -> int | None:
    """The number of the open file of this process that ``path`` names: ``/dev/stderr``, or
    ``/dev/fd/3`` of a shell's ``3>>file``; None where it names none. To open that file anew, or to
    put another in its place, would lose what it is to keep."""
    name = os.fspath(path)
    for _ in range(_MOST_LINKS):
        found = _OPEN_FILE.fullmatch(name)
        if found and found[1] in {None, "self", "thread-self", str(os.getpid())}:
            return int(found[2])
        try:
            name = os.path.join(os.path.dirname(name), os.readlink(name))  # noqa: PTH115, PTH118, PTH120
        except (OSError, ValueError):
            break
    return (
        _STDERR
        if _leads_to_a_file(_STDERR) and same_file(os.fspath(path), f"/dev/fd/{_STDERR}")
        else None
    )


def _leads_to_a_file(number: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(number).st_mode)
    except OSError:
        return False


def write_whole(file: io.FileIO | BinaryIO, data: bytes) -> None:
    """Write all of ``data``, where one ``write`` may stop half way without an error.

    Raises:
        OSError: from the operating system; a part may have been written.
    """
    rest = memoryview(data)
    while rest:
        written = file.write(rest)
        if written is None:  # a non-blocking pipe that is full
            select.select([], [file], [], _FULL_PIPE_WAIT_S)
        else:
            rest = rest[written:]


def real_path(path: str | os.PathLike[str]) -> Path:
    """``path`` with every link followed, as ``Path.resolve``, which fails at a circle of links."""
    return Path(os.path.realpath(path))


def refuse_inputs(path: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output file that is one of ``inputs``, by whatever link.

    Raises:
        SinkError: it is.
    """
    for entry in inputs:
        if same_file(path, entry):
            raise SinkError(f"cannot write {path}: it is {entry}, which is read; give another name")


def fixed_path(path: str | os.PathLike[str]) -> Path:
    """``path`` as it is meant now, whatever folder the program works in later."""
    try:
        return Path(path).absolute()
    except FileNotFoundError:  # the current folder was removed, which is said where it is used
        return Path(path)


def refuse_as_folder(path: Path) -> None:
    """Refuse the name of a folder to be filled that is none.

    Raises:
        SinkError: it is an address, or standard output.
    """
    refuse_address(path)
    if os.fspath(path) == "-":
        raise SinkError("'-' is standard output, where no folder can be written: name one")


def refuse_address(path: Path) -> None:
    """Refuse an address as the name of what is made here: folders of its parts would be made.

    Raises:
        SinkError: it is one.
    """
    if _ADDRESS.match(os.fspath(path)) and not Path(path.parts[0]).exists():
        raise SinkError(
            f"cannot write to {redact(os.fspath(path))}: it is an address, and only this machine "
            "is written to; give a path"
        )


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether both are one file on the disk, by whatever link."""
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # there is none, or writing it will say why not
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def beside_file(path: Path) -> Path:
    """Where the file lies that keeps ``path`` for who will write it; ``is_part`` knows its name."""
    target = real_path(path)
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    return target.with_name(f".oneglance-{name}.part")


def is_part(file: Path) -> bool:
    """Whether a run was killed that wrote this, or kept a file by it."""
    if _PART_NAME.fullmatch(file.name) is None:
        return False
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except FileNotFoundError:  # another run has just renamed it
        return True
