"""This tree against an older commit of it, in one run: start, rate, CPU time, memory, age.

    python -m benchmarks.against 9568aa6      # about six minutes on two idle CPUs

Both are laid out afresh and compiled, run the same model file and take turns.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.parts.throughput import rate
from benchmarks.processes import Answer, Arm, Measured, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.streams.errors import SourceUnreadable, UsageError

BEFORE, NOW = "before", "now"
ENGINES = ("onnxruntime", "openvino")
STARTED = 2
"""Frames of a run that is all start: two, as time is counted from one to the next."""

LIVE_FRAMES = 100

PLAYED = 4
"""Times that a rate's clip is played without a break: while the first hundred frames pass, caches
fill and threads find their places, and a rate of two seconds is mostly that."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its unit, how it is had from a run's and a start's answer, and its goal."""

    label: str
    unit: str
    of: Callable[[Answer, Answer], float]
    better: str = "lower"
    at_least: float | None = None
    at_most: float | None = None


ROWS = (
    Row("rate", "frames/s", lambda run, _: rate(run), "higher", at_least=0.99),
    Row(
        "CPU time a frame",
        "ms",
        lambda run, start: (
            1e3 * (run["cpu_s"] - start["cpu_s"]) / (run["frames"] - start["frames"])
        ),
        at_most=1.01,
    ),
    Row("CPU time of the run", "s", lambda run, _: run["cpu_s"], at_most=1.01),
    Row("CPU time of the start", "s", lambda _, start: start["cpu_s"]),
    Row("time to the first frame", "s", lambda _, start: start["first_s"]),
    Row("peak memory", "MB", lambda run, _: run["peak_mb"], at_most=1.01),
)
AGE = Row("age, live", "ms", lambda run, _: intervals.median(run["ages_ms"]))


def lay_out(tree: Path, folder: Path) -> Path:
    """``tree``'s packages as they install, below ``folder``, compiled; the command that runs them.

    Raises:
        UsageError: another oneglance would run.
    """
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    for package, place in project["tool"]["setuptools"]["package-dir"].items():
        space, _, name = package.partition(".")
        if "." not in name:  # the others lie in these
            (folder / space).mkdir(parents=True, exist_ok=True)
            (folder / space / name).symlink_to(tree / place, target_is_directory=True)
    # As an installed package is; not below the folder, as links are not followed.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", str(tree)],
        check=False,
        stdout=subprocess.DEVNULL,
    )
    module, _, function = project["project"]["scripts"]["oneglance"].partition(":")
    command = folder / "oneglance-command"
    start = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(folder)!r})\n"
    command.write_text(f"{start}from {module} import {function}\nsys.exit({function}())\n")
    command.chmod(0o755)
    shown = f"{start}import oneglance.streams\nprint(oneglance.streams.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True
    ).stdout
    if not Path(found.strip()).resolve().is_relative_to(tree.resolve()):
        raise UsageError(f"{found.strip()} would run in place of {tree}")
    return command


def check_out(commit: str, tree: Path) -> None:
    """The files of ``commit``.

    Raises:
        UsageError: there is no such commit, or this is no clone.
    """
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit, "--"],
        cwd=facts.ROOT,
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        words = packed.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"cannot check out {commit}: {words[-1] if words else 'git failed'}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as content:
        content.extractall(tree, filter="data")


def copy_packages(tree: Path) -> None:
    """This tree as it is, changes included."""
    tree.mkdir()
    shutil.copy2(facts.ROOT / "pyproject.toml", tree)
    for name in ("streams", "models", "perception"):
        shutil.copytree(
            facts.ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__")
        )


def lengthen(clip: str, file: Path, *, times: int) -> None:
    """``clip``'s video so many times over in ``file``, its packets as they are.

    Raises:
        SourceUnreadable: it is no video.
    """
    with av.open(str(file), "w") as joined:
        stream = None
        offset = 0
        for _ in range(times):
            end = offset
            with av.open(clip) as once:
                if not once.streams.video:
                    raise SourceUnreadable(f"{clip} has no video in it")
                video = once.streams.video[0]
                stream = stream or joined.add_stream_from_template(video)
                for packet in once.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue  # the last one, which is empty
                    end = max(end, offset + packet.pts + (packet.duration or 1))
                    packet.pts += offset
                    packet.dts += offset
                    packet.stream = stream
                    joined.mux(packet)
            offset = end


