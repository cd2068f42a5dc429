"""What a folder of trainings needs to go on elsewhere, in files small enough to be carried.

``state.zip.0`` and on are parts of one archive: recipes, weights and marks, and of trainings that
are not finished the last checkpoint. Images and caches are made again where they are needed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from oneglance.streams.errors import DataError
from oneglance.streams.outputs import write_file

NAME = "state.zip"
_MADE_AGAIN = frozenset({"data", "cache", "tight", "beyond"})


def save_state(folder: Path, limit: int) -> list[Path]:
    """Write the parts, each of at most ``limit`` bytes, into ``folder``; returns them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _needed(folder):
            archive.write(file, file.relative_to(folder).as_posix())
    content = buffer.getvalue()
    for old in folder.glob(f"{NAME}.[0-9]*"):
        old.unlink()
    parts = []
    for number, start in enumerate(range(0, len(content), limit)):
        parts.append(folder / f"{NAME}.{number}")
        write_file(parts[-1], content[start : start + limit])
    return parts


def restore_state(folder: Path) -> int:
    """Write what the parts in ``folder`` hold and is not there; returns how many files.

    Raises:
        DataError: a part is missing or damaged; nothing is written then.
    """
    parts = sorted(folder.glob(f"{NAME}.[0-9]*"), key=lambda part: int(part.suffix[1:]))
    if not parts:
        return 0
    written = 0
    try:
        with zipfile.ZipFile(io.BytesIO(b"".join(part.read_bytes() for part in parts))) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(damaged)
            for entry in archive.namelist():
                target = folder / entry
                if not target.resolve().is_relative_to(folder.resolve()):
                    raise DataError(f"{parts[0]}: {entry} would be written outside of {folder}")
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_file(target, archive.read(entry))
                    written += 1
    except (OSError, ValueError, zipfile.BadZipFile):
        raise DataError(
            f"{folder}: {', '.join(part.name for part in parts)} are not all parts of one state, "
            "or are damaged: carry them again, or remove them to begin anew"
        ) from None
    return written


def _needed(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        top = inside.parts[0]
        if not file.is_file() or file.suffix == ".onnx" or top.startswith(NAME):
            continue
        if _MADE_AGAIN & set(inside.parts[:-1]) or file.name == "best.pt":
            continue
        if file.name == "last.pt" and _finished(file.parent.parent):
            continue
        yield file


def _finished(training: Path) -> bool:
    recipe = training / "recipe.json"
    if not (recipe.is_file() and (training / "model.pt").is_file()):
        return False
    return "stopped" not in json.loads(recipe.read_text(encoding="utf-8"))
