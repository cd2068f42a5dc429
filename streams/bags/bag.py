"""What every bag can do, whatever wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from oneglance.streams.bags.messages import ImageMessage, Topic, Undecodable, carries

UNFINISHED = "the recording was never finished, or the copy is truncated"


class BagTruncated(Exception):
    """The bag ends in the middle, or is damaged there; its text says how."""


def said(error: Exception) -> str:
    """What a library says of a damaged bag, as part of a sentence: its first line, which quotes
    nothing that cannot be printed."""
    lines = str(error).splitlines() or [""]
    line = "".join(each for each in lines[0][:_LONGEST] if each.isprintable()).rstrip(" :")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


_LONGEST = 160


class Bag(Protocol):
    """An open bag."""

    def topics(self) -> tuple[Topic, ...]:
        """Its camera topics, by name; of a truncated bag those before its end."""
        ...

    def messages(self, topic: Topic) -> Iterator[ImageMessage | Undecodable]:
        """Those of one topic; an ``Undecodable`` in the place of one that cannot be read.

        Raises:
            BagTruncated: the bag ends in the middle; what came before is good.
        """
        ...

    @property
    def truncation(self) -> str | None:
        """What is wrong with the bag, as far as ``topics`` has found out."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(frozen=True, slots=True)
class Schema:
    """How messages of a type are laid out. ``id``: unique in the bag; ``data``: the definition, in
    ``encoding``; empty where the bag has none."""

    id: int
    name: str
    encoding: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Channel:
    """What wrote messages to a topic. ``id``: unique in the bag; ``encoding``: of its messages."""

    id: int
    topic: str
    encoding: str
    schema: Schema


def camera_topics(found: Iterable[tuple[str, str, int | None]]) -> tuple[Topic, ...]:
    """The camera topics among those of a bag (name, type, messages or None), by name; counts of
    one topic are added up."""
    topics: dict[str, Topic] = {}
    for name, type_name, count in found:
        how = carries(type_name)
        if how is None:
            continue
        before = topics.get(name)
        total = count
        if before is not None:
            total = None if count is None or before.count is None else count + before.count
        topics[name] = Topic(name, type_name, how, total)
    return tuple(topics[name] for name in sorted(topics))
