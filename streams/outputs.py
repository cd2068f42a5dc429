"""Files that are complete or not there, and what to say when they cannot be written.

``write_file`` writes beside, syncs, then renames, so a full disk, a kill or a power cut leaves the
old file or the new one and never a piece. Whole folders: ``output_folder``.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oneglance.streams.errors import OS_REASONS, OneglanceError, SinkError

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


def check_place(path: Path) -> None:
    """See that a file, which is not there, can be made at ``path``, without making it.

    Raises:
        OSError: from the operating system.
    """
    part = path.with_name(f".oneglance-{secrets.token_hex(6)}.part")
    part.open("xb").close()
    part.unlink()


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


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # there is none, or writing it will say why not
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_part(name: str) -> bool:
    """Whether ``replace_file`` was killed while it wrote this."""
    return _PART_NAME.fullmatch(name) is not None
