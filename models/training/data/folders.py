"""Where the files of a data set lie: below folders, in lists, in COCO's files."""

from __future__ import annotations

from pathlib import Path

from oneglance.models.training.data.text import read_text
from oneglance.streams.errors import DataError


def coco_in(folder: Path) -> tuple[Path, ...]:
    """COCO's files in a folder; beside captions and key points, the boxes are in instances."""
    files = sorted(folder.glob("*.json"))
    return tuple([f for f in files if f.name.startswith("instances_")] or files)


def entry_of(root: Path, entry: str) -> Path:
    """A split's folder; Roboflow writes ``../train/images`` for what lies beside the file."""
    found = root / entry
    if not found.exists() and entry.startswith("../"):
        found = root / entry.removeprefix("../")
    return found


def files_below(folder: Path) -> list[Path]:
    """Every file below ``folder``, linked folders looked through too; no order is promised.

    A link to a folder that it lies in is not followed: it would lead round for ever.

    Raises:
        DataError: a folder cannot be read, or a link leads nowhere.
    """
    found: list[Path] = []
    waiting = [(folder, frozenset({folder.resolve()}))]
    while waiting:
        here, above = waiting.pop()
        try:
            entries = list(here.iterdir())
        except OSError as error:
            raise DataError(f"cannot look through {here}: {error.strerror}") from None
        for entry in entries:
            if entry.is_dir():
                real = entry.resolve()
                if real not in above:
                    waiting.append((entry, above | {real}))
            elif entry.suffix or entry.exists():
                found.append(entry)
            else:
                raise DataError(f"{entry} is a link that leads nowhere: images may lie behind it")
    return found


def listed(file: Path) -> list[Path]:
    """The images that a text file lists, beside it.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} is no list of images: {getattr(error, 'strerror', error)}"
        ) from None
    return [file.parent / line.strip() for line in lines if line.strip()]
