"""Text files of data sets, read as they were written: any byte-order mark, no guessed types."""

from __future__ import annotations

import codecs
import difflib
import errno
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from oneglance.streams.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_LARGEST_YAML = 64 << 20
"""Bytes of a data set file, which names folders and classes."""


def read_text(file: Path) -> str:
    """The text of ``file``: UTF-8, or what its byte-order mark says (Windows editors write one).

    Raises:
        OSError, UnicodeDecodeError: it cannot be read, or is no text.
    """
    content = read_bytes(file)
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8")


def read_bytes(file: Path) -> bytes:
    """The content of ``file``.

    Raises:
        OSError: it cannot be read, or is a pipe or a device.
    """
    refuse_pipe(file)
    return file.read_bytes()


def refuse_pipe(file: Path) -> None:
    """Raise an OSError where ``file`` is no file: a pipe or a device may never end."""
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(file))


class _AsWritten(yaml.SafeLoader):
    """Every scalar is the text that stands there; a key that stands twice is an error.

    YAML 1.1 takes ``off`` for false and ``00010`` for eight. ultralytics does too, but then a
    class is no longer called what its labels mean.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, Any]]] = {}  # noqa: RUF012 - yaml's own form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See ``SafeLoader``."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            word = str(key.value)
            line = key.start_mark.line + 1
            if word in seen and key.tag != "tag:yaml.org,2002:merge":
                raise _Twice(f"'{word}' stands in line {seen[word]} already: keep one", line)
            seen[word] = line
        return super().construct_mapping(node, deep)


_AsWritten.add_constructor("tag:yaml.org,2002:merge", lambda _, node: str(node.value))
_AsWritten.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


class _Twice(Exception):
    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


MOST_VALUES = 1_000_000
"""So many a file may hold, each counted as often as an alias repeats it: a few lines of aliases of
aliases are more than any memory holds."""


def _count(node: yaml.Node | None, counted: dict[int, int]) -> int:
    """How many values ``node`` stands for; ``counted``: of those seen before.

    Raises:
        yaml.composer.ComposerError: more than ``MOST_VALUES``, or endless: it holds itself; or
            there is a zero character in one, which no path and no name has.
    """
    if not isinstance(node, yaml.CollectionNode):
        if node is not None and "\0" in node.value:
            raise yaml.composer.ComposerError(None, None, "a zero character", node.start_mark)
        return 1
    known = counted.get(id(node))
    if known is None:
        counted[id(node)] = MOST_VALUES  # until it is known: who meets it inside goes round
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known = counted[id(node)] = 1 + sum(_count(part, counted) for part in parts)
    if known > MOST_VALUES:
        what = "its aliases repeat themselves or each other more than a million times"
        raise yaml.composer.ComposerError(None, None, what, node.start_mark)
    return known


class YamlFile:
    """A YAML file that holds a mapping: ``content``, its scalars text as written; ``lines``, on
    which line each of its keys stands, counted from 1.

    Raises:
        DataError: there is no such file, it is not YAML, or a key stands in a mapping twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(f"no data set file {path}")
        if path.stat().st_size > _LARGEST_YAML:
            raise DataError(
                f"{path} is no data set file: it is larger than {_LARGEST_YAML >> 20} MB"
            )
        self.content: dict[str, Any] = {}
        self.lines: dict[str, int] = {}
        try:
            text = read_text(path)
            root = yaml.compose(text, Loader=_AsWritten)
            _count(root, {})
            content = yaml.load(text, Loader=_AsWritten)  # noqa: S506 - a SafeLoader
        except _Twice as error:
            raise DataError(f"{path}:{error.line}: {error}") from None
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else f"{path}"
            what = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise DataError(f"{where} is not YAML: {what}") from None
        if isinstance(content, dict) and isinstance(root, yaml.MappingNode):
            self.content = {str(key): value for key, value in content.items()}
            self.lines = {str(key.value): key.start_mark.line + 1 for key, _ in root.value}

    def at(self, key: str) -> str:
        """``file:line`` of a key, or the file where it has none such."""
        return f"{self.path}:{self.lines[key]}" if key in self.lines else str(self.path)


def meant_key(key: str, ours: Collection[str], others: Collection[str]) -> str | None:
    """The key of ``ours`` or ``others`` that ``key`` almost is; None where it is one, or none.

    >>> meant_key("Lables", ["labels"], ["val"]), meant_key("valid", ["labels"], ["val"])
    ('labels', 'val')
    """
    if key in ours or key in others:
        return None
    word = key.strip().lower()
    word = _OTHER_WORDS.get(word, word)
    if word in ours or word in others:
        return word
    return next(iter(difflib.get_close_matches(word, ours, n=1, cutoff=0.75)), None)


_OTHER_WORDS = {
    **dict.fromkeys(("valid", "validate", "validation", "dev"), "val"),
    "training": "train",
    "testing": "test",
    **dict.fromkeys(("name", "class_names", "classnames"), "names"),
}
"""What keys are called elsewhere."""
