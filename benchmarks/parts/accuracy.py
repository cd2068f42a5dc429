"""Accuracy beside latency: the files that are timed, in the precision that is timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.parts import one_vs_four
from benchmarks.report import results
from benchmarks.report.intervals import Interval
from benchmarks.report.results import Part
from oneglance.models.decode import MAX_DETECTIONS
from oneglance.models.tasks import Task
from oneglance.streams.errors import OneglanceError

if TYPE_CHECKING:
    from oneglance.models.training.data.datasets import Dataset
    from oneglance.models.training.study.results import Score
    from oneglance.models.training.study.statistics import Estimate

Scores = Mapping[str, "tuple[Score, ...]"]
"""By ``ONE``, and by a task for its single-task model."""

ONE = "one"


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
            "another training of the same networks: intervals are over images",
            (
                f"what the limit of {MAX_DETECTIONS} boxes an image costs the one network: its "
                "tasks share it, each of the four has it to itself"
            ),
        ],
    )
    part.facts["engine of all"] = f"{asked.engine} {asked.precision}"
    try:
        from oneglance.models.training.data.datasets import read_dataset
    except ModuleNotFoundError as error:
        part.holes.append(f"{error.name} is not installed: pip install 'oneglance[eval]'")
        return part
    try:
        datasets = [read_dataset(file) for file in asked.data]
        scores = _scores(asked, datasets, part)
    except OneglanceError as error:
        part.holes.append(f"accuracy not measured: {error}")
        return part
    except ModuleNotFoundError as error:
        part.holes.append(f"{error.name} is not installed: pip install 'oneglance[eval]'")
        return part
    sets = dict.fromkeys(score.set_name for found in scores.values() for score in found)
    part.facts["data"] = f"{', '.join(sets)}: val images that no set here trains on"
    _add_tables(part, scores, several=len(sets) > 1)
    return part


def _scores(asked: Options, datasets: list[Dataset], part: Part) -> Scores:
    """Of every model that can be scored; each other one is a hole."""
    from benchmarks.scoring import scores_of

    how = {"engine": asked.engine, "precision": asked.precision}
    found = {ONE: scores_of(asked.model, datasets, **how)}
    if asked.four is None:
        part.holes.append(
            "the four single-task models: not trained (--single-task, --study), so there is no "
            "accuracy to set beside the four-task model's"
        )
        return found
    files = {}
    for task in Task:
        try:
            file = one_vs_four.trained(asked, task)
            found[task.value] = scores_of(file, datasets, **how)
            files[task] = file
        except OneglanceError as error:
            part.holes.append(str(error))
    if len(files) == len(Task):
        part.facts |= facts.of_the_four(files)
    return found


def _add_tables(part: Part, scores: Scores, *, several: bool) -> None:
    """Figures, claims and tables of ``scores``."""
    from benchmarks.scoring import interval, middle, paired

    rows = []
    for task in Task:
        one, own = (middle(scores.get(who, ()), task) for who in (ONE, task.value))
        if one is None:
            continue
        cells = [task.value, str(sum(s.boxes for s in scores[ONE] if s.task is task))]
        for who, words, sample in (
            (ONE, "one network", one),
            (task.value, f"{task.value}'s single-task model", own),
        ):
            if sample is None:
                cells += [results.NONE, results.NONE]
                continue
            label = f"{words}, {task.value}"
            many = "one" if who == ONE else "four"
            map50 = [s.map50 for s in scores[who] if s.task is task]
            mean50 = sum(map50) / len(map50)
            for name, value in (("map50", mean50), ("map50_95", sample.value)):
                part.add(
                    f"{many}.{task.value}.{name}", label, [[value]], unit="mAP", better="higher"
                )
            cells += [f"{mean50:.3f}", written(interval(sample))]
        if own is None:
            cells.append(results.NONE)
        else:
            less = paired(one, own)
            cells.append(written(less, signed=True))
            part.claim(
                task.value,
                f"one network less {task.value}'s single-task model, mAP50-95",
                Interval(less.value, less.low, less.high),
                unit="mAP",
            )
        rows.append(tuple(cells))
    columns = (
        *("task", "boxes", "one: mAP50", "one: mAP50-95", "own: mAP50", "own: mAP50-95"),
        "one - own: mAP50-95",
    )
    note = (
        "own: the network trained for that task alone. [ ]: 95 % of the draws of images with "
        "replacement, the same for both; where it holds 0, chance may have made the difference."
    )
    title = f"COCO mAP on {part.facts['data']}"
    part.tables.append(results.Table(title, columns, tuple(rows), note))
    if several:
        part.tables.append(_by_set(scores))


def _by_set(scores: Scores) -> results.Table:
    rows = []
    for one in scores[ONE]:
        own = [
            score
            for score in scores.get(one.task.value, ())
            if (score.set_name, score.task) == (one.set_name, one.task)
        ]
        theirs = [f"{own[0].map50:.3f}", f"{own[0].map50_95:.3f}"] if own else [results.NONE] * 2
        counts = (str(one.images), str(one.boxes))
        ours = (f"{one.map50:.3f}", f"{one.map50_95:.3f}")
        rows.append((one.set_name, one.task.value, *counts, *ours, *theirs))
    columns = (
        *("set", "task", "images", "boxes", "one: mAP50", "one: mAP50-95"),
        *("own: mAP50", "own: mAP50-95"),
    )
    return results.Table("Set by set", columns, tuple(rows))


def written(found: Estimate, *, signed: bool = False) -> str:
    """A score or a difference with its interval."""
    form = "+.3f" if signed else ".3f"
    return f"{found.value:{form}} [{found.low:{form}} to {found.high:{form}}]"


if __name__ == "__main__":
    options.main(measure_accuracy, __doc__, rounds=1, frames=1)
