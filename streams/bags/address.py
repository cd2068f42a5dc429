"""What names a bag: a path, and perhaps a topic in it. Imports nothing that reads one."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

SUFFIXES = frozenset({".mcap", ".bag", ".db3"})

METADATA = "metadata.yaml"

_UNFINISHED = ".bag.active"
_PART = re.compile(r"(?P<bag>.+?)(?:_(?P<number>[0-9]+))?(?P<kind>\.db3|\.mcap)(?:\.zstd)?")


def split_topic(text: str) -> tuple[Path, str | None]:
    """The path and the topic of ``drive.mcap?topic=/camera/front``; no topic without one.

    >>> split_topic("drive.mcap?topic=/camera/front")[1]
    '/camera/front'
    """
    path, mark, topic = text.rpartition("?topic=")
    return (Path(path), unquote(topic)) if mark else (Path(text), None)


def is_bag(path: Path) -> bool:
    """Whether ``path`` is a bag: a file by its suffix, a folder by rosbag2's metadata or, where a
    recorder crashed before it wrote them, by files that are one recording.

    Raises:
        OSError: the folder cannot be looked into.
    """
    if not path.is_dir():
        return path.suffix.lower() in SUFFIXES or is_unfinished_ros1(path)
    metadata = path / METADATA
    if metadata.is_file() and b"rosbag2_bagfile_information" in metadata.read_bytes():
        return True
    return bool(files_of(path))


def is_unfinished_ros1(path: Path) -> bool:
    """Whether a file is named as ROS 1 names a bag while it records."""
    return path.name.lower().endswith(_UNFINISHED)


def files_of(folder: Path) -> list[Path]:
    """The files of a rosbag2 folder in their order, by their names alone: ``drive_0.db3``,
    ``drive_1.db3``; none where they are not of one recording, or something else is there to play.
    """
    parts: dict[Path, int] = {}
    bags: set[tuple[str, str]] = set()
    for file in folder.iterdir():
        if (found := _PART.fullmatch(file.name)) and file.is_file():
            parts[file] = int(found["number"] or 0)
            bags.add((found["bag"], found["kind"]))
        elif file.name != METADATA and not file.name.endswith(_BESIDE):
            return []
    return sorted(parts, key=lambda file: (parts[file], file.name)) if len(bags) == 1 else []


_BESIDE = ("-wal", "-shm", "-journal", ".txt", ".md", ".yaml")
"""Ends of the names of what may lie in a bag's folder and is none."""
