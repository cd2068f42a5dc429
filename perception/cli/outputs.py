"""What a run would write, held against what it reads and against itself before all work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from oneglance.perception.cli.terminal import take_standard_output
from oneglance.perception.plugins import SinkChoice
from oneglance.perception.sinks.files import (
    check_writable,
    foxglove_beside,
    is_standard_output,
    standard_output,
)
from oneglance.streams.entry_points import SINKS, offer_of
from oneglance.streams.errors import OneglanceError, SinkError, UsageError
from oneglance.streams.opening import files_read
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import check_reachable, real_path, refuse_inputs, same_file
from oneglance.streams.redaction import redact

_TO_STANDARD_OUTPUT = frozenset({"csv", "jsonl"})
"""Sinks that write there where no file is named."""

_SENDING = frozenset({"mqtt", "mqtts"})
"""Sinks that write no file."""

_WITH_OPTIONS = frozenset({"mcap", "rerun"})
_WRITING_A_FILE = frozenset({"coco", "csv", "jsonl", "mcap", "rerun", "video"})

_WRITING_A_FOLDER = {"parquet": "run --sink parquet"}
"""Sinks that fill one, and what its mark says."""

_REPORTS = frozenset({".json", ".jsonl", ".csv"})
"""What of an earlier command may lie among what is read."""


def check_outputs(
    sources: Sequence[str],
    *,
    sinks: Sequence[str] = (),
    model: str = "",
    jsonl: str | None = None,
    video: Path | None = None,
    json_summary: Path | None = None,
) -> None:
    """Refuse outputs of ``oneglance run`` that would destroy what is read, or one another.

    Raises:
        UsageError: an output is a source, given twice, or in the folder that another one fills; or
            it is a link to nowhere; there is no such sink.
        SinkError: it is the model, or cannot be written; there is no standard output.
    """
    if video is not None and len(sources) > 1:
        raise UsageError("--video takes one source: run the sources one by one")
    named = [p for p in (jsonl, video, json_summary) if p is not None]
    outputs = [Path(p) for p in named if not is_standard_output(p)]
    files = [file for text in sinks for file in _files_of(SinkChoice.parse(text))]
    on_stdout = sum(map(is_on_standard_output, sinks))
    if len(named) - len(outputs) + on_stdout > 1:
        raise UsageError("standard output is given for two outputs")
    if json_summary is not None and is_standard_output(json_summary):
        standard_output()  # written at the end: an hour's run must not end in one that is closed
    for text in sinks:
        offer_of(SINKS, SinkChoice.parse(text).name, what="sink")
        if sinks.count(text) > 1:
            raise UsageError(f"--sink {text} is given for two outputs")
    every = [*outputs, *files]
    for output in every:
        if output.is_symlink() and not real_path(output).parent.is_dir():
            raise UsageError(f"cannot write {output}: it is a link to nowhere ({_target(output)})")
        if any(_plays(source, output) for source in sources):
            raise UsageError(f"{output} is the source: writing there would destroy it")
        refuse_inputs(output, [model])
        if sum(_is_one_file(output, other) for other in every) > 1:
            raise UsageError(f"{output} is given for two outputs")
    for folder in filter(None, map(_folder_of, sinks)):
        _check_folder(folder, every)
    for output in (*outputs, *filter(None, map(_file_of, sinks))):
        check_writable(output)  # an hour's run must not end in a path that never worked


def is_on_standard_output(sink: str) -> bool:
    """Whether a sink, as ``--sink`` has it, writes where people would read the summary."""
    name, _, target = sink.partition(":")
    return is_standard_output(target) if target else name.strip() in _TO_STANDARD_OUTPUT


def _files_of(choice: SinkChoice) -> Iterator[Path]:
    """The files that a sink writes, as far as its target says."""
    target, _, query = choice.target.partition("?")
    if not target or is_standard_output(choice.target) or choice.name in _SENDING:
        return
    yield Path(target)
    if query and choice.name not in _WITH_OPTIONS:  # of a file it may be a part of the name
        yield Path(choice.target)
    if choice.name == "mcap" and "format=" not in query.replace("format=both", ""):
        yield foxglove_beside(Path(target))


def _file_of(sink: str) -> Path | None:
    """The file that one of our sinks empties when it is opened."""
    choice = SinkChoice.parse(sink)
    target = choice.target.partition("?")[0] if choice.name in _WITH_OPTIONS else choice.target
    is_file = choice.name in _WRITING_A_FILE and target and "://" not in target
    return Path(target) if is_file and not is_standard_output(target) else None


def _folder_of(sink: str) -> OutputFolder | None:
    """The folder that one of our sinks fills."""
    choice = SinkChoice.parse(sink)
    maker = _WRITING_A_FOLDER.get(choice.name)
    return OutputFolder(choice.target, maker) if maker and choice.target else None


def _check_folder(folder: OutputFolder, every: Iterable[Path]) -> None:
    for output in every:
        if real_path(folder.path) in real_path(output).parents:
            raise UsageError(
                f"{output} lies in {folder.name}, which another output fills: give another name"
            )
    folder.check()
    folder.lock()
    folder.release()


def _is_one_file(one: Path, other: Path) -> bool:
    """Whether both names lead to one place, where a file need not be yet."""
    with suppress(OSError):
        if real_path(one) == real_path(other):
            return True
    return one == other or same_file(one, other)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return "it cannot be read"


def check_report(output: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse a file of figures that belongs to what is read or cannot be written, before the work.
    Where it is standard output, what is for people goes to standard error from now on.

    Raises:
        SinkError: see ``check_file`` and ``standard_output``.
    """
    if is_standard_output(output):
        standard_output()
        take_standard_output()
        return
    check_file(output, inputs)


def check_file(output: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse a file that belongs to what is read or cannot be written, before the work.

    Raises:
        SinkError: see ``refuse_read`` and ``check_writable``.
    """
    refuse_read(output, inputs)
    check_writable(output)


def check_made(output: Path, inputs: Iterable[str | Path]) -> None:
    """As ``check_file``, of a file whose folders are made with it.

    Raises:
        SinkError: see ``refuse_read`` and ``check_reachable``.
    """
    refuse_read(output, inputs)
    check_reachable(output)


def refuse_read(output: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output file that is, or belongs to, something that is read: a file, a source
    however it is named, an image or a label of a data set.

    Raises:
        SinkError: it is.
    """
    entries = list(inputs)
    refuse_inputs(output, entries)
    for entry in entries:
        if _plays(str(entry), output) or _is_in_set(output, Path(entry)):
            raise SinkError(
                f"cannot write {output}: it is a part of {redact(str(entry))}, which is read; give "
                "another name"
            )


def _plays(source: str, file: Path) -> bool:
    """Whether a file is the source, or one of those that make it up."""
    with suppress(OSError):
        if not file.is_file():
            return False
    try:
        return any(same_file(file, each) for each in files_read(source))
    except (OneglanceError, OSError):  # which is said where it is opened
        return False


def _is_in_set(file: Path, entry: Path) -> bool:
    """Whether a file is there already in the folder of a data set, and no report of ours."""
    with suppress(OSError):
        folder = entry if entry.is_dir() else entry.parent
        is_set = entry.is_dir() or entry.suffix in {".yaml", ".yml"}
        is_old = file.is_file() and file.suffix.lower() not in _REPORTS
        return is_set and is_old and real_path(file).is_relative_to(real_path(folder))
    return False
