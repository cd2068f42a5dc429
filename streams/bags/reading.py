"""Bags opened: their camera topics, and the messages of one, in the order they were recorded.

``.mcap`` files are read by ``mcap``, one chunk at a time; rosbag2 folders and ROS 1 ``.bag`` files
by ``rosbags``. No ROS is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol, Self

from oneglance.streams.bags.messages import (
    ImageMessage,
    Topic,
    Undecodable,
    carries,
    of_json,
    of_protobuf,
    of_ros,
)
from oneglance.streams.errors import SourceUnreadable, UsageError, cause

_DISTROS = {"cdr": "ROS2_HUMBLE", "ros1": "ROS1_NOETIC"}
"""Whose message definitions read an encoding; ``sensor_msgs`` images are the same in all."""


class BagTruncated(Exception):
    """The bag ends in the middle, or is damaged there; its text says how."""


class Bag(Protocol):
    """An open bag."""

    def topics(self) -> tuple[Topic, ...]:
        """Its camera topics, by name."""
        ...

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """Those of one topic; an ``Undecodable`` in the place of one that cannot be read.

        Raises:
            BagTruncated: the bag ends in the middle; what came before is good.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def open_bag(path: Path) -> Bag:
    """The bag at ``path``: an ``.mcap`` file, a rosbag2 folder or a ROS 1 ``.bag``.

    Raises:
        SourceUnreadable: it is none, has a broken index, or cannot be read.
        UsageError: the extra ``mcap`` is not installed.
    """
    _need_extra()
    try:
        if path.suffix == ".mcap":
            return McapBag(path)
        try:
            return RosBag(path)
        except SourceUnreadable:
            # One that was never finished: its files can be read without what ties them together.
            files = sorted(path.glob("*.mcap"), key=lambda file: (len(file.name), file.name))
            if not files:
                raise
            return McapFiles(files)
    except OSError as error:
        raise SourceUnreadable(f"cannot open {path}: {cause(error)}") from None


class McapBag:
    """An MCAP file; one without an index (truncated, or its recorder crashed) is read through."""

    def __init__(self, path: Path) -> None:
        """See ``open_bag``."""
        from mcap.exceptions import McapError
        from mcap.reader import make_reader

        self._path = path
        self._file = path.open("rb")
        self._decoders: dict[int, Callable[[bytes], ImageMessage]] = {}
        try:
            self._summary = make_reader(self._file).get_summary()
        except (McapError, OSError, ValueError, EOFError):  # too short to seek in, too
            self._summary = None
        if self._summary is None or not self._summary.channels:
            self._summary = None  # read through, from the start
            self._file.seek(0)
            if self._file.read(5) != b"\x89MCAP":
                self._file.close()
                raise SourceUnreadable(f"{path} is no MCAP file, or is damaged at its start")

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        if self._summary is not None:
            schemas, channels = self._summary.schemas, self._summary.channels.values()
            counts = {}
            if self._summary.statistics is not None:
                counts = self._summary.statistics.channel_message_counts
            return _by_name(
                (channel.topic, schemas[channel.schema_id].name, counts.get(channel.id))
                for channel in channels
                if channel.schema_id in schemas
            )
        seen: dict[str, str] = {}
        try:
            for schema, channel, _ in self._through():
                seen.setdefault(channel.topic, "" if schema is None else schema.name)
        except BagTruncated:
            pass
        return _by_name((topic, type_name, None) for topic, type_name in seen.items())

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """See ``Bag``."""
        for schema, channel, message in self._through(topic.name):
            try:
                yield self._decoder(schema, channel)(message.data)
            except Undecodable as error:
                yield error
            except Exception as error:  # noqa: BLE001 - each decoder has errors of its own
                yield Undecodable(f"{type(error).__name__}: {error}")
        if self._summary is None:
            raise BagTruncated(
                "it has no index: the recording was never finished, or the copy is truncated"
            )

    def close(self) -> None:
        """See ``Bag``."""
        self._file.close()

    def _through(self, topic: str | None = None) -> Iterator[tuple[Any, Any, Any]]:
        from mcap.exceptions import McapError
        from mcap.reader import NonSeekingReader, make_reader

        self._file.seek(0)
        reader = NonSeekingReader(self._file) if self._summary is None else make_reader(self._file)
        wanted = None if topic is None else [topic]
        try:
            yield from reader.iter_messages(wanted, log_time_order=self._summary is not None)
        except (McapError, ValueError, EOFError) as error:
            why = str(error) or type(error).__name__
            raise BagTruncated(f"it is truncated or damaged ({why})") from None

    def _decoder(self, schema: Any, channel: Any) -> Callable[[bytes], ImageMessage]:
        known = self._decoders.get(channel.id)
        if known is None:
            known = self._decoders[channel.id] = _decoder_for(channel.message_encoding, schema)
        return known


