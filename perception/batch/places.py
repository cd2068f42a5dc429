"""Where the tables of a batch run lie: a folder of this machine, or a prefix of an object store."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from oneglance.perception.batch.listing import (
    STORES,
    file_system,
    is_silence,
    printable,
    scheme_of,
)
from oneglance.streams.errors import OneglanceError, SinkError, UsageError
from oneglance.streams.output_folder import MARK, OutputFolder
from oneglance.streams.outputs import output_error, replace_file, sync_folder
from oneglance.streams.redaction import redact

DETECTIONS, CLIPS = "detections", "clips"

UNFINISHED = "unfinished"
"""Beside the tables, while there are any: parts of clips that are not finished."""

FACTS = "batch.json"
"""What the rows depend on, beside the tables."""

PART = re.compile(r"part-(\d{6,})(?:-\d+)?\.parquet")
"""Names of the files of a table."""

SPILLED = re.compile(r"\.oneglance-[0-9a-f]{12}\.part")

PLAYED = re.compile(r"([0-9a-f]{16})-\d{4,}-[0-9a-f]{16}(?:-frames)?\.parquet")
"""Names of the files of parts."""

_KEPT = "What was written before is good: the same command goes on from there"


class Place(Protocol):
    """What a run writes its tables to. Names are relative, with ``/``. All of it raises
    ``SinkError`` where the place cannot be used."""

    name: str
    """Safe to print."""

    scratch: Path
    """A folder of this machine for files that are not finished; they are moved by ``put``."""

    @property
    def marked(self) -> bool:
        """Whether a run of ours began it."""
        ...

    def check(self) -> None:
        """Refuse what is not ours to fill; nothing is written."""
        ...

    def lock(self) -> None:
        """Keep other runs out, unless we do already; where the place can."""
        ...

    def claim(self) -> None:
        """Leave our mark, and make what the tables need."""
        ...

    def clear(self) -> None:
        """Remove what we wrote; nothing, where there is anything else."""
        ...

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is none."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A file, to be read in parts."""
        ...

    def names(self, table: str) -> list[str]:
        """The files of a table, in order."""
        ...

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write a file, complete or not at all, over one that is there."""
        ...

    def put(self, name: str, file: Path) -> None:
        """Move a finished file of ``scratch`` to its place; nothing, where that was done."""
        ...

    def settle(self, table: str) -> None:
        """Make what was put into a table outlast a power cut."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file of ours."""
        ...

    def close(self) -> None:
        """Let others have it."""
        ...


def open_place(out: str | os.PathLike[str]) -> Place:
    """The place that ``out`` names, a path or an address; nothing is written.

    Raises:
        UsageError: an address that nothing can be written to, or with credentials in it, or whose
            package is not installed.
    """
    address = os.fspath(out)
    scheme = scheme_of(address)
    if scheme in {None, "file"}:
        return FolderPlace(Path(address.removeprefix("file://")))
    if scheme not in STORES:
        raise UsageError(
            f"cannot write to {printable(address)}: give a folder, or a place in an object store "
            f"({', '.join(f'{each}://' for each in STORES)})"
        )
    if ":" in address[len(scheme) + 3 :].partition("/")[0]:
        raise UsageError(
            f"cannot write to {printable(address)}: give credentials in the environment, not in "
            "the address"
        )
    return ObjectPlace(address)


