"""Accuracy beside latency: the files that are timed, in the precision that is timed."""

from __future__ import annotations

from pathlib import Path

import facts
import one_vs_four
import options
import results
from options import Options
from results import Part

from oneglance.models.tasks import Task
from oneglance.streams.errors import OneglanceError

SPLIT = "val"


def measure_accuracy(asked: Options) -> Part:
    """Per task: the four-task model, and the single-task ones where trained ones are given."""
    part = Part(
        part="accuracy",
        title="Accuracy of the models timed",
        facts=facts.gather(asked.model),
        timer="nothing is timed here",
        silent_on=[
            "roads, weather and cameras that the labelled images do not show",
            "how often labels themselves are wrong",
        ],
    )
    part.facts["data"] = f"{asked.data.parent.name}, {SPLIT}"
    try:
        from oneglance.models.training.evaluate import evaluate_file
    except ModuleNotFoundError as error:
        part.holes.append(f"{error.name} is not installed: pip install 'oneglance[eval]'")
        return part

    def evaluate(model: Path, tasks: set[Task]) -> list[tuple[str, ...]]:
        try:
            found = evaluate_file(model, asked.data, split=SPLIT)
        except OneglanceError as error:
            part.holes.append(f"{model.name}: accuracy not measured: {error}")
            return []
        rows: list[tuple[str, ...]] = []
        for task, figures in found.tasks.items():
            if task in tasks:
                # A model without a box of a task has no mean precision there.
                for name, value in (("map50", figures.map50), ("map50_95", figures.map50_95)):
                    part.add(
                        f"{model.stem}.{task.value}.{name}",
                        f"{model.stem}, {task.value}, {name}",
                        [[value]],
                        unit="",
                        better="higher",
                    )
                scores = (f"{figures.map50:.3f}", f"{figures.map50_95:.3f}", str(figures.boxes))
                rows.append((task.value, model.stem, *scores))
        return rows

    rows = evaluate(asked.model, set(Task))
    if asked.single_task is None:
        part.holes.append(
            "the four single-task models: not trained (--single-task), so there is no accuracy "
            "to set beside the four-task model's"
        )
    else:
        for task in Task:
            try:
                rows += evaluate(one_vs_four.trained(asked, task), {task})
            except OneglanceError as error:
                part.holes.append(str(error))
    if rows:
        rows.sort(key=lambda row: [task.value for task in Task].index(row[0]))
        columns = ("task", "model", "mAP50", "mAP50-95", "boxes")
        title = f"COCO mAP on {part.facts['data']}"
        part.tables.append(results.Table(title, columns, tuple(rows)))
    return part


if __name__ == "__main__":
    options.main(measure_accuracy, __doc__, rounds=1, frames=1)