def arms(
    asked: Options, commands: dict[str, Path], engines: Sequence[str], longer: Path
) -> list[Arm]:
    """A run and a start of each, in each engine, and a live run in the first one; ``longer``: the
    clip of the runs."""

    def arm(name: str, which: str, engine: str, *how: str) -> Arm:
        clip = str(longer) if name == "run" else asked.clip
        given = ("--model", str(asked.model), "--clip", clip, "--engine", engine)
        command = ("--command", str(commands[which]), *how)
        label = f"{which}, {engine}, {name}"
        return Arm(f"{which}.{engine}.{name}", label, "benchmarks.arms.command", given + command)

    found = []
    for engine in engines:
        for which in (BEFORE, NOW):
            run = ("--frames", str(PLAYED * asked.frames), "--warmup", str(asked.warmup))
            start = ("--frames", str(STARTED - 1), "--warmup", "0")
            found += [arm("run", which, engine, *run), arm("start", which, engine, *start)]
    live = ("--mode", "live", "--frames", str(LIVE_FRAMES), "--warmup", str(asked.warmup))
    return found + [arm("live", which, engines[0], *live) for which in (BEFORE, NOW)]


def compare(part: Part, measured: Measured, engine: str) -> list[tuple[str, ...]]:
    """The rows of one engine, and their claims; none where an arm failed."""

    def answers(which: str, name: str) -> list[Answer]:
        return measured.answers.get(f"{which}.{engine}.{name}", [])

    def values(row: Row, which: str) -> list[list[float]]:
        pairs = zip(answers(which, "run"), answers(which, "start"), strict=True)
        return [[row.of(run, start)] for run, start in pairs]

    rows = []
    if all(answers(which, name) for which in (BEFORE, NOW) for name in ("run", "start")):
        for row in ROWS:
            both = values(row, BEFORE), values(row, NOW)
            rows.append(_row(part, f"{engine}: {row.label}", row, both))
    if answers(BEFORE, "live") and answers(NOW, "live"):
        ages = tuple([a["ages_ms"] for a in answers(which, "live")] for which in (BEFORE, NOW))
        rows.append(_row(part, f"{engine}: {AGE.label}", AGE, (ages[0], ages[1])))
    return rows


def _row(
    part: Part, label: str, row: Row, rounds: tuple[list[list[float]], list[list[float]]]
) -> tuple[str, ...]:
    medians = []
    for which, each in zip((BEFORE, NOW), rounds, strict=True):
        name = f"{label}, {which}"
        figure = part.add(name, name, each, unit=row.unit, better=row.better)
        medians.append(f"{figure.median:.4g} {row.unit}")
    found = intervals.ratio(rounds[1], rounds[0])
    claim = part.claim(label, label, found, at_least=row.at_least, at_most=row.at_most)
    met = {None: "", True: "yes", False: "**no**"}[claim.met]
    ratio = f"{found.value:.3f}× [{found.low:.3f} to {found.high:.3f}]"
    return (label, *medians, ratio, claim.goal, met)


def measure_against(asked: Options, commit: str) -> Part:
    """All of it; an arm that fails is a hole, and what needs it is left out."""
    part = Part(
        part="against",
        title=f"This tree against {commit}",
        facts=facts.gather(asked.model, asked.clip),
        timer="oneglance run as a user starts it, from outside. rate: between lines written, the "
        "first frames left out. CPU time a frame: a long run less one of two frames. start: that "
        "one, from the command to the first line. age, live: the clip at its own pace; 9568aa6 "
        "and before count it from when the image was converted, later ones from before that",
        silent_on=["accuracy and what is found: both run the same model file"],
    )
    engines = [e for e in ENGINES if importlib.util.find_spec(e) is not None]
    with tempfile.TemporaryDirectory() as folder:
        trees = {BEFORE: Path(folder, "tree-before"), NOW: Path(folder, "tree-now")}
        check_out(commit, trees[BEFORE])
        copy_packages(trees[NOW])
        commands = {w: lay_out(tree, Path(folder, w)) for w, tree in trees.items()}
        longer = Path(folder, "longer.mp4")
        lengthen(asked.clip, longer, times=PLAYED)
        measured = measure(arms(asked, commands, engines, longer), rounds=asked.rounds)
    part.holes += measured.holes
    columns = ("figure", BEFORE, NOW, "now over before", "goal", "met")
    rows = [row for engine in engines for row in compare(part, measured, engine)]
    part.tables.append(results.Table(f"{asked.rounds} rounds, arms in turns", columns, tuple(rows)))
    return part


def main() -> None:
    arguments = options.parser(__doc__, rounds=5, frames=180)
    arguments.add_argument("commit", help="any name that git knows")
    found = arguments.parse_args()
    with options.in_sentences():
        options.write(lambda asked: measure_against(asked, found.commit), options.check(found))


if __name__ == "__main__":
    main()
