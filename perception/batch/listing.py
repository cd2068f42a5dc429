"""Which clips a batch run is given: files, patterns, lists and addresses, each clip once."""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneglance.streams.errors import OneglanceError, SourceNotFound, SourceUnreadable, UsageError
from oneglance.streams.opening import RENDERED, Kind, is_surely_live, kind_of
from oneglance.streams.redaction import HIDDEN, redact, redact_address

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Object stores, read by fsspec: what follows the bucket is the name of an object, no secret."""

_REMOTE = (*STORES, "http", "https")
_LISTS = (".txt", ".csv")
_URI_COLUMNS = ("uri", "url", "path", "file", "clip")
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording: ``name`` is safe to print and unique in its list, ``uri`` is not."""

    name: str
    uri: str = field(repr=False)

    @property
    def is_remote(self) -> bool:
        """Whether fsspec reads it, and not this machine's file system."""
        return scheme_of(self.uri) is not None

    def found_anywhere(self) -> Clip:
        """The same for processes that work in another folder."""
        if self.is_remote:
            return self
        return replace(self, uri=str(Path(self.uri).absolute()))


def list_clips(entries: Iterable[str]) -> list[Clip]:
    """The clips that ``entries`` name, in their order and each once.

    An entry is a file, a glob pattern (``**`` goes into folders), a list (``.txt``: one a line, #
    begins a remark; ``.csv``: the column ``uri``, ``url``, ``path``, ``file`` or ``clip``, else
    the first) whose relative paths begin at the list, or an address ``s3://``, ``gs://``,
    ``az://``, ``https://``; also a pattern or a list at such an address.

    Addresses that differ in what is hidden alone are numbered: ``… (2)``.

    Raises:
        SourceNotFound, SourceUnreadable: a pattern that matches nothing, a list that cannot be
            read.
        UsageError: no entry, an empty list, a folder, or what is live.
    """
    uris = dict.fromkeys(uri for entry in entries for uri in _expanded(entry))
    if not uris:
        raise UsageError("no clips: name files, patterns, lists or addresses")
    clips, taken = [], dict[str, int]()
    for uri in uris:
        name = printable(uri)
        taken[name] = taken.get(name, 0) + 1
        clips.append(Clip(name if taken[name] == 1 else f"{name} ({taken[name]})", uri))
    return clips


def printable(uri: str) -> str:
    """``uri`` without its credentials; of an object's name, which is none, nothing is hidden.

    >>> printable("https://cam:pass@host/a.mp4?X-Amz-Signature=0123")
    'https://***@host/a.mp4?X-Amz-Signature=***'
    >>> printable("s3://fleet/date=2026-01-02/3f2a9c4e5b6d7081.mp4")
    's3://fleet/date=2026-01-02/3f2a9c4e5b6d7081.mp4'
    """
    scheme = scheme_of(uri)
    if scheme is None:  # a file; whose name need not be text
        return os.fsencode(uri).decode(errors="backslashreplace")
    if scheme not in STORES:
        return redact_address(uri)
    body = uri[len(scheme) + 3 :]
    user, at_sign, _ = body.partition("/")[0].rpartition("@")
    # A bucket has no colon: what has one is a key with its secret, which may hold slashes.
    if ":" in body.partition("/")[0]:
        body = f"{HIDDEN}@{body.rpartition('@')[2]}" if "@" in body else HIDDEN
    elif at_sign and not scheme.startswith("a"):  # abfs://container@account/
        body = f"{HIDDEN}@{body[len(user) + 1 :]}"
    path, mark, _ = body.partition("?")
    return f"{scheme}://{path}{f'?{HIDDEN}' if mark else ''}"


def scheme_of(uri: str) -> str | None:
    """The scheme of an address, in lower case; None for a file.

    >>> scheme_of("S3://bucket/a.mp4"), scheme_of("C:/a.mp4"), scheme_of("file:///a.mp4")
    ('s3', None, 'file')
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", uri)
    return None if found is None else found[1].lower()


def file_system(uri: str) -> tuple[AbstractFileSystem, str]:
    """What reads ``uri``, and the path of it there.

    Raises:
        UsageError: fsspec, or the package for this scheme, is not installed.
        SourceUnreadable: the address is none, or the store cannot be reached.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise needs("fsspec") from None
    scheme = scheme_of(uri) or "file"
    with store_errors(printable(uri)):
        try:
            found: tuple[Any, str] = url_to_fs(uri)
        except ImportError:
            package = {"s": "s3fs", "g": "gcsfs", "a": "adlfs", "h": "aiohttp"}[scheme[0]]
            raise UsageError(f"{scheme}:// needs another package: pip install {package}") from None
    return found


@contextmanager
def store_errors(name: str) -> Iterator[None]:
    """Whatever a store's library raises, of the clip or list ``name``, as an error of ours."""
    try:
        yield
    except OneglanceError:
        raise
    except Exception as error:  # noqa: BLE001 - each of these libraries has a tree of its own
        raise read_error(name, error) from None


def needs(package: str) -> UsageError:
    """That a package of the extra is not there."""
    return UsageError(f"{package} is not installed: pip install 'oneglance[batch]'")


