"""What a folder or a glob pattern names: images, clips, and files that are neither."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from oneglance.streams.errors import SourceNotFound, SourceUnreadable, StreamError, cause
from oneglance.streams.files.images import IMAGE_SUFFIXES
from oneglance.streams.redaction import redact_address

logger = logging.getLogger(__name__)

CLIP_SUFFIXES = frozenset(
    [
        ".264",
        ".265",
        ".3g2",
        ".3gp",
        ".apng",
        ".asf",
        ".avi",
        ".avif",
        ".f4v",
        ".flv",
        ".gif",
        ".h264",
        ".h265",
        ".heic",
        ".heif",
        ".hevc",
        ".ivf",
        ".m2t",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".nut",
        ".obu",
        ".ogv",
        ".png",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)
"""What libav plays, in a folder of other things too; given by itself, a file may have any name.
Moving images are among them, and still ones that OpenCV does not read."""

_PLAYED = IMAGE_SUFFIXES | CLIP_SUFFIXES
_NAMED = 3


def files_in(path: str | os.PathLike[str]) -> list[Path]:
    """The images and clips of a folder without its hidden files and subfolders, or of a
    pattern, in the order a person would sort them. What else there is, is counted and named in
    a warning; subfolders too, if they hold images or clips.

    A part of a pattern that is the name of a folder or file is that one: ``drive [front]/*.jpg``.

    Raises:
        SourceNotFound: nothing that can be played matches the pattern.
        SourceUnreadable: nothing in the folder can be played, or it may not be looked into.
    """
    text = os.fspath(path)
    try:
        is_folder, found = Path(text).is_dir(), listed(text)
        files = [file for file in found if can_be_played(file)]
        inner = _inner_folders(text) if is_folder else []
    except OSError as error:
        name = redact_address(text)
        raise SourceUnreadable(f"cannot look into {name}: {cause(error)}") from None
    others = sorted(set(found).difference(files), key=natural)
    if not files:
        raise _nothing(text, others, inner, is_folder=is_folder)
    if inner:
        logger.warning("%s: %s", text, _left_out(inner))
    if others:
        logger.warning(
            "%s: %s left out, no image or video by name (%s)",
            *(text, "1 file is" if len(others) == 1 else f"{len(others)} files are"),
            _names(others),
        )
    return sorted(files, key=natural)


def listed(text: str) -> list[Path]:
    """Every file of a folder or a pattern, hidden ones and subfolders left out.

    Raises:
        OSError: a folder cannot be looked into.
    """
    return _in_folder(text) if Path(text).is_dir() else _matching(text)


def can_be_played(file: Path) -> bool:
    """Whether the name says that this is an image or a clip, and it is no folder."""
    # By its name alone: whether a PNG moves, it plays, and a folder may hold a hundred thousand.
    return file.suffix.lower() in _PLAYED and not file.is_dir()


def natural(file: Path) -> tuple[list[int | str], str]:
    """frame2 before frame10."""
    words: list[int | str] = list(re.split("([0-9]+)", str(file).lower()))
    words[1::2] = [int(word) for word in words[1::2]]  # numbers stand at odd places always
    return words, str(file)


def _in_folder(folder: str) -> list[Path]:
    return [p for p in Path(folder).iterdir() if not p.name.startswith(".") and not p.is_dir()]


def _inner_folders(folder: str) -> list[Path]:
    """The subfolders that hold images or clips themselves."""
    with os.scandir(folder) as entries:  # which knows of most what they are
        inner = [Path(each) for each in entries if each.is_dir() and not each.name.startswith(".")]
    found = []
    for path in inner:
        with suppress(OSError):  # not ours to look into
            found += [path] if any(map(can_be_played, path.iterdir())) else []
    return sorted(found, key=natural)


def _left_out(inner: Sequence[Path]) -> str:
    count = "1 folder in it is" if len(inner) == 1 else f"{len(inner)} folders in it are"
    return (
        f"{count} left out ({_names(inner)}): name a folder, or a pattern of files such as "
        f"'{inner[0].parent}/**/*{_suffix_in(inner[0])}'"
    )


def _suffix_in(folder: Path) -> str:
    return min((file.suffix for file in folder.iterdir() if can_be_played(file)), default=".jpg")


def _matching(pattern: str) -> list[Path]:
    found = glob.glob(_literal_where_it_exists(pattern), recursive=True)  # noqa: PTH207 - any root
    files = [file for name in found if not (file := Path(name)).is_dir()]
    return [file for file in files if not _is_in_circle(file)] if "**" in pattern else files


def _is_in_circle(file: Path) -> bool:
    """Whether a link on the way leads back to where it lies: ``**`` would go round and round."""
    return any(
        parent.is_symlink() and parent.parent.resolve().is_relative_to(parent.resolve())
        for parent in file.parents
    )


def _literal_where_it_exists(pattern: str) -> str:
    """``pattern`` with what is the name of something at its beginning taken by its letters."""
    path = Path(pattern)
    literal, rest = Path(), list(path.parts)
    while rest and os.path.lexists(literal / rest[0]):
        literal /= rest.pop(0)
    return str(Path(glob.escape(str(literal)), *rest)) if literal.parts else pattern


def _nothing(
    text: str, others: Sequence[Path], inner: Sequence[Path], *, is_folder: bool
) -> StreamError:
    name = redact_address(text)
    if is_folder:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        known += f"; videos: {' '.join(sorted(CLIP_SUFFIXES))}"
        there = f"; it holds {_names(others)}" if others else ""
        there += f"; {_left_out(inner)}" if inner else ""
        return SourceUnreadable(
            f"folder {name} has no image in it and no video (images: {known}){there}"
        )
    count = "1 other file does" if len(others) == 1 else f"{len(others)} other files do"
    why = f" ({count}: {_names(others)})" if others else ""
    return SourceNotFound(f"no image or video matches {name}{why}")


def _names(files: Iterable[Path]) -> str:
    """The first names, and how many there are of each suffix."""
    names = [file.name for file in files]
    first = ", ".join(names[:_NAMED])
    if len(names) <= _NAMED:
        return first
    suffixes = Counter(Path(name).suffix.lower() or "no suffix" for name in names)
    return f"{first}, …; " + ", ".join(
        f"{count} {suffix}" for suffix, count in suffixes.most_common(5)
    )
