"""What each sink costs the loop, recorded and live, and a bag that goes in and comes out as one.

Recorded, with all CPUs busy, nothing is left out, and a sink costs what CPU time it takes; how far
two runs without any are apart ("none again") is how far the others may be by chance. With
``--sink-share`` a sink takes that share of it, and goes without what would take more. Live, at
a camera's rate, the loop waits for no sink, and one that cannot keep up does without results.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from benchmarks import facts, options
from benchmarks.arms.frames import endless
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, Measured, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part

NO_SINK, AGAIN = "none", "none again"
AT_LEAST, BAG_AT_LEAST = 0.97, 0.9

SINKS = {
    "jsonl": "jsonl:{folder}/out.jsonl",
    "coco": "coco:{folder}/out.json",
    "parquet": "parquet:{folder}/out",
    "mcap": "mcap:{folder}/out.mcap",
    "mcap, images copied": "mcap:{folder}/out.mcap?format=ros2&image=copy",
    "video": "video:{folder}/out.mp4",
    "rerun": "rerun:{folder}/out.rrd",
    "rerun, no images": "rerun:{folder}/out.rrd?image=none",
    "page, nobody looks": "hub",
}
"""Sinks that need nobody else; MQTT joins where there is a broker to start."""

NEEDS = {"rerun": "rerun", "mcap": "mcap", "parquet": "pyarrow", "page": "starlette"}
"""Modules without which a sink is left out, by the beginning of its name."""

COLUMNS = ("sink", "frames/s", "over none", "CPU ms/frame", "peak MB", "dropped", "lost")

SHARE = 0.02
"""Of the CPUs' time, for a sink that may leave results out."""


class Way(StrEnum):
    """How the loop is run, and what its figures are called after a sink's name."""

    RECORDED = ""
    SHARE = "share"
    LIVE = "live"


TITLES = {
    Way.RECORDED: "Recorded, as fast as it goes",
    Way.SHARE: f"Recorded, with --sink-share {SHARE:g}",
    Way.LIVE: "Live, at the clip's own rate",
}

NOTES = {
    Way.RECORDED: "Recorded mode waits for every sink but those that send to somebody else (mqtt), "
    "which drop what does not go and count it (lost). A sink's CPU time is taken from the network "
    "where all CPUs are busy with it.",
    Way.SHARE: "A sink takes that share of the CPUs' time at most; results that would take more "
    "are left out of it and counted (lost).",
    Way.LIVE: "Live mode waits for no sink: one that is behind does without results, which are "
    "counted (lost), as are the frames that the loop itself drops (dropped).",
}

RATE = 30
START_NS = 1_790_000_000_000_000_000
_ENCODER = {"preset": "veryfast", "crf": "20", "bf": "0", "g": "30", "tune": "zerolatency"}


def measure_sinks(asked: Options) -> Part:
    """Every sink in turn with none, recorded and live; then the clip as mp4 and as a bag, into a
    bag each."""
    part = Part(
        part="sinks",
        title="What sinks cost",
        facts=facts.gather(asked.model, asked.clip),
        timer="in the loop's process: frames/s between results; CPU time of the whole process; the "
        "first frames are left out",
        silent_on=[
            "closing: the index of an MCAP or rerun file, the last group of rows of Parquet",
            "disks that are slower than what a temporary folder lies on here",
        ],
    )
    with ExitStack() as stack:
        sinks = dict(SINKS)
        if port := stack.enter_context(_broker()):
            sinks["mqtt"] = f"mqtt://127.0.0.1:{port}?rate=all"
        else:
            part.holes.append("mqtt: not measured: there is no mosquitto here to start")
        for name in [each for each in sinks if not _can(each)]:
            del sinks[name]
            part.holes.append(f"{name}: not measured: a package of its extra is not installed")
        for way in Way:
            measured = measure(_arms(asked, sinks, way), rounds=asked.rounds)
            part.holes += measured.holes
            names = (NO_SINK, AGAIN, *sinks)
            rows = [row for name in names if (row := _row(part, name, measured, way))]
            part.tables.append(results.Table(TITLES[way], COLUMNS, tuple(rows), NOTES[way]))
    if _can("mcap"):
        _measure_bags(part, asked)
    return part


def _arms(asked: Options, sinks: dict[str, str], way: Way) -> list[Arm]:
    return [
        _arm(asked, NO_SINK, asked.clip, None, way=way),
        _arm(asked, AGAIN, asked.clip, None, way=way),
        *(_arm(asked, name, asked.clip, sink, way=way) for name, sink in sinks.items()),
    ]


def _arm(
    asked: Options, name: str, source: str, sink: str | None, *, way: Way = Way.RECORDED
) -> Arm:
    arguments = (
        *(("--live",) if way is Way.LIVE else ()),
        *(("--share", str(SHARE)) if way is Way.SHARE else ()),
        *("--model", str(asked.model), "--clip", source, "--frames", str(asked.frames)),
        *("--warmup", str(asked.warmup), *(() if sink is None else ("--sink", sink))),
    )
    return Arm(name, name, "benchmarks.arms.plugged", arguments)


def _can(sink: str) -> bool:
    needs = NEEDS.get(sink.partition(",")[0])
    return needs is None or importlib.util.find_spec(needs) is not None