def is_silence(error: Exception) -> bool:
    """Whether a store or a server could not be reached, by what its library raised."""
    kind = type(error).__name__
    known = isinstance(error, TimeoutError | ConnectionError)
    return known or "Timeout" in kind or "Connect" in kind


def read_error(name: str, error: Exception) -> OneglanceError:
    """What a store or a server raised, as a sentence without addresses and credentials."""
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return SourceNotFound(f"no clip {name}: there is no such object, bucket or host")
    if isinstance(error, PermissionError) or status in {401, 403}:
        return SourceUnreadable(f"no permission to read {name}: check the credentials")
    if type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError"}:
        return SourceUnreadable(
            f"no credentials to read {name}: set them in the environment (AWS_ACCESS_KEY_ID …)"
        )
    if is_silence(error):
        return SourceUnreadable(f"{name} cannot be read: its server does not answer")
    what = getattr(error, "strerror", None) or type(error).__name__
    return SourceUnreadable(f"{name} cannot be read: {redact(str(what))}")


def _expanded(entry: str, base: str = "", *, listed: bool = False) -> Iterator[str]:
    """The addresses that one entry names; ``base``: where relative paths begin."""
    scheme = scheme_of(entry)
    if scheme is None and base and not Path(entry).is_absolute():
        entry = f"{base}/{entry}" if scheme_of(base) else str(Path(base) / entry)
        scheme = scheme_of(entry)
    if scheme == "file":
        entry, scheme = entry[len("file://") :], None
    if not entry or (scheme is not None and scheme not in _REMOTE):
        _refuse_live(entry)
        raise UsageError(f"{printable(entry)}: '{scheme}://' holds no clips that can be read here")
    if scheme is None:
        yield from _files(entry, listed=listed)
    else:
        yield from _objects(entry, scheme, listed=listed)


def _refuse_live(entry: str) -> None:
    name = printable(entry)
    if entry.lower().startswith(RENDERED) or is_surely_live(entry):
        raise UsageError(f"{name} is no recording: play what is live by 'oneglance run'")


def _files(entry: str, *, listed: bool) -> Iterator[str]:
    path, name = Path(entry), printable(entry)
    if not path.exists() and kind_of(entry) in {Kind.CAMERA, Kind.RENDERED}:
        _refuse_live(entry)
    if path.is_dir():
        raise UsageError(f"{name} is a folder: name the clips in it, like {name.rstrip('/')}/*.mp4")
    if not path.exists() and _PATTERN.search(entry):
        found = [each for each in glob.glob(entry, recursive=True) if Path(each).is_file()]  # noqa: PTH207 - as typed
        if not found:
            raise SourceNotFound(f"no file matches {name}")
        yield from sorted(found)
    elif path.suffix.lower() in _LISTS and not listed:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise SourceNotFound(f"no list {name}") from None
        except (OSError, UnicodeDecodeError) as error:
            what = getattr(error, "strerror", None) or "it is no UTF-8 text"
            raise SourceUnreadable(
                f"cannot read the list {name}: {what[0].lower()}{what[1:]}"
            ) from None
        yield from _listed(entry, text)
    else:
        yield entry  # one that is missing is a row of the result, as one that breaks is


def _objects(entry: str, scheme: str, *, listed: bool) -> Iterator[str]:
    name = printable(entry)
    if scheme in STORES and ":" in entry[len(scheme) + 3 :].partition("/")[0]:
        raise UsageError(f"{name}: give credentials in the environment, not in the address")
    is_web = scheme in {"http", "https"}  # where a question mark begins a query
    path = entry.partition("?")[0] if is_web else entry
    if path.endswith("/"):
        raise UsageError(f"{name} is a folder: name the clips in it, like {name}*.mp4")
    if "*" in path:  # the other signs are in many a name
        fs, inside = file_system(entry)
        with store_errors(name):
            found = sorted(fs.glob(inside))
        if not found:
            raise SourceNotFound(f"no object matches {name}")
        yield from (fs.unstrip_protocol(each) for each in found if not each.endswith("/"))
    elif path.lower().endswith(_LISTS) and not listed:
        fs, inside = file_system(entry)
        with store_errors(name):
            text = fs.cat_file(inside).decode("utf-8-sig")
        yield from _listed(entry, text)
    else:
        yield entry


def _listed(entry: str, text: str) -> Iterator[str]:
    """The clips in a list."""
    name = printable(entry)
    is_csv = entry.partition("?")[0].lower().endswith(".csv")
    words = _csv_words(text) if is_csv else _text_words(text)
    base = (
        entry.partition("?")[0].rpartition("/")[0] if scheme_of(entry) else str(Path(entry).parent)
    )
    base = "" if base == "." else base
    count = 0
    for word in words:
        count += 1
        try:
            yield from _expanded(word, base, listed=True)
        except UsageError as error:
            raise UsageError(f"list {name}: {error}") from None
    if not count:
        raise UsageError(f"the list {name} is empty: one clip a line")


def _text_words(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _csv_words(text: str) -> list[str]:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0]]
    column = next((header.index(name) for name in _URI_COLUMNS if name in header), None)
    body = rows if column is None else rows[1:]
    column = column or 0
    return [row[column].strip() for row in body if len(row) > column and row[column].strip()]
