"""What names a bag: a path, and perhaps a topic in it. Imports nothing that reads one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

SUFFIXES = frozenset({".mcap", ".bag"})

_ROSBAG2 = frozenset({".db3", ".mcap"})


def split_topic(text: str) -> tuple[Path, str | None]:
    """The path and the topic of ``drive.mcap?topic=/camera/front``; no topic without one.

    >>> split_topic("drive.mcap?topic=/camera/front")[1]
    '/camera/front'
    """
    path, mark, topic = text.rpartition("?topic=")
    return (Path(path), unquote(topic)) if mark else (Path(text), None)


def is_bag(path: Path) -> bool:
    """Whether ``path`` is a bag: a file by its suffix, or a folder with rosbag2's metadata."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() and any(
            each.suffix in _ROSBAG2 for each in path.iterdir()
        )
    return path.suffix.lower() in SUFFIXES
