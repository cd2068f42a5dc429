"""ROS 1 bags without an index: one that was never finished (``.bag.active``), or a truncated copy.

``rosbags`` reads those with one. Chunks lie one after the other, each with the connections and
messages that it holds, and the index at the end only says where:
https://wiki.ros.org/Bags/Format/2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from oneglance.streams.bags.bag import UNFINISHED, BagTruncated, Channel, Schema, said
from oneglance.streams.bags.partial import decompress
from oneglance.streams.bags.scanned import ScannedBag, read_up_to

if TYPE_CHECKING:
    from rosbags.rosbag1.reader import Header

MAGIC = b"#ROSBAG V2.0\n"

_CUT = f"it ends in the middle: {UNFINISHED}"


def is_ros1(path: Path) -> bool:
    """Whether a file begins as a ROS 1 bag of the format that is read here.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class ScannedRos1(ScannedBag):
    """A ROS 1 bag, chunk by chunk."""

    def records(self) -> Iterator[tuple[Channel, bytes | None]]:
        """See ``ScannedBag``."""
        from rosbags.rosbag1.reader import ReaderError, RecordType

        channels: dict[int, Channel] = {}
        self._file.seek(len(MAGIC))
        try:
            while (found := _record(self._file)) is not None:
                header, data, is_whole = found
                code = header.get_uint8("op")
                if code == RecordType.CHUNK:
                    yield from _of_chunk(header, data, is_whole, channels)
                elif is_whole:
                    yield from _taken(header, data, channels)
                if not is_whole:
                    raise BagTruncated(_CUT)
        except (ReaderError, ValueError, KeyError) as error:
            raise BagTruncated(f"it is truncated or damaged ({said(error)})") from None


def _record(file: BinaryIO) -> tuple[Header, bytes, bool] | None:
    """The next record, and whether its data are whole; None where the file ends before it."""
    from rosbags.rosbag1.reader import Header

    if (fields := _sized(file)) is None:
        return None
    data = _sized(file)
    if not fields[1] or data is None:
        raise BagTruncated(_CUT)
    length = len(fields[0]).to_bytes(4, "little")
    return Header.read(BytesIO(length + fields[0])), *data


def _sized(file: BinaryIO) -> tuple[bytes, bool] | None:
    """What follows a length, and whether all of it is there; None at the file's end."""
    length = file.read(4)
    if not length:
        return None
    if len(length) < 4:
        raise BagTruncated(_CUT)
    size = int.from_bytes(length, "little")
    content = read_up_to(file, size)
    return content, len(content) == size


def _of_chunk(
    header: Header, content: bytes, is_whole: bool, channels: dict[int, Channel]
) -> Iterator[tuple[Channel, bytes | None]]:
    """What a chunk holds; of one that is cut, what lies before."""
    data, is_all = decompress(content, header.get_string("compression"))
    inside, is_all = BytesIO(data), is_all and len(data) == header.get_uint32("size")
    try:
        while (found := _record(inside)) is not None and found[2]:
            yield from _taken(found[0], found[1], channels)
    except BagTruncated:
        is_all = False
    if is_whole and not (is_all and found is None):
        raise BagTruncated("it is damaged: a chunk ends in the middle of a record")


def _taken(
    header: Header, data: bytes, channels: dict[int, Channel]
) -> Iterator[tuple[Channel, bytes | None]]:
    """A connection or a message; nothing of what else there is."""
    from rosbags.rosbag1.reader import Header, RecordType, normalize
    from rosbags.typesys.msg import normalize_msgtype

    code = header.get_uint8("op")
    if code == RecordType.CONNECTION:
        number = header.get_uint32("conn")
        if number in channels:
            return
        facts = Header.read(BytesIO(len(data).to_bytes(4, "little") + data))
        definition = facts.get_string("message_definition").encode()
        name = normalize_msgtype(facts.get_string("type"))
        schema = Schema(number, name, "ros1msg", definition)
        channels[number] = Channel(number, normalize(header.get_string("topic")), "ros1", schema)
        yield channels[number], None
    elif code == RecordType.MSGDATA:
        yield channels[header.get_uint32("conn")], data