class FolderPlace:
    """A folder of this machine, which carries our mark and is locked while a run writes to it."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._folder = OutputFolder(path, "batch")
        self._path = self._folder.path
        self.scratch = self._path / DETECTIONS

    @property
    def marked(self) -> bool:
        return self._folder.marked

    def check(self) -> None:
        self._folder.check()

    def lock(self) -> None:
        self._folder.lock()

    def claim(self) -> None:
        self._folder.claim()
        with self._errors(self._folder.name), self._folder.making() as note:
            for table in (DETECTIONS, CLIPS):
                note(table).mkdir(exist_ok=True)

    def clear(self) -> None:
        self._folder.clear()

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SinkError(f"cannot read {self._folder.name / name}: {error.strerror}") from None

    def open(self, name: str) -> BinaryIO:
        return (self._path / name).open("rb")

    def names(self, table: str) -> list[str]:
        with self._errors(self._folder.name):
            try:
                return sorted(f"{table}/{file.name}" for file in (self._path / table).iterdir())
            except FileNotFoundError:
                return []

    def write(self, name: str, content: bytes | memoryview) -> None:
        with self._errors(self._folder.name / name):
            self._note(name)
            replace_file(self._path / name, content)

    def put(self, name: str, file: Path) -> None:
        with self._errors(self._folder.name / name):
            target = self._note(name)
            if file.exists():
                _sync(file)
                file.replace(target)

    def settle(self, table: str) -> None:
        sync_folder(self._path / table)

    def remove(self, name: str) -> None:
        with self._errors(self._folder.name):
            (self._path / name).unlink(missing_ok=True)
        if name.startswith(f"{UNFINISHED}/"):
            with suppress(OSError):  # until it is empty
                (self._path / UNFINISHED).rmdir()

    def close(self) -> None:
        self._folder.release()

    def _note(self, name: str) -> Path:
        """Where a file of that name is to be made, noted as ours."""
        with self._folder.making() as note:
            target = note(name)
            if target.parent.name == UNFINISHED and not target.parent.exists():
                note(UNFINISHED).mkdir(exist_ok=True)
        return target

    @contextmanager
    def _errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(path, error, kept=_KEPT) from None


class ObjectPlace:
    """A prefix of an object store. An object appears whole or not at all, as the tables need it.

    A store has no locks: that one run at a time writes to a place is up to the caller.
    """

    def __init__(self, address: str) -> None:
        """Raises:
        UsageError: fsspec, or the package for this store, is not installed.
        """
        self.name = printable(address).rstrip("/")
        self._fs, inside = file_system(address)
        self._root = inside.rstrip("/")
        self._temporary = tempfile.TemporaryDirectory(
            prefix="oneglance-batch-", ignore_cleanup_errors=True
        )
        self.scratch = Path(self._temporary.name)

    @property
    def marked(self) -> bool:
        return self.read(MARK) is not None

    def check(self) -> None:
        found = self._found()
        if not found:
            return
        mark = self.read(MARK)
        if mark is None:
            names = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
            raise SinkError(
                f"{self.name} holds what oneglance did not make ({names}); nothing was written: "
                "give a prefix that is new or empty"
            )
        maker = None
        with suppress(ValueError, TypeError, KeyError):
            maker = json.loads(mark)["made_by"]
        if maker not in {None, _MADE_BY}:
            raise SinkError(
                f"{self.name} was made by '{maker}', not by '{_MADE_BY}'; nothing was written: "
                "give another prefix"
            )

    def lock(self) -> None:
        """Nothing: a store has no locks."""

    def claim(self) -> None:
        self.check()
        if not self.marked:
            self.write(MARK, (json.dumps({"made_by": _MADE_BY}) + "\n").encode())

    def clear(self) -> None:
        found = self._found()
        foreign = [name for name in found if not _is_ours(name)]
        if foreign:
            raise SinkError(
                f"{self.name} holds what oneglance did not make ({foreign[0]}); nothing was "
                "removed: move it to another place"
            )
        for name in sorted(found, key=lambda name: name == MARK):  # the mark last
            self.remove(name)

    def read(self, name: str) -> bytes | None:
        with self._errors(f"{self.name}/{name}"):
            try:
                return cast("bytes", self._fs.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError:
                return None

    def open(self, name: str) -> BinaryIO:
        with self._errors(f"{self.name}/{name}"):
            return cast("BinaryIO", self._fs.open(f"{self._root}/{name}", "rb"))

    def names(self, table: str) -> list[str]:
        return [name for name in self._found() if name.startswith(f"{table}/")]

    def write(self, name: str, content: bytes | memoryview) -> None:
        with self._errors(f"{self.name}/{name}"):
            self._fs.pipe_file(f"{self._root}/{name}", bytes(content))

    def put(self, name: str, file: Path) -> None:
        if file.exists():
            with self._errors(f"{self.name}/{name}"):
                self._fs.put_file(str(file), f"{self._root}/{name}")
            file.unlink()

    def settle(self, table: str) -> None:
        """Nothing: what a store took in stays."""

    def remove(self, name: str) -> None:
        with self._errors(f"{self.name}/{name}"), suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def close(self) -> None:
        self._temporary.cleanup()

    def _found(self) -> list[str]:
        """The names of all objects that lie there."""
        with self._errors(self.name):
            self._fs.invalidate_cache()
            try:
                paths = self._fs.find(self._root)
            except FileNotFoundError:
                return []
        return sorted(
            path[len(self._root) + 1 :] for path in paths if path.startswith(f"{self._root}/")
        )

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OneglanceError:
            raise
        except Exception as error:  # noqa: BLE001 - each of these libraries has a tree of its own
            raise SinkError(f"cannot write to {name}: {_why(error)}") from None


_MADE_BY = "oneglance batch"


def _why(error: Exception) -> str:
    """What a store raised, in a few words without addresses and credentials."""
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket; create it first"
    if isinstance(error, PermissionError):
        return "no permission; check the credentials"
    if kind in {"NoCredentialsError", "PartialCredentialsError"}:
        return "no credentials; set them in the environment (AWS_ACCESS_KEY_ID …)"
    if is_silence(error):
        return f"its server does not answer. {_KEPT}"
    what: Any = getattr(error, "strerror", None) or kind
    return f"{redact(str(what))}. {_KEPT}"


def _is_ours(name: str) -> bool:
    table, _, file = name.rpartition("/")
    if table in {DETECTIONS, CLIPS}:
        return PART.fullmatch(file) is not None
    if table == UNFINISHED:
        return PLAYED.fullmatch(file) is not None
    return name in {MARK, FACTS}


def _sync(file: Path) -> None:
    """Make a file's content outlast a power cut."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
