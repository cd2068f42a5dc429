"""The images of the report; one that the results do not carry is left out."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import side_by_side
from benchmarks.report.results import Figure, Part
from oneglance.streams.outputs import write_file

STAGES = ("decode", "preprocess", "inference", "postprocess")
# Okabe and Ito's colours, which the colour-blind can distinguish.
COLOURS = {
    "decode": "#56B4E9",
    "preprocess": "#009E73",
    "inference": "#E69F00",
    "postprocess": "#CC79A7",
}

_COLOURS = 10
"""Before matplotlib begins with the first one again."""

_LONG = 20
"""Letters of a name of which no three stand beside each other."""

_LONGER = 44
"""The same of two."""

ONE, FOUR, PEER = "#0072B2", "#D55E00", "#999999"


def draw_all(parts: Mapping[str, Part], folder: Path) -> list[tuple[str, str]]:
    """Draw what ``parts`` can show into ``folder``; (title, file name) of each image."""
    import matplotlib as mpl

    mpl.use("Agg")
    drawn = []
    for draw, part, title, name in (
        (stages, "one_vs_four", "One network against four, by stage", "one_vs_four.png"),
        (rates, "throughput", "Frames a second, same file and clip", "throughput.png"),
        (rates, "peers", "Frames a second of peers, same file and clip", "peers.png"),
        (cores, "curves", "Frames a second against CPUs", "cores.png"),
        (sizes, "curves", "Frames a second against input size", "sizes.png"),
        (ages, "live", "Age of results under load", "live.png"),
    ):
        if part in parts and draw(parts[part], folder / name, title):
            drawn.append((title, name))
    title, name = "Latency and accuracy", "accuracy.png"
    if {"one_vs_four", "accuracy"} <= set(parts) and scatter(parts, folder / name, title):
        drawn.append((title, name))
    return drawn


def stages(part: Part, file: Path, title: str) -> bool:
    """Bars of each setting's frame, stacked by stage."""
    by_name = {figure.name: figure for figure in part.figures}
    settings = [name.removesuffix(".frame") for name in by_name if name.endswith(".frame")]
    if not settings:
        return False
    figure, axes = _axes((8, 0.5 * len(settings) + 1.5), title)
    labels = [by_name[f"{setting}.frame"].label for setting in settings]
    left = [0.0] * len(settings)
    for stage in STAGES:
        width = [by_name[f"{setting}.{stage}"].median for setting in settings]
        axes.barh(labels, width, left=left, color=COLOURS[stage], label=stage)
        left = [a + b for a, b in zip(left, width, strict=True)]
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f}", va="center")
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a frame (sum of the stages' medians)")
    axes.legend(loc="lower right")
    return _save(figure, file)


def rates(part: Part, file: Path, title: str) -> bool:
    """Bars of every arm's rate, lowest to highest round as whiskers."""
    found = [figure for figure in part.figures if figure.name.endswith(".fps")]
    if not found:
        return False
    figure, axes = _axes((8, 0.45 * len(found) + 1.5), title)
    middle = [f.median for f in found]
    below = [f.median - min(f.samples) for f in found]
    above = [max(f.samples) - f.median for f in found]
    colours = [ONE if ".oneglance" in f.name else PEER for f in found]
    axes.barh([f.label for f in found], middle, xerr=[below, above], color=colours, capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel("frames a second: median of the rounds, lowest and highest")
    return _save(figure, file)


def cores(part: Part, file: Path, title: str) -> bool:
    """Lines over the number of CPUs."""
    return _curve(part, "cores", words="CPUs", file=file, title=title)


def sizes(part: Part, file: Path, title: str) -> bool:
    """Lines over the input's pixels."""
    return _curve(part, "size", words="input size", file=file, title=title)


def _curve(part: Part, axis: str, *, words: str, file: Path, title: str) -> bool:
    lines: dict[str, list[tuple[str, Figure]]] = {}
    for figure in part.figures:
        words_of = figure.name.split(".")  # curves.<axis>.<x>.<one|four>.<how>.fps
        if words_of[1] == axis:
            lines.setdefault(" ".join(words_of[3:5]), []).append((words_of[2], figure))
    if not lines:
        return False
    drawing, axes = _axes((6, 4), title)
    for name, points in lines.items():
        label = "one" if name.startswith("one") else name.replace("four ", "four, in ")
        style = {"color": ONE if name.startswith("one") else FOUR}
        style["linestyle"] = "--" if name.endswith("threads") else "-"
        axes.plot([x for x, _ in points], [f.median for _, f in points], "o", label=label, **style)
    axes.set_xlabel(words)
    axes.set_ylabel("frames a second")
    axes.set_ylim(bottom=0)
    axes.legend()
    return _save(drawing, file)


def ages(part: Part, file: Path, title: str) -> bool:
    """How the age of results is spread at each load."""
    found = [figure for figure in part.figures if figure.name.endswith(".age")]
    if not found:
        return False
    figure, axes = _axes((6, 4), title)
    for one in found:
        samples = sorted(one.samples)
        share = [100 * (i + 1) / len(samples) for i in range(len(samples))]
        axes.plot(samples, share, label=one.label)
    axes.set_xlabel("milliseconds from capture to result")
    axes.set_ylabel("% of results no older")
    axes.set_xlim(left=0)
    axes.legend()
    return _save(figure, file)


def scatter(parts: Mapping[str, Part], file: Path, title: str) -> bool:
    """A point for each task and network: what a frame costs, how well it finds; a line joins a
    task's point of the one network with that of its own. Not of files that were not timed."""
    settings = {m: side_by_side.best_setting(parts["one_vs_four"], m) for m in ("one", "four")}
    scores: dict[str, dict[str, float]] = {"one": {}, "four": {}}
    for figure in parts["accuracy"].figures:
        if figure.name.endswith(".map50_95"):
            many, task = figure.name.split(".")[1:3]  # accuracy.<one|four>.<task>.map50_95
            if many in scores and settings[many] is not None:
                scores[many][task] = figure.median
    if not scores["one"] or not side_by_side.same_files(parts):
        return False
    drawing, axes = _axes((7, 4.5), title)
    at = {many: setting.median for many, setting in settings.items() if setting is not None}
    for many, colour in (("one", ONE), ("four", FOUR)):
        setting, found = settings[many], scores[many]
        if setting is not None and found:
            where = [at[many]] * len(found)
            label = setting.label if many == "one" else f"{setting.label}: each task's own"
            axes.plot(where, list(found.values()), "o", color=colour, label=label, zorder=3)
    for task in set(scores["one"]) & set(scores["four"]):
        ends = [scores["one"][task], scores["four"][task]]
        axes.plot([at["one"], at["four"]], ends, color=PEER, linewidth=1, zorder=1)
    last = "four" if scores["four"] else "one"
    for task, height in _apart(scores[last], least=0.06).items():
        axes.annotate(
            f"{task} {scores[last][task]:.2f}",
            (at[last], scores[last][task]),
            xytext=(1.04 * at[last], height),
            va="center",
        )
    axes.set_xlabel("milliseconds a frame for all four tasks (best setting, median)")
    axes.set_ylabel("mAP50-95, mean over sets")
    axes.set_xlim(0, 1.35 * at[last])
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left")
    return _save(drawing, file)


def draw_differences(
    title: str, runs: Mapping[str, Mapping[str, tuple[float, float, float]]], file: Path
) -> None:
    """Differences in points with their intervals (value, low, high in 0..1), by run, by what."""
    things = list(dict.fromkeys(what for found in runs.values() for what in found))
    drawing, axes = _axes((8, 1.4 + 0.22 * len(things) * (len(runs) + 1)), title)
    for number, (name, found) in enumerate(runs.items()):
        aside = (number - (len(runs) - 1) / 2) * 0.8 / len(runs)
        values, lows, highs = zip(*found.values(), strict=True)
        axes.errorbar(
            [100 * value for value in values],
            [things.index(what) + aside for what in found],
            # A mean may lie a little outside its draws.
            xerr=[
                [100 * max(0.0, v - low) for v, low in zip(values, lows, strict=True)],
                [100 * max(0.0, high - v) for v, high in zip(values, highs, strict=True)],
            ],
            fmt="osD"[number // _COLOURS % 3],
            capsize=3,
            label=name,
        )
    axes.axvline(0, color="#999999", linewidth=1)
    axes.set_yticks(range(len(things)), things)
    axes.invert_yaxis()
    axes.set_xlabel("difference in points; whiskers: 95 %")
    longest = max(map(len, runs))
    most = 1 if longest > _LONGER else 2 if longest > _LONG else 3
    drawing.legend(loc="outside lower center", ncols=min(most, len(runs)), frameon=False)
    _save(drawing, file)


def _apart(heights: Mapping[str, float], *, least: float) -> dict[str, float]:
    """Heights for labels, in the same order, pushed up until ``least`` lies between them."""
    placed: dict[str, float] = {}
    floor = float("-inf")
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = floor = max(height, floor)
        floor += least
    return placed


def _axes(inches: tuple[float, float], title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=inches, layout="constrained")
    axes = drawing.add_subplot()
    axes.set_title(textwrap.fill(title, round(9 * inches[0])))
    axes.spines[["top", "right"]].set_visible(False)
    return drawing, axes


def _save(drawing: Any, file: Path) -> bool:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=110)
    write_file(file, buffer.getvalue())
    return True
