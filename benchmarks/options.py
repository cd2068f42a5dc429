"""What every part may be asked, and how a part that cannot be measured ends."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import facts
from benchmarks.report import pages, results
from benchmarks.report.results import Part
from benchmarks.studied import Studied, read_study
from oneglance.models.engines.loading import DEFAULT_ENGINE, DEFAULT_PRECISION, check_choice
from oneglance.models.tasks import Task
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.streams.errors import OneglanceError, SourceNotFound, UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import os_error, write_file

CLIP = facts.ROOT.parent / "shared" / "clips" / "udacity_lanes_540p.mp4"
DATA = facts.ROOT.parent / "shared" / "data" / "gtsdb" / "data.yaml"
PEERS_PYTHON = facts.ROOT / ".venv-peers" / "bin" / "python"
ROBOFLOW_PYTHON = facts.ROOT / ".venv-peers-roboflow" / "bin" / "python"

WARMUP = 20


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a part, checked. ``frames``: timed frames of an arm in one round.

    ``four``: a trained file for each task, there or not; None where there are none. ``data``: sets
    whose val images are scored, less those that any of them trains on.
    """

    model: Path
    clip: str
    out: Path
    rounds: int
    frames: int
    warmup: int
    seconds: float
    peers_python: Path
    roboflow_python: Path
    four: Mapping[Task, Path] | None
    weights: Path | None
    data: tuple[Path, ...]
    engine: str = DEFAULT_ENGINE
    precision: str = DEFAULT_PRECISION

    @property
    def arm(self) -> tuple[str, ...]:
        """The arguments every arm takes."""
        return (
            *("--model", str(self.model), "--clip", self.clip),
            *("--frames", str(self.frames), "--warmup", str(self.warmup)),
        )


def parser(description: str | None, *, rounds: int, frames: int) -> argparse.ArgumentParser:
    """The arguments every part takes; ``rounds`` and ``frames`` are the part's own defaults."""
    arguments = argparse.ArgumentParser(description=description)
    add, own = arguments.add_argument, "each part has its own"
    add("--model", help=f"name in the zoo, or an ONNX file of ours ({DEFAULT})")
    add("--clip", type=Path, default=CLIP, help="video to run on")
    add("--out", type=Path, help="results folder; results/<date>-<device> by default")
    add("--rounds", type=int, default=rounds, help=f"turns an arm gets ({rounds or own})")
    add("--frames", type=int, default=frames, help=f"timed frames of a turn ({frames or own})")
    add("--warmup", type=int, default=WARMUP, help=f"frames before them ({WARMUP})")
    add("--seconds", type=float, default=60.0, help="live part: seconds of each run (60)")
    add("--peers-python", type=Path, default=PEERS_PYTHON, help="interpreter of the peers")
    add("--roboflow-python", type=Path, default=ROBOFLOW_PYTHON, help="that of roboflow inference")
    add("--single-task", type=Path, help="folder of trained <task>-n.onnx files")
    add("--engine", default=DEFAULT_ENGINE, help="of one_vs_four and accuracy: or openvino")
    add("--precision", default=DEFAULT_PRECISION, help="the same: fp32, or bf16 with openvino")
    add("--weights", type=Path, help="model.pt, to export other input sizes from")
    add("--data", type=Path, help="labelled data for the accuracy part (gtsdb)")
    add("--study", type=Path, help="study's folder: its models, data and weights instead of these")
    add("--seed", type=int, default=0, help="the study's seed (0)")
    return arguments


def check(found: argparse.Namespace) -> Options:
    """``found`` as ``Options``.

    Raises:
        ModelError: no such model.
        SourceNotFound: no such clip.
        SinkError: the results folder holds what no benchmark wrote.
        UsageError: a number that makes no sense, no such engine or precision, or a study beside
            what it would give.
        DataError: a damaged study.
    """
    for name in ("rounds", "frames"):
        if getattr(found, name) < 1:
            raise UsageError(f"--{name} must be at least 1, not {getattr(found, name)}")
    if found.warmup < 0 or found.seconds <= 0:
        raise UsageError("--warmup cannot be negative and --seconds must be above 0")
    if not found.clip.is_file():
        raise SourceNotFound(
            f"no clip {found.clip}: name a video with --clip "
            "(the project's own clips lie in ../shared/clips, which is not part of the repository)"
        )
    check_choice(found.engine, found.precision)
    given = _files(found)
    out = found.out or _folder(found)
    OutputFolder(out, results.MADE_BY).check([found.clip, given.model, *given.data])
    return Options(
        model=given.model.resolve(),
        clip=str(found.clip.resolve()),
        out=out,
        rounds=found.rounds,
        frames=found.frames,
        warmup=found.warmup,
        seconds=found.seconds,
        # Not resolved: a virtual environment's python is a link, and the link is what matters.
        peers_python=found.peers_python.absolute(),
        roboflow_python=found.roboflow_python.absolute(),
        four=given.four or None,
        weights=given.weights,
        data=given.data,
        engine=found.engine,
        precision=found.precision,
    )


def _folder(found: argparse.Namespace) -> Path:
    """Today's, and another one for what another engine did: none overwrites the other."""
    folder = facts.folder_today()
    if (found.engine, found.precision) == (DEFAULT_ENGINE, DEFAULT_PRECISION):
        return folder
    return folder.with_name(f"{folder.name}-{found.engine}-{found.precision}")


def _files(found: argparse.Namespace) -> Studied:
    """Models and data: a study's, or those named one by one."""
    named = [
        f"--{name.replace('_', '-')}"
        for name in ("model", "single_task", "weights", "data")
        if getattr(found, name) is not None
    ]
    if found.study is None:
        folder = found.single_task
        four = {} if folder is None else {task: folder / f"{task.value}-n.onnx" for task in Task}
        model = resolve_model(found.model or DEFAULT)
        return Studied(model, found.weights, four, (found.data or DATA,))
    if named:
        raise UsageError(f"--study brings models and data of its own: leave {named[0]} out")
    return read_study(found.study, found.seed)


def main(
    part: Callable[[Options], Part], description: str | None, *, rounds: int, frames: int
) -> None:
    """Measure a part, write ``<part>.json`` and ``<part>.md``, print the latter."""
    found = parser(description, rounds=rounds, frames=frames).parse_args()
    with in_sentences():
        write(part, check(found))


@contextmanager
def in_sentences() -> Iterator[None]:
    """What a user can mend, and what the system refuses, is one sentence and exit code 2."""
    try:
        yield
    except (OneglanceError, OSError) as error:
        print(f"error: {in_words(error)}", file=sys.stderr)
        sys.exit(2)


def in_words(error: OneglanceError | OSError) -> str:
    """What to print of it."""
    return str(os_error(error) if isinstance(error, OSError) else error)


def write(part: Callable[[Options], Part], options: Options) -> Part:
    """Measure a part with ``options`` and write it down."""
    started = time.monotonic()
    measured = part(options)
    measured.took_s = round(time.monotonic() - started, 1)
    print(keep(measured, options.out))
    return measured


def keep(part: Part, folder: Path) -> str:
    """Write ``<part>.json`` and ``<part>.md`` into ``folder``; returns the page.

    Raises:
        SinkError: the folder cannot be written.
    """
    file, page = results.write(part, folder), pages.page(part)
    write_file(file.with_suffix(".md"), page)
    return page
