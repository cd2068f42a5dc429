"""rosbag2 folders whose metadata are missing, or do not fit what is there: file by file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path, PurePath
from typing import IO

from oneglance.streams.bags.address import METADATA, files_of
from oneglance.streams.bags.bag import UNFINISHED, Bag, BagTruncated, camera_topics
from oneglance.streams.bags.messages import ImageMessage, Topic, Undecodable
from oneglance.streams.errors import SourceUnreadable, cause

_COMPRESSED = ".zstd"


class FilesOfFolder:
    """The files of a rosbag2 folder one after the other, as its metadata name them or else as they
    are counted, up to the first that is missing or damaged."""

    def __init__(self, folder: Path, why: str, open_file: Callable[[Path], Bag]) -> None:
        """``why``: what is wrong with the folder; said after the last message.

        Raises:
            SourceUnreadable: its first file is missing, or is no bag.
        """
        self._why = why
        self._missing: str | None = None
        self._bags: list[Bag] = []
        names = _named(folder / METADATA)
        if not (folder / METADATA).exists():
            self._why = f"{METADATA} is missing: {UNFINISHED}"
        self._stack = ExitStack()
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            for file in files_of(folder) if names is None else [folder / name for name in names]:
                self._missing = self._open(file, open_file)
                if self._missing is not None:
                    break
            if not self._bags:
                raise SourceUnreadable(
                    f"{folder} is no bag that can be read: {self._missing or self._why}"
                )
            undo.pop_all()

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        every = [topic for bag in self._bags for topic in bag.topics()]
        return camera_topics((topic.name, topic.type, None) for topic in every)

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """See ``Bag``."""
        for bag in self._bags:
            yield from bag.messages(topic)
        raise BagTruncated(self._missing or self._why)

    @property
    def truncation(self) -> str | None:
        """See ``Bag``."""
        each = (bag.truncation for bag in self._bags)
        return next(filter(None, each), None) or self._missing or self._why

    def close(self) -> None:
        """See ``Bag``."""
        self._stack.close()

    def _open(self, file: Path, open_file: Callable[[Path], Bag]) -> str | None:
        """Why a file cannot be opened; None if it can."""
        try:
            bag = open_file(self._unpacked(file))
        except SourceUnreadable as error:
            return str(error)
        except OSError as error:
            return f"{file.name} cannot be opened: {cause(error)}"
        self._stack.callback(bag.close)
        self._bags.append(bag)
        return None

    def _unpacked(self, file: Path) -> Path:
        """A file that rosbag2 compressed as a whole, without that, in a folder of its own; of one
        that is cut, what lies before."""
        if file.suffix != _COMPRESSED:
            return file
        import zstandard

        place = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="oneglance-bag-"))
        unpacked = Path(place) / file.stem
        with file.open("rb") as packed, unpacked.open("wb") as whole:
            source: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(packed)
            with suppress(zstandard.ZstdError):  # damaged from there on: its bag ends there
                shutil.copyfileobj(source, whole)
        return unpacked


def _named(metadata: Path) -> list[str] | None:
    """The files that a folder's metadata name; None without metadata that can be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(metadata.read_text(encoding="utf-8"))
        paths = content["rosbag2_bagfile_information"]["relative_file_paths"]
        names = [PurePath(str(each)).name for each in paths]
    except (OSError, YAMLError, ValueError, KeyError, TypeError):
        return None
    return names or None
