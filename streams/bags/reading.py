"""Bags opened: by ``mcap`` and ``rosbags`` where they are whole, else as far as they can be read.

No ROS is needed. Nothing is written to where a bag lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from oneglance.streams.bags.address import is_unfinished_ros1
from oneglance.streams.bags.bag import Bag, BagTruncated, camera_topics, said
from oneglance.streams.bags.folder import FilesOfFolder
from oneglance.streams.bags.mcap_file import open_mcap
from oneglance.streams.bags.messages import ImageMessage, Topic, Undecodable, of_ros
from oneglance.streams.bags.ros1 import ScannedRos1, is_ros1
from oneglance.streams.bags.sqlite import ScannedSqlite, what_sqlite_overlooks
from oneglance.streams.errors import SourceUnreadable, UsageError, cause


def open_bag(path: Path) -> Bag:
    """The bag at ``path``: an ``.mcap``, ``.db3`` or ROS 1 ``.bag`` file, or a rosbag2 folder.

    One that is truncated, or whose index is damaged or missing, is opened all the same: its
    messages end with ``BagTruncated``.

    Raises:
        SourceUnreadable: it is none, or is damaged at its start.
        UsageError: the extra ``mcap`` is not installed.
    """
    _need_extra()
    try:
        if not path.is_dir():
            return open_file(path)
        try:
            overlooked = (what_sqlite_overlooks(file) for file in path.glob("*.db3"))
            if why := next(filter(None, overlooked), None):
                raise IndexUnreadable(why)
            return RosBag(path)
        except IndexUnreadable as error:
            return FilesOfFolder(path, str(error), open_file)
    except OSError as error:
        raise SourceUnreadable(f"cannot open {path}: {cause(error)}") from None


def open_file(path: Path) -> Bag:
    """A bag that is one file.

    Raises:
        SourceUnreadable: it is none, or is damaged at its start.
        OSError: it cannot be opened.
    """
    if path.suffix == ".mcap":
        return open_mcap(path)
    is_ros2 = path.suffix == ".db3"
    if is_unfinished_ros1(path) and is_ros1(path):
        why = "it has no index: the recording was never finished"
    elif overlooked := what_sqlite_overlooks(path) if is_ros2 else None:
        why = overlooked
    else:
        try:
            return RosBag(path)
        except IndexUnreadable as error:
            why = str(error)
    if is_ros2:
        return ScannedSqlite(path, why)
    if not is_ros1(path):
        raise SourceUnreadable(f"{path} is no bag that can be read: {why}")
    return ScannedRos1(path, why)


class IndexUnreadable(Exception):
    """``rosbags`` finds its way in a bag by what is missing or damaged; its text says what."""


class RosBag:
    """What ``rosbags`` reads: a rosbag2 folder (sqlite3 or mcap), a file of one, a ROS 1 bag."""

    truncation: str | None = None

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Raises:
            IndexUnreadable: ``rosbags`` cannot read it.
        """
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import Stores, get_typestore

        self._stack = ExitStack()
        store = get_typestore(Stores.ROS2_HUMBLE)
        try:
            reader = AnyReader([path], default_typestore=store)
            self._reader: Any = self._stack.enter_context(reader)
        except AnyReaderError as error:
            repair = "rosbag reindex" if path.suffix == ".bag" else "ros2 bag reindex"
            raise IndexUnreadable(
                f"{said(error)}; a broken index is mended by '{repair}'"
            ) from None
        except Exception as error:  # noqa: BLE001 - sqlite3's, yaml's, struct's, of a damaged bag
            raise IndexUnreadable(said(error)) from None

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        return camera_topics(
            (found.topic, found.msgtype, found.msgcount) for found in self._reader.connections
        )

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """See ``Bag``."""
        wanted = [each for each in self._reader.connections if each.topic == topic.name]
        raw = iter(self._reader.messages(connections=wanted))
        while True:
            try:
                connection, _, data = next(raw)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - the same
                raise BagTruncated(f"it is damaged ({said(error)})") from None
            try:
                yield of_ros(self._reader.deserialize(data, connection.msgtype))
            except Exception as error:  # noqa: BLE001 - whatever random bytes do to a decoder
                yield Undecodable(said(error))

    def close(self) -> None:
        """See ``Bag``."""
        self._stack.close()


def _need_extra() -> None:
    try:
        import mcap
        import rosbags.image  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"bags need {error.name}: pip install 'oneglance[mcap]' "
            "(from a clone: pip install '.[mcap]')"
        ) from None
    del mcap
