"""MCAP files: by their index, or read through where that is missing or damaged.

``mcap`` reads what is whole. Of a chunk that is cut it gives nothing, and of a message that is cut
what there is of it as if that were all; so a file without an index is read record by record here.
The format: https://mcap.dev/spec.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from oneglance.streams.bags.bag import (
    UNFINISHED,
    Bag,
    BagTruncated,
    Channel,
    Schema,
    camera_topics,
    said,
)
from oneglance.streams.bags.decoders import Decoders
from oneglance.streams.bags.messages import ImageMessage, Topic, Undecodable
from oneglance.streams.bags.partial import decompress
from oneglance.streams.bags.scanned import ScannedBag, read_up_to, skip
from oneglance.streams.errors import SourceUnreadable

MAGIC = b"\x89MCAP0\r\n"

_CUT = f"it ends in the middle: {UNFINISHED}"
_RECORD = struct.Struct("<BQ")
_CHUNK = struct.Struct("<QQQI")  # first and last time, size and CRC-32 of what it holds


def open_mcap(path: Path) -> Bag:
    """The MCAP file at ``path``; one without an index is read through.

    Raises:
        SourceUnreadable: it is none, or is damaged at its start.
        OSError: it cannot be opened.
    """
    from mcap.exceptions import McapError
    from mcap.reader import make_reader

    why = None
    with path.open("rb") as file:
        if file.read(5) != MAGIC[:5]:
            raise SourceUnreadable(f"{path} is no MCAP file, or is damaged at its start")
        file.seek(0)
        try:
            summary = make_reader(file).get_summary()
        except (McapError, OSError, ValueError, EOFError):  # too short to seek in, too
            summary, why = None, f"it has no index that can be read: {UNFINISHED}"
        except Exception as error:  # noqa: BLE001 - struct's, of random bytes
            summary, why = None, f"its index is damaged ({said(error)})"
    if summary is None or not summary.channels:
        return ScannedMcap(path, why)
    return IndexedMcap(path, summary)


class IndexedMcap:
    """An MCAP file with an index."""

    truncation: str | None = None

    def __init__(self, path: Path, summary: Any) -> None:
        """``summary``: what ``mcap`` reads of its end."""
        self._file = path.open("rb")
        self._summary = summary
        self._decoders = Decoders()

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        schemas, statistics = self._summary.schemas, self._summary.statistics
        counts = {} if statistics is None else statistics.channel_message_counts
        return camera_topics(
            (channel.topic, schemas[channel.schema_id].name, counts.get(channel.id))
            for channel in self._summary.channels.values()
            if channel.schema_id in schemas
        )

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """See ``Bag``."""
        from mcap.reader import make_reader

        self._file.seek(0)
        reader = make_reader(self._file, validate_crcs=True)
        try:
            for schema, channel, message in reader.iter_messages([topic.name]):
                yield self._decoders.decode(
                    channel.id, channel.message_encoding, schema, message.data
                )
        except Exception as error:  # noqa: BLE001 - mcap's, zstandard's, lz4's, of a damaged chunk
            raise BagTruncated(f"it is truncated or damaged ({said(error)})") from None

    def close(self) -> None:
        """See ``Bag``."""
        self._file.close()


class ScannedMcap(ScannedBag):
    """An MCAP file without an index."""

    def records(self) -> Iterator[tuple[Channel, bytes | None]]:
        """See ``ScannedBag``."""
        known = _Known()
        self._file.seek(len(MAGIC))
        while True:
            head = self._file.read(_RECORD.size)
            if len(head) < _RECORD.size:
                raise BagTruncated(_CUT)
            code, length = _RECORD.unpack(head)
            if code == 0x06:
                yield from _of_chunk(self._file, length, known)
            elif code in _KEPT:
                content = read_up_to(self._file, length)
                if len(content) < length:
                    raise BagTruncated(_CUT)
                yield from known.take(code, content)
            elif code in (0x02, 0x0F):  # the footer, the end of the data
                return
            elif code == 0:
                raise BagTruncated("it is damaged: a record of no kind")
            else:
                skip(self._file, length)


_KEPT = (0x03, 0x04, 0x05)  # a schema, a channel, a message


class _Known:
    """The schemas and channels that have appeared."""

    def __init__(self) -> None:
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}

    def take(self, code: int, content: bytes) -> Iterator[tuple[Channel, bytes | None]]:
        """A record that is whole.

        Raises:
            BagTruncated: it is damaged.
        """
        from mcap import records
        from mcap.data_stream import ReadDataStream
        from mcap.exceptions import McapError

        stream = ReadDataStream(BytesIO(content))
        try:
            if code == 0x03:
                schema = records.Schema.read(stream)
                self._schemas[schema.id] = Schema(
                    schema.id, schema.name, schema.encoding, schema.data
                )
            elif code == 0x04:
                found = records.Channel.read(stream)
                channel = Channel(
                    found.id,
                    found.topic,
                    found.message_encoding,
                    self._schemas.get(found.schema_id) or Schema(0, "", "", b""),
                )
                self._channels[found.id] = channel
                yield channel, None
            else:
                message = records.Message.read(stream, len(content))
                yield self._channels[message.channel_id], message.data
        except (McapError, ValueError, KeyError, EOFError, struct.error) as error:
            raise BagTruncated(f"it is damaged ({said(error)})") from None


def _of_chunk(file: BinaryIO, length: int, known: _Known) -> Iterator[tuple[Channel, bytes | None]]:
    """What a chunk holds; of one that is cut, what lies before."""
    content = read_up_to(file, length)
    is_whole = len(content) == length
    fixed, after = _CHUNK.size, _CHUNK.size + 4
    if len(content) < after:
        raise BagTruncated(_CUT)
    _, _, size, crc = _CHUNK.unpack_from(content)
    name_end = after + int.from_bytes(content[fixed:after], "little")
    if len(content) < name_end + 8:
        raise BagTruncated(_CUT if not is_whole else "it is damaged: a chunk without content")
    data, is_all = decompress(
        content[name_end + 8 :], content[after:name_end].decode(errors="replace")
    )
    if is_whole and not (is_all and len(data) == size and crc in (0, zlib.crc32(data))):
        # Which of its messages are damaged cannot be told.
        raise BagTruncated("it is damaged: a chunk is not what its check sum says")
    place = 0
    while place + _RECORD.size <= len(data):
        code, record_length = _RECORD.unpack_from(data, place)
        place += _RECORD.size
        if place + record_length > len(data):
            break
        if code in _KEPT:
            yield from known.take(code, data[place : place + record_length])
        place += record_length
    if not is_whole:
        raise BagTruncated(_CUT)