def _rates(answers: list[Answer]) -> list[list[float]]:
    return [[1e3 * len(a["intervals_ms"]) / sum(a["intervals_ms"])] for a in answers]


def _row(
    part: Part, name: str, measured: Measured, way: Way = Way.RECORDED
) -> tuple[str, ...] | None:
    answers = measured.answers.get(name)
    if not answers:
        return None
    rates, none = _rates(answers), measured.answers.get(NO_SINK)
    key = (f"{way}." if way else "") + name.replace(",", "").replace(" ", "_")
    words = f"{name}, {way}" if way else name
    part.add(f"{key}.fps", words, rates, unit="frames/s", better="higher")
    over = results.NONE
    if none and name != NO_SINK:
        found = intervals.ratio(rates, _rates(none))
        over = f"{found.value:.3f}"
        goal = None if name == AGAIN else AT_LEAST
        part.claim(f"{key}.rate", f"rate with {words} over none", found, at_least=goal)
    return (
        name,
        f"{intervals.median([rate for (rate,) in rates]):.1f}",
        over,
        f"{intervals.median([answer['cpu_ms'] for answer in answers]):.1f}",
        f"{intervals.median([answer['peak_mb'] for answer in answers]):.0f}",
        str(max(answer["dropped"] for answer in answers)),
        str(max(answer["lost"] for answer in answers)),
    )


# -- bags ----------------------------------------------------------------------------------


def _measure_bags(part: Part, asked: Options) -> None:
    """The same images in the same coding, in an mp4 file and in a bag."""
    with tempfile.TemporaryDirectory() as name:
        video, bag = Path(name) / "clip.mp4", Path(name) / "clip.mcap"
        make_pair(asked.clip, video, bag, frames=asked.frames + asked.warmup + 1)
        target = "mcap:{folder}/out.mcap?format=ros2"
        arms = [
            _arm(asked, "mp4 in, nothing out", str(video), None),
            _arm(asked, "mp4 in, bag out", str(video), target),
            _arm(asked, "bag in, bag out", str(bag), target),
        ]
        measured = measure(arms, rounds=asked.rounds)
    part.holes += measured.holes
    rows = []
    for arm in arms:
        if answers := measured.answers.get(arm.name):
            rates = _rates(answers)
            key = arm.name.replace(",", "").replace(" ", "_")
            part.add(f"{key}.fps", arm.label, rates, unit="frames/s", better="higher")
            cpu_ms = intervals.median([answer["cpu_ms"] for answer in answers])
            rate = intervals.median([rate for (rate,) in rates])
            rows.append((arm.label, f"{rate:.1f}", f"{cpu_ms:.1f}"))
    columns = ("source and sink", "frames/s", "CPU ms/frame")
    part.tables.append(results.Table("A bag in and a bag out", columns, tuple(rows)))
    both = [measured.answers.get(arm.name) for arm in (arms[2], arms[0])]
    if both[0] and both[1]:
        found = intervals.ratio(_rates(both[0]), _rates(both[1]))
        label = "bag in, bag out over the same frames from mp4"
        part.claim("bag.rate", label, found, at_least=BAG_AT_LEAST)


def make_pair(source: str, video: Path, bag: Path, *, frames: int) -> None:
    """So many frames of ``source``, encoded alike and without B-frames: as mp4, and as messages of
    Foxglove's ``CompressedVideo``."""
    import foxglove
    from foxglove.channels import CompressedVideoChannel
    from foxglove.messages import CompressedVideo, Timestamp

    context = foxglove.Context()
    with av.open(str(video), "w") as out, foxglove.open_mcap(str(bag), context=context):
        channel = CompressedVideoChannel("/camera/front", context=context)
        stream = out.add_stream("libx264", rate=RATE, options=_ENCODER)
        assert isinstance(stream, av.VideoStream)
        # In a bag each key frame brings its headers along; mp4 keeps them apart.
        alone = av.CodecContext.create("libx264", "w")
        assert isinstance(alone, av.VideoCodecContext)
        alone.time_base, alone.options = Fraction(1, RATE), _ENCODER
        stamp_ns = START_NS
        for index, frame in enumerate(islice(endless(source), frames)):
            image = av.VideoFrame.from_ndarray(frame.image, format="bgr24").reformat(
                format="yuv420p"
            )
            for coder in () if index else (stream, alone):
                coder.width, coder.height, coder.pix_fmt = image.width, image.height, "yuv420p"
            image.pts, image.time_base = index, Fraction(1, RATE)
            out.mux(stream.encode(image))
            for packet in alone.encode(image):
                time = Timestamp(sec=stamp_ns // 10**9, nsec=stamp_ns % 10**9)
                message = CompressedVideo(
                    timestamp=time, frame_id="front", data=bytes(packet), format="h264"
                )
                channel.log(message, log_time=stamp_ns)
                stamp_ns += 10**9 // RATE
        out.mux(stream.encode(None))


@contextmanager
def _broker() -> Iterator[int]:
    """The port of a mosquitto on this machine alone; 0 where there is none to start."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        yield 0
        return
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([program, "-p", str(port)], **quiet)  # type: ignore[call-overload]
    try:
        yield port  # without a file it listens to this machine alone
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    options.main(measure_sinks, __doc__, rounds=3, frames=90)
