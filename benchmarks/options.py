"""What every part may be asked, and how a part that cannot be measured ends."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import facts
import report
import results
from results import Part

from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.streams.errors import OneglanceError, SourceNotFound, UsageError

CLIP = facts.ROOT.parent / "shared" / "clips" / "udacity_lanes_540p.mp4"
PEERS_PYTHON = facts.ROOT / ".venv-peers" / "bin" / "python"

WARMUP = 20


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a part, checked. ``frames``: timed frames of an arm in one round."""

    model: Path
    clip: str
    out: Path
    rounds: int
    frames: int
    warmup: int
    seconds: float
    peers_python: Path
    single_task: Path | None
    weights: Path | None
    data: Path

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
    add("--model", default=DEFAULT, help="name in the zoo, or an ONNX file of ours")
    add("--clip", type=Path, default=CLIP, help="video to run on")
    add("--out", type=Path, help="results folder; results/<date>-<device> by default")
    add("--rounds", type=int, default=rounds, help=f"turns an arm gets ({rounds or own})")
    add("--frames", type=int, default=frames, help=f"timed frames of a turn ({frames or own})")
    add("--warmup", type=int, default=WARMUP, help=f"frames before them ({WARMUP})")
    add("--seconds", type=float, default=60.0, help="live part: seconds of each run (60)")
    add("--peers-python", type=Path, default=PEERS_PYTHON, help="interpreter of the peers")
    add("--single-task", type=Path, help="folder of trained <task>-n.onnx files")
    add("--weights", type=Path, help="model.pt, to export other input sizes from")
    add(
        "--data",
        type=Path,
        default=facts.ROOT.parent / "shared" / "data" / "gtsdb" / "data.yaml",
        help="labelled data for the accuracy part",
    )
    return arguments


def check(found: argparse.Namespace) -> Options:
    """``found`` as ``Options``.

    Raises:
        ModelError: no such model.
        SourceNotFound: no such clip.
        UsageError: a number that makes no sense.
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
    return Options(
        model=resolve_model(found.model).resolve(),
        clip=str(found.clip.resolve()),
        out=found.out or facts.folder_today(),
        rounds=found.rounds,
        frames=found.frames,
        warmup=found.warmup,
        seconds=found.seconds,
        # Not resolved: a virtual environment's python is a link, and the link is what matters.
        peers_python=found.peers_python.absolute(),
        single_task=found.single_task,
        weights=found.weights,
        data=found.data,
    )


def main(
    part: Callable[[Options], Part], description: str | None, *, rounds: int, frames: int
) -> None:
    """Measure a part, write ``<part>.json`` and ``<part>.md``, print the latter."""
    found = parser(description, rounds=rounds, frames=frames).parse_args()
    try:
        write(part, check(found))
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


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
    file, page = results.write(part, folder), report.page(part)
    file.with_suffix(".md").write_text(page, encoding="utf-8")
    return page
