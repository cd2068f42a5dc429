"""Large frames: what 540p, 1080p and 4K cost in H.264 and H.265, and the loop against the CPUs.

The clips are made from the one that is given: its frames, scaled.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
from av.video.stream import VideoStream

from benchmarks import facts, options
from benchmarks.arms.frames import endless
from benchmarks.arms.stages import STAGES
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, Measured, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.models.cpus import available_cpus
from oneglance.streams.errors import UsageError

SIZES = {"540p": (960, 540), "1080p": (1920, 1080), "4K": (3840, 2160)}
CODECS = {"H.264": "libx264", "H.265": "libx265"}
RATE = 25

_ENCODER = {"preset": "veryfast", "crf": "24"}
_QUIET = {"libx265": {"x265-params": "log-level=none"}}


@dataclass(frozen=True, slots=True)
class Clip:
    """One of the clips that are made; ``name``: as arms are named by it."""

    size: str
    codec: str

    @property
    def name(self) -> str:
        """``4k_h265`` and the like."""
        return f"{self.size}_{self.codec}".lower().replace(".", "")

    @property
    def label(self) -> str:
        """``4K H.265`` and the like."""
        return f"{self.size} {self.codec}"


CLIPS = tuple(Clip(size, codec) for size in SIZES for codec in CODECS)


def make_clip(source: str, file: Path, clip: Clip, *, frames: int) -> None:
    """So many frames of ``source``, from its start again when it ends, scaled and encoded."""
    width, height = SIZES[clip.size]
    codec = CODECS[clip.codec]
    with av.open(str(file), "w") as out:
        stream = out.add_stream(codec, rate=RATE, options=_ENCODER | _QUIET.get(codec, {}))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in itertools.islice(endless(source), frames):
            given = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
            out.mux(stream.encode(given.reformat(width, height, "yuv420p")))
        out.mux(stream.encode(None))


def arms(asked: Options, clips: dict[Clip, Path]) -> list[Arm]:
    """Each stage alone and ``oneglance run``, of each clip."""
    command = Path(sys.executable).with_name("oneglance")
    if not command.exists():
        raise UsageError(f"no command {command}: install oneglance into this environment first")
    found: list[Arm] = []
    for clip, file in clips.items():
        given = (
            *("--model", str(asked.model), "--clip", str(file)),
            *("--frames", str(asked.frames), "--warmup", str(asked.warmup)),
            *("--engine", asked.engine, "--precision", asked.precision),
        )
        found += [
            Arm(
                f"{clip.name}.{how}",
                f"{clip.label}, {how}",
                "benchmarks.arms.stages",
                (*given, "--how", how),
            )
            for how in STAGES
        ]
        ours = (*given, "--command", str(command))
        found.append(
            Arm(f"{clip.name}.run", f"{clip.label}, oneglance run", "benchmarks.arms.command", ours)
        )
    return found


def measure_sizes(asked: Options) -> Part:
    """All of it; an arm that fails is a hole, and what needs it is left out."""
    part = Part(
        part="sizes",
        title="Large frames",
        facts=facts.gather(asked.model, asked.clip),
        timer="decode, planes, image, infer: CPU time of one stage alone, a frame (planes and "
        "image: the network's input from the decoder's planes, or from the whole image in BGR). "
        "oneglance run: wall time between frames finished, decode to JSON Lines; its CPU time "
        "between the same frames",
        silent_on=[
            "cameras' own encoders: the clips are scaled up and encoded by x264 and x265",
            "latency: frames are decoded ahead, large ones in H.265 by several threads",
        ],
    )
    part.facts["engine of all"] = f"{asked.engine} {asked.precision}"
    frames = asked.frames + asked.warmup + 1
    with tempfile.TemporaryDirectory() as folder:
        clips = {clip: Path(folder) / f"{clip.name}.mp4" for clip in CLIPS}
        for clip, file in clips.items():
            print(f"  making {clip.label}", file=sys.stderr, flush=True)
            make_clip(asked.clip, file, clip, frames=frames)
        measured = measure(arms(asked, clips), rounds=asked.rounds)
    part.holes += measured.holes
    rows = [_row(part, clip, measured) for clip in CLIPS]
    part.tables.append(results.Table("CPU time a frame, and the loop", COLUMNS, tuple(rows), _NOTE))
    return part


COLUMNS = (
    "clip",
    "decode ms",
    "from planes ms",
    "from BGR ms",
    "inference ms",
    "all ms",
    "frames/s",
    "of decoding",
    "of inference",
    "of both",
)

_NOTE = (
    "ms: CPU time, medians (decoding: means of the whole clip, as frames come in bursts); all ms: "
    "of oneglance run, everything in it. frames/s: of oneglance run. of decoding, of inference, of "
    "both: that rate over what the CPUs allow when they do nothing but that."
)

OVERHEAD_AT = "540p"
"""Where what is not decoding or inference is held to a share of inference: larger frames take more
to scale."""


def _row(part: Part, clip: Clip, measured: Measured) -> tuple[str, ...]:
    def answers(what: str) -> list[Answer]:
        return measured.answers.get(f"{clip.name}.{what}", [])

    costs = {how: [answer["cpu_ms"] for answer in answers(how)] for how in STAGES}
    for how, rounds in costs.items():
        if rounds:
            part.add(f"{clip.name}.{how}", f"{clip.label}, {how}", rounds, unit="ms")
    cells = [_text([ms for one in costs[how] for ms in one], 2) for how in STAGES]
    whole = [answer["cpu_ms"] for answer in answers("run") if answer.get("cpu_ms") is not None]
    rates = [1e3 * len(a["intervals_ms"]) / sum(a["intervals_ms"]) for a in answers("run")]
    shares = [results.NONE] * 3
    if rates:
        label = f"{clip.label}, oneglance run"
        part.add(f"{clip.name}.run", label, [[r] for r in rates], unit="frames/s", better="higher")
    if rates and costs["decode"] and costs["infer"]:
        found = [
            intervals.ratio([[r] for r in rates], _bounds(costs, stages))
            for stages in (("decode",), ("infer",), ("decode", "infer"))
        ]
        shares = [f"{each.value:.2f}" for each in found]
        label = f"{clip.label}: loop over what the CPUs allow"
        part.claim(f"{clip.name}.of_cpus", label, found[-1], at_least=0.95)
    if len(whole) == len(rates) and whole and costs["decode"] and costs["infer"]:
        _claim_overhead(part, clip, whole, costs)
    if costs["planes"] and costs["image"]:
        saved = intervals.ratio(costs["planes"], costs["image"])
        part.claim(f"{clip.name}.planes", f"{clip.label}: input from planes over from BGR", saved)
    return (clip.label, *cells, _text(whole, 2), _text(rates, 1), *shares)


def _claim_overhead(
    part: Part, clip: Clip, whole: list[float], costs: dict[str, list[list[float]]]
) -> None:
    """Everything that is neither decoding nor inference, over inference, in CPU time."""
    means = {how: [sum(one) / len(one) for one in costs[how]] for how in ("decode", "infer")}
    rest = [
        [all_ms - decode - infer]
        for all_ms, decode, infer in zip(whole, means["decode"], means["infer"], strict=True)
    ]
    part.claim(
        f"{clip.name}.around",
        f"{clip.label}: letterbox to JSON Lines over inference, in CPU time",
        intervals.ratio(rest, [[ms] for ms in means["infer"]]),
        at_most=0.04 if clip.size == OVERHEAD_AT else None,
    )


def _bounds(costs: dict[str, list[list[float]]], stages: tuple[str, ...]) -> list[list[float]]:
    """Frames a second that the CPUs allow for ``stages`` alone, a round: means, as pauses of a
    codec cost too."""
    cpus = available_cpus()
    means = ([sum(one) / len(one) for one in costs[stage]] for stage in stages)
    return [[1e3 * cpus / sum(each)] for each in zip(*means, strict=True)]


def _text(samples: list[float], digits: int) -> str:
    return f"{intervals.median(samples):.{digits}f}" if samples else results.NONE


if __name__ == "__main__":
    options.main(measure_sizes, __doc__, rounds=3, frames=60)
