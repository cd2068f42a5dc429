"""What a run would write, held against what it reads and against itself before all work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from oneglance.perception.plugins import SinkChoice
from oneglance.perception.sinks.files import check_writable, foxglove_beside, is_standard_output
from oneglance.streams.errors import OneglanceError, UsageError
from oneglance.streams.opening import files_read
from oneglance.streams.outputs import refuse_inputs, same_file

_TO_STANDARD_OUTPUT = frozenset({"csv", "jsonl"})
"""Sinks that write there where no file is named."""


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
        UsageError: an output is a source, or given twice; or it is a link to nowhere.
        SinkError: it is the model, or cannot be written.
    """
    if video is not None and len(sources) > 1:
        raise UsageError("--video takes one source: run the sources one by one")
    named = [p for p in (jsonl, video, json_summary) if p is not None]
    outputs = [Path(p) for p in named if not is_standard_output(p)]
    files = [file for text in sinks for file in _files_of(SinkChoice.parse(text))]
    on_stdout = sum(map(is_on_standard_output, sinks))
    if len(named) - len(outputs) + on_stdout > 1:
        raise UsageError("standard output is given for two outputs")
    every = [*outputs, *files]
    for output in every:
        if output.is_symlink() and not output.resolve().parent.is_dir():
            raise UsageError(f"cannot write {output}: it is a link to nowhere ({_target(output)})")
        if any(_is_read(output, source) for source in sources):
            raise UsageError(f"{output} is the source: writing there would destroy it")
        refuse_inputs(output, [model])
        if sum(_is_one_file(output, other) for other in every) > 1:
            raise UsageError(f"{output} is given for two outputs")
    for output in outputs:
        check_writable(output)  # an hour's run must not end in a path that never worked


def is_on_standard_output(sink: str) -> bool:
    """Whether a sink, as ``--sink`` has it, writes where people would read the summary."""
    name, _, target = sink.partition(":")
    return is_standard_output(target) if target else name.strip() in _TO_STANDARD_OUTPUT


def _files_of(choice: SinkChoice) -> Iterator[Path]:
    """The files that a sink writes, as far as its target tells."""
    target, _, query = choice.target.partition("?")
    if not target or is_standard_output(choice.target):
        return
    yield Path(target)
    if query and choice.name not in {"mcap", "rerun"}:  # of a file it may be a part of the name
        yield Path(choice.target)
    if choice.name == "mcap" and "format=" not in query.replace("format=both", ""):
        yield foxglove_beside(Path(target))


def _is_one_file(one: Path, other: Path) -> bool:
    """Whether both names lead to one place, where a file need not be yet."""
    with suppress(OSError, RuntimeError):  # a circle of links
        if one.resolve() == other.resolve():
            return True
    return one == other or same_file(one, other)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return "it cannot be read"


def _is_read(output: Path, source: str) -> bool:
    """Whether it is the source, or one of the files that make it up."""
    with suppress(OSError):
        if not output.is_file():
            return False
    try:
        return any(same_file(output, file) for file in files_read(source))
    except (OneglanceError, OSError):  # which is said where it is opened
        return False
