"""What a model keeps under conditions, drawn."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from oneglance.models.training.evaluation.conditions import Severity
from oneglance.models.training.evaluation.robustness import Robustness
from oneglance.streams.outputs import write_file

SHADES = {Severity.MILD: "#9ecae1", Severity.MIDDLE: "#4292c6", Severity.STRONG: "#08519c"}
"""One hue, darker for more, so that it can be read without colour."""


def draw_robustness(found: Robustness, file: Path) -> None:
    """A PNG: for each task how much of its clean mAP50 is left under each condition."""
    conditions = list(dict.fromkeys(condition for condition, _ in found.under))
    severities = list(dict.fromkeys(severity for _, severity in found.under))
    tasks = found.tasks
    figure = Figure(figsize=(9.0, 0.8 + 1.7 * len(tasks)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, task in enumerate(tasks, 1):
        axes = figure.add_subplot(len(tasks), 1, row)
        thick = 0.8 / len(severities)
        for number, severity in enumerate(severities):
            places = np.arange(len(conditions)) + (number - (len(severities) - 1) / 2) * thick
            shares = [100 * found.kept(task, condition, severity) for condition in conditions]
            axes.bar(places, shares, thick, label=severity.name.lower(), color=SHADES[severity])
        axes.set_xticks(range(len(conditions)), conditions)
        axes.axhline(100, color="grey", linewidth=0.8)
        axes.set_ylim(0, 110)
        axes.set_ylabel("% of clean mAP50")
        clean = found.clean.tasks[task]
        axes.set_title(
            f"{task}: {clean.map50:.3f} clean ({clean.boxes} boxes), rPC {found.rpc(task):.0%}",
            loc="left",
            fontsize="medium",
        )
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(severities), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_file(file, buffer.getvalue())
