"""How the messages of a channel are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from oneglance.streams.bags.bag import said
from oneglance.streams.bags.messages import (
    ImageMessage,
    Undecodable,
    of_json,
    of_protobuf,
    of_ros,
)

_DISTROS = {"cdr": "ROS2_HUMBLE", "ros1": "ROS1_NOETIC"}
"""Whose message definitions read an encoding; ``sensor_msgs`` images are the same in all."""

_ZSTD = b"\x28\xb5\x2f\xfd"


class Decoders:
    """The decoders of a bag's channels, each made once."""

    def __init__(self) -> None:
        self._known: dict[int, Callable[[bytes], ImageMessage]] = {}

    def decode(
        self, channel_id: int, encoding: str, schema: Any, data: bytes
    ) -> ImageMessage | Undecodable:
        """A message of a channel, or why it cannot be read. ``schema``: ``bag.Schema`` or MCAP's,
        which have the same names."""
        try:
            read = self._known.get(channel_id)
            if read is None:
                read = self._known[channel_id] = decoder_for(encoding, schema)
            return read(data)
        except Undecodable as error:
            return error
        except Exception as error:  # noqa: BLE001 - each decoder has errors of its own
            return Undecodable(said(error))


def decoder_for(encoding: str, schema: Any) -> Callable[[bytes], ImageMessage]:
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
        if not schema.data:
            raise Undecodable(f"the bag has no definition of {name}")
        store.register(get_types_from_msg(schema.data.decode(), name))
    if encoding == "ros1":
        return lambda data: of_ros(store.deserialize_ros1(data, name))
    return lambda data: of_ros(store.deserialize_cdr(_unpacked(data), name))


def _unpacked(data: bytes) -> bytes:
    """A message that rosbag2 compressed by itself (``compression_mode: MESSAGE``), else ``data``:
    CDR begins with two bytes that say its byte order."""
    if not data.startswith(_ZSTD):
        return data
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(data)
