"""The study's images (PNG), each from data alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from oneglance.models.training.study.statistics import Estimate
from oneglance.models.training.study.tables import Bars, Curves, Lines, Plot
from oneglance.streams.outputs import replace_file

# Okabe and Ito's colours, which the colour-blind can distinguish.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000"),
    *("#999999", "#661100", "#332288"),
)
MARKS = ("o", "s", "^", "D", "v", "P")
WHISKERS = "whiskers: 95 % of draws of the val images, and of seeds if several"


def draw(plot: Plot, file: Path) -> bool:
    """Draw ``plot`` into ``file``; False when it has nothing to show."""
    if isinstance(plot, Bars):
        return _bars(plot, file)
    return _lines(plot, file) if isinstance(plot, Lines) else _curves(plot, file)


def _bars(plot: Bars, file: Path) -> bool:
    scores = {label: groups for label, groups in plot.scores.items() if groups}
    names = list(dict.fromkeys(name for groups in scores.values() for name in groups))
    if not names:
        return False
    long = max(map(len, names)) > 12
    inches = (8.0, 1.6 + 0.28 * len(names) * (len(scores) + 1)) if long else (8.0, 4.5)
    figure, axes = _axes(inches, plot.title)
    thick = 0.8 / len(scores)
    for number, (label, groups) in enumerate(scores.items()):
        places = [names.index(name) + (number - (len(scores) - 1) / 2) * thick for name in groups]
        values = [100 * e.value for e in groups.values()]
        style = {"color": COLOURS[number], "label": label, "capsize": 3}
        if long:
            axes.barh(places, values, thick, xerr=_whiskers(groups.values()), **style)
        else:
            axes.bar(places, values, thick, yerr=_whiskers(groups.values()), **style)
    if long:
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel(f"{plot.score} ({WHISKERS})")
        axes.set_xlim(left=0)
    else:
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(plot.score)
        axes.set_xlabel(WHISKERS)
        axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=min(4, len(scores)), frameon=False)
    return _save(figure, file)


def _lines(plot: Lines, file: Path) -> bool:
    lines = {label: points for label, points in plot.lines.items() if points}
    if not lines:
        return False
    figure, axes = _axes((8.0, 4.5), plot.title)
    for number, (label, points) in enumerate(lines.items()):
        axes.errorbar(
            # A little aside, so that whiskers do not hide each other.
            [images * 1.02**number for images, _ in points],
            [100 * e.value for _, e in points],
            yerr=_whiskers([e for _, e in points]),
            color=COLOURS[number],
            marker=MARKS[number],
            capsize=3,
            label=label,
        )
    _against_images(axes, [images for points in lines.values() for images, _ in points])
    axes.set_xlabel(f"training images ({WHISKERS})")
    axes.legend(frameon=False)
    return _save(figure, file)


def _curves(plot: Curves, file: Path) -> bool:
    points = {name: found for name, found in plot.points.items() if found}
    if not points:
        return False
    figure, axes = _axes((8.0, 5.0), plot.title)
    for number, (name, found) in enumerate(points.items()):
        colour = COLOURS[number]
        axes.errorbar(
            [images for images, _ in found],
            [100 * e.value for _, e in found],
            yerr=_whiskers([e for _, e in found]),
            color=colour,
            marker=MARKS[number],
            linestyle="none",
            capsize=3,
            label=name,
        )
        if name in plot.laws:
            images, middle, low, high = zip(*plot.laws[name].band, strict=True)
            most = plot.laws[name].images
            for line, inside in (("-", True), ("--", False)):
                part = [i for i, n in enumerate(images) if (n <= most) is inside]
                part = part if inside else [part[0] - 1, *part]
                axes.plot(
                    [images[i] for i in part], [100 * middle[i] for i in part], line, color=colour
                )
            band = ([100 * v for v in side] for side in (low, high))
            axes.fill_between(images, *band, color=colour, alpha=0.15, linewidth=0)
    _against_images(axes, [images for found in points.values() for images, _ in found])
    axes.set_xlabel(
        "training images that label the task; dashed: the law up to twice as many, band: 95 %"
    )
    axes.legend(frameon=False)
    return _save(figure, file)


def _against_images(axes: Any, images: Sequence[float]) -> None:
    axes.set_xscale("log")
    ticks = sorted({round(n) for n in images})
    # Two that nearly coincide would be printed over each other.
    apart = [n for i, n in enumerate(ticks) if i == 0 or n > 1.25 * ticks[i - 1]]
    axes.set_xticks(apart, [str(n) for n in apart])
    axes.minorticks_off()
    axes.set_ylabel("mAP50-95 in points")
    axes.grid(axis="y", alpha=0.3)


def _whiskers(scores: Any) -> list[list[float]]:
    """How far the interval reaches below and above; a mean may lie a little outside its draws."""
    found: list[Estimate] = list(scores)
    below = [max(0.0, 100 * (e.value - e.low)) for e in found]
    return [below, [max(0.0, 100 * (e.high - e.value)) for e in found]]


def _axes(inches: tuple[float, float], title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, file: Path) -> bool:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    replace_file(file, buffer.getvalue())
    return True
