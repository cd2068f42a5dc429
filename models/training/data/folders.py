"""Where the files of a data set lie: below folders, in lists, in COCO's files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import normalize

from oneglance.models.training.data.text import YamlFile, read_text
from oneglance.streams.errors import DataError, SinkError
from oneglance.streams.outputs import real_path

NO_ENTRY: tuple[object, ...] = (None, "", "~", "null", [])
"""What a key says that says nothing."""


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


def folders_of(source: YamlFile, splits: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """What the file names for each of ``splits``, be it there or not.

    Raises:
        DataError: it names nothing for any of them.
    """
    root = root_of(source)
    folders: dict[str, tuple[Path, ...]] = {}
    for split in splits:
        value = source.content.get(split)
        if value not in NO_ENTRY:
            entries = value if isinstance(value, list) else [value]
            folders[split] = tuple(entry_of(root, str(entry)) for entry in entries)
    if not folders:
        raise DataError(f"{source.path} has neither 'train:' nor 'val:'")
    return folders


def files_below(folder: Path) -> list[Path]:
    """Every file below ``folder``, linked folders looked through too; no order is promised.

    A link to a folder that it lies in is not followed: it would lead round for ever.

    Raises:
        DataError: a folder cannot be read, or a link leads nowhere.
    """
    found: list[Path] = []
    waiting = [(folder, frozenset({real_path(folder)}))]
    while waiting:
        here, above = waiting.pop()
        try:
            entries = list(here.iterdir())
        except OSError as error:
            raise DataError(f"cannot look through {here}: {error.strerror}") from None
        for entry in entries:
            if entry.is_dir():
                real = real_path(entry)
                if real not in above:
                    waiting.append((entry, above | {real}))
            elif entry.suffix or entry.exists():
                found.append(entry)
            else:
                raise DataError(f"{entry} is a link that leads nowhere: images may lie behind it")
    return found


def same_name(file: Path, suffixes: Sequence[str]) -> Path:
    """``file``, or the spelling of its name in Unicode by which there is one of ``suffixes``: macOS
    and archives made there write an accent as a letter of its own."""
    spellings = [file, *(file.with_name(normalize(form, file.name)) for form in ("NFC", "NFD"))]
    for spelling in spellings:
        if any(spelling.with_suffix(suffix).exists() for suffix in suffixes):
            return spelling
    return file


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
    if any("\0" in line for line in lines):
        raise DataError(f"{file} is no list of images: there are zero bytes in it")
    return [file.parent / line.strip() for line in lines if line.strip()]


def refuse_among(out: Path, folders: Iterable[Path], file: Path) -> None:
    """Refuse an output folder below one of the ``folders`` of images that ``file`` names: images in
    it would become more of them.

    Raises:
        SinkError: it lies in one, or is one.
    """
    place = real_path(out)
    for folder in folders:
        if folder.is_dir() and place.is_relative_to(real_path(folder)):
            raise SinkError(
                f"cannot write to {out}: it lies in {folder}, and images in there are those of "
                f"{file}; give an output folder elsewhere"
            )


def identity(file: Path) -> object:
    """What is equal for the same file on the disk, by whatever link, hard ones included."""
    try:
        found = file.stat()
    except OSError:
        return real_path(file)
    return (found.st_dev, found.st_ino) if found.st_ino else real_path(file)


def root_of(source: YamlFile) -> Path:
    """The folder that a data set's paths start from."""
    path = source.content.get("path")
    return real_path(source.path.parent / ("." if path in NO_ENTRY else str(path)))


def annotations_of(
    source: YamlFile, splits: Sequence[str]
) -> tuple[str, dict[str, tuple[Path, ...]]]:
    """The folder of label files, and COCO's files by split, as ``annotations:`` says.

    Raises:
        DataError: a file or a split that is not there, or more than a folder's name.
    """
    value = source.content.get("annotations")
    root = root_of(source)
    if value in NO_ENTRY:
        return "labels", {}
    if isinstance(value, str) and Path(value).suffix != ".json":
        if Path(value).name != value:
            raise DataError(
                f"{source.at('annotations')}: 'annotations:' is the name of one folder, like "
                "labels, or COCO's JSON files"
            )
        return value, {"": coco_in(root / value)}
    by_split = value if isinstance(value, dict) else {"": value}
    found: dict[str, tuple[Path, ...]] = {}
    for split, entry in by_split.items():
        files = tuple(root / str(file) for file in (entry if isinstance(entry, list) else [entry]))
        missing = [str(file) for file in files if not file.is_file()]
        if missing or str(split) not in {"", *splits}:
            what = f"{missing[0]} does not exist" if missing else f"there is no split '{split}'"
            raise DataError(f"{source.at('annotations')}: 'annotations:': {what}")
        found[str(split)] = files
    return "labels", found