class McapFiles:
    """The MCAP files of a rosbag2 folder one after the other, without its metadata."""

    def __init__(self, files: Sequence[Path]) -> None:
        """See ``open_bag``."""
        with ExitStack() as stack:
            self._bags = [stack.enter_context(closing(McapBag(file))) for file in files]
            self._stack = stack.pop_all()

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        every = [topic for bag in self._bags for topic in bag.topics()]
        return _by_name((topic.name, topic.type, topic.count) for topic in every)

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """See ``Bag``."""
        for bag in self._bags:
            yield from bag.messages(topic)

    def close(self) -> None:
        """See ``Bag``."""
        self._stack.close()


class RosBag:
    """A rosbag2 folder (sqlite3 or mcap) or a ROS 1 bag."""

    def __init__(self, path: Path) -> None:
        """See ``open_bag``."""
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import Stores, get_typestore

        self._path, self._stack = path, ExitStack()
        store = get_typestore(Stores.ROS2_HUMBLE)
        try:
            self._reader: Any = self._stack.enter_context(
                AnyReader([path], default_typestore=store)
            )
        except AnyReaderError as error:
            repair = "rosbag reindex" if path.suffix == ".bag" else "ros2 bag reindex"
            raise SourceUnreadable(
                f"{path} is no bag that can be read ({error}); a broken index is mended by "
                f"'{repair}'"
            ) from None
        except Exception as error:  # noqa: BLE001 - sqlite3's, yaml's, struct's, of a damaged bag
            raise SourceUnreadable(
                f"{path} is no bag, or is damaged ({type(error).__name__}: {error})"
            ) from None

    def topics(self) -> tuple[Topic, ...]:
        """See ``Bag``."""
        return _by_name(
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
                raise BagTruncated(f"it is damaged ({type(error).__name__}: {error})") from None
            try:
                yield of_ros(self._reader.deserialize(data, connection.msgtype))
            except Exception as error:  # noqa: BLE001 - whatever random bytes do to a decoder
                yield Undecodable(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """See ``Bag``."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _by_name(found: Iterator[tuple[str, str, int | None]]) -> tuple[Topic, ...]:
    """The camera topics among those of a bag; counts of one topic are added up."""
    topics: dict[str, Topic] = {}
    for name, type_name, count in found:
        how = carries(type_name)
        if how is None:
            continue
        before = topics.get(name)
        added = None if before is None else before.count
        total = count if count is None or added is None else count + added
        topics[name] = Topic(name, type_name, how, total)
    return tuple(topics[name] for name in sorted(topics))


def _decoder_for(encoding: str, schema: Any) -> Callable[[bytes], ImageMessage]:
    """How to read a channel's messages.

    Raises:
        Undecodable: an encoding that we lack.
    """
    if encoding == "protobuf":
        from mcap_protobuf.decoder import DecoderFactory

        parse = DecoderFactory().decoder_for(encoding, schema)
        if parse is None:
            raise Undecodable(f"protobuf with a schema in {schema.encoding}")
        return lambda data: of_protobuf(parse(data))
    if encoding == "json":
        return lambda data: of_json(json.loads(data))
    if encoding not in _DISTROS:
        raise Undecodable(f"message encoding {encoding!r} (known: cdr, json, protobuf, ros1)")
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores[_DISTROS[encoding]])
    name = schema.name if "/msg/" in schema.name else schema.name.replace("/", "/msg/")
    if name not in store.types:
        store.register(get_types_from_msg(schema.data.decode(), name))
    read = store.deserialize_cdr if encoding == "cdr" else store.deserialize_ros1
    return lambda data: of_ros(read(data, name))


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
