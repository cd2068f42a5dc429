"""Many short clips: what ``oneglance batch`` adds to two processes that play all the time."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import av

from benchmarks import facts, options
from benchmarks.arms import clips as arm
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.streams import open_stream

CLIPS = 200
FEW = 8
LEAST_FRAMES = 8
"""Of a clip: with fewer the part is a smoke test, of few clips."""

WORKERS = 2
DIFFERENT = 20

HOWS = {
    arm.RUN: "two oneglance run, each one long clip",
    arm.PROCESSES: "batch, two processes",
    arm.RAY: "batch, local Ray, two actors",
}
GOALS = {arm.PROCESSES: 0.95, arm.RAY: 0.85}


def measure_batch(asked: Options) -> Part:
    """The same frames as one long clip for each of two processes, and as short clips."""
    count = CLIPS if asked.frames >= LEAST_FRAMES else FEW
    part = Part(
        part="batch",
        title=f"{count} short clips of {asked.frames} frames",
        facts=facts.gather(asked.model, asked.clip),
        timer="frames over the time from the first clip's beginning to the last one's end: decode "
        "to rows. Starts of interpreters, networks and Ray are in the wall time alone. "
        "oneglance run: the rates that both say of themselves, added",
        silent_on=["object stores", "more than one machine", "long clips: they cost less"],
    )
    with tempfile.TemporaryDirectory(prefix="oneglance-bench-") as name:
        make_clips(asked.clip, Path(name), count=count, frames=asked.frames)
        words = ("--model", str(asked.model), "--clip", name, "--frames", "1", "--warmup", "0")
        arms = [
            Arm(how, label, "benchmarks.arms.clips", (*words, "--how", how), timeout_s=600)
            for how, label in HOWS.items()
            if how != arm.RAY or importlib.util.find_spec("ray")
        ]
        measured = measure(arms, rounds=asked.rounds)
    part.holes += measured.holes
    if len(arms) < len(HOWS):
        part.holes.append("local Ray: not measured: needs the extra ray")
    report(part, measured.answers)
    return part


def make_clips(clip: str, folder: Path, *, count: int, frames: int) -> None:
    """``short/000.mp4`` and so on, of ``frames`` frames each; and the same frames as one long
    file for each worker, ``share-0.mp4`` and so on. Short ones repeat after ``DIFFERENT``."""
    (folder / "short").mkdir()
    with open_stream(clip) as stream:
        images = [frame.image for _, frame in zip(range(DIFFERENT * frames), stream, strict=False)]
    parts = [
        [images[(number * frames + at) % len(images)] for at in range(frames)]
        for number in range(min(count, DIFFERENT))
    ]
    for number, part in enumerate(parts):
        _encode(folder / "short" / f"{number:03}.mp4", [part])
    for number in range(len(parts), count):
        (folder / "short" / f"{number:03}.mp4").hardlink_to(
            folder / "short" / f"{number % len(parts):03}.mp4"
        )
    for share in range(WORKERS):
        mine = [parts[number % len(parts)] for number in range(share, count, WORKERS)]
        _encode(folder / f"share-{share}.mp4", mine)


def _encode(file: Path, parts: list[list[Any]]) -> None:
    """Each part begins with a key frame, as a clip does."""
    with av.open(str(file), "w") as container:
        height, width = parts[0][0].shape[:2]
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for part in parts:
            for number, image in enumerate(part):
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                if number == 0:
                    frame.pict_type = av.video.frame.PictureType.I
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def report(part: Part, answers: dict[str, list[Answer]]) -> None:
    """Rates, wall times and what is held to a goal."""
    rates = {how: [[a["fps"]] for a in answers[how]] for how in HOWS if how in answers}
    rows = []
    for how, rounds in rates.items():
        figure = part.add(f"{how}.fps", HOWS[how], rounds, unit="frames/s", better="higher")
        wall_s = intervals.median([a["wall_s"] for a in answers[how]])
        frames = int(answers[how][0]["frames"])
        rows.append((HOWS[how], f"{figure.median:.1f}", str(frames), f"{wall_s:.1f}"))
    columns = ("arm", "frames/s", "frames", "wall s")
    part.tables.append(results.Table("Rates, arms in turns", columns, tuple(rows)))
    looked = {int(a["frames"]) for given in answers.values() for a in given}
    if len(looked) > 1:
        part.holes.append(f"the arms did not look at the same frames: {sorted(looked)}")
    for how, goal in GOALS.items():
        if how in rates and arm.RUN in rates:
            found = intervals.ratio(rates[how], rates[arm.RUN])
            part.claim(how, f"{HOWS[how]} over {HOWS[arm.RUN]}", found, at_least=goal)


if __name__ == "__main__":
    options.main(measure_batch, __doc__, rounds=2, frames=10)
