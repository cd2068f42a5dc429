"""The study's answers about what images do not label, or in part: masked, taken for negative, or
distilled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.tasks import Task
from oneglance.models.training.data.subsets import KEPT_BOXES, WHOLE_IMAGES
from oneglance.models.training.pretrained import TAUGHT_TASKS
from oneglance.models.training.recipe import TrainableLayers
from oneglance.models.training.study.planner import (
    AS_COMPLETE,
    DISTILL,
    IN_PART,
    NEGATIVE,
    ONE,
    UNTRAINED,
    part,
)
from oneglance.models.training.study.sets import (
    partly_labelled,
    trained_tasks,
)
from oneglance.models.training.study.statistics import (
    Ledger,
    Pick,
    f1_of_set,
    f1_of_task,
    holes,
    of_set,
    of_task,
)
from oneglance.models.training.study.tables import (
    Answer,
    Bars,
    Row,
    better,
    compare,
    compared,
    lefts,
    named,
    rights,
    those,
)

TAUGHT = {task.value for task in TAUGHT_TASKS}


def answer_negatives(ledger: Ledger) -> Answer:
    partly = partly_labelled(ledger.sets)
    if not partly:
        return Answer(4, (), (), None, {}, ("every image labels every task: nothing is missing",))
    tasks = trained_tasks(ledger.sets)
    labels, f1 = ("left out", "taken for negative"), f"F1 at confidence {DEFAULT_CONFIDENCE:g}"
    order, shown = (
        [compare(ledger, t.value, (ONE, NEGATIVE), pick(t)) for t in tasks]
        for pick in (of_task, f1_of_task)
    )
    order_by_set, shown_by_set = (
        _set_by_set(ledger, (ONE, NEGATIVE), pick) for pick in (of_set, f1_of_set)
    )
    sentences = []
    for score, rows in (("mAP50-95", order), (f1, shown)):
        on_partly = [row for row in rows if row.what in {task.value for task in partly}]
        ahead, count = those(on_partly, lambda gap: gap.low > 0)
        behind, _ = those(on_partly, lambda gap: gap.high < 0)
        if count:
            sentences.append(
                f"Leaving out what an image does not label is better than taking it for negative, "
                f"in {score}, on {len(ahead)} of {count} tasks that some images do not label"
                f"{named(ahead)}, worse on {len(behind)}{named(behind)}."
            )
    drawn = [
        replace(row, what=f"{row.what}, {score}")
        for both in zip(order, shown, strict=True)
        for row, score in zip(both, ("mAP50-95", f1), strict=True)
    ]
    return Answer(
        4,
        tuple(sentences),
        (
            compared(order, "The loss", labels, better),
            compared(shown, "What is shown at the default confidence", labels, better, score=f1),
            *(
                compared(rows, f"Set by set, {score}", labels, better, score=score)
                for rows, score in ((order_by_set, "mAP50-95"), (shown_by_set, f1))
                if rows
            ),
        ),
        Bars(
            "What an image does not label",
            {labels[0]: lefts(drawn), labels[1]: rights(drawn)},
            "points",
        ),
        {
            "partly_labelled": [t.value for t in partly],
            "rows": [row.as_dict() for row in order],
            "f1_rows": [row.as_dict() for row in shown],
            "rows_by_set": [row.as_dict() for row in order_by_set],
            "f1_rows_by_set": [row.as_dict() for row in shown_by_set],
        },
        holes(ledger, 4),
    )


def _set_by_set(
    ledger: Ledger, stems: tuple[str, str], pick: Callable[[str, Task], Pick]
) -> list[Row]:
    """Each task on each set that scores it; [] where every task has one such set."""
    tasks = trained_tasks(ledger.sets)
    places = [(s.name, t) for t in tasks for s in ledger.sets if s.val and t in s.tasks]
    if len(places) == len({task for _, task in places}):
        return []
    return [compare(ledger, f"{task} on {name}", stems, pick(name, task)) for name, task in places]


def answer_distillation(ledger: Ledger) -> Answer:
    partly = partly_labelled(ledger.sets)
    if not partly:
        return Answer(6, (), (), None, {}, ("every image labels every task: nothing is missing",))
    tasks = trained_tasks(ledger.sets)
    against_one, against_untrained = (
        [compare(ledger, t.value, (DISTILL, other), of_task(t)) for t in tasks]
        for other in (ONE, UNTRAINED)
    )
    by_set = _set_by_set(ledger, (DISTILL, ONE), of_set)
    taught = [row for row in against_one if row.what in {t.value for t in partly} & TAUGHT]
    ahead, count = those(taught, lambda gap: gap.low > 0)
    behind, _ = those(taught, lambda gap: gap.high < 0)
    sentence = (
        f"The pretrained network's answers for what images do not label make the network better "
        f"on {len(ahead)} of {count} tasks that it answers for{named(ahead)}, "
        f"worse on {len(behind)}{named(behind)}."
    )
    return Answer(
        6,
        (sentence,) if count else (),
        (
            compared(against_one, "With its answers", ("answered", "left out"), better),
            compared(against_untrained, "The same", ("answered", "pretrained alone"), better),
            *([compared(by_set, "Set by set", ("answered", "left out"), better)] if by_set else []),
        ),
        Bars(
            "What an image does not label",
            {
                "answered by the pretrained network": lefts(against_one),
                "left out": rights(against_one),
                "pretrained network alone": rights(against_untrained),
            },
        ),
        {
            "left_out": [row.as_dict() for row in against_one],
            "left_out_by_set": [row.as_dict() for row in by_set],
            "pretrained_alone": [row.as_dict() for row in against_untrained],
        },
        holes(ledger, 6),
    )


def answer_in_part(ledger: Ledger) -> Answer:
    """What declaring labels partial is worth, on sets that are complete and were thinned for it."""
    tasks = trained_tasks(ledger.sets)
    f1 = f"F1 at confidence {DEFAULT_CONFIDENCE:g}"
    others = {
        "declared complete": AS_COMPLETE,
        "all labels": ONE,
        "the complete images alone": part(TrainableLayers.ALL, WHOLE_IMAGES),
    }
    found = {
        (label, score): [compare(ledger, t.value, (IN_PART, stem), pick(t)) for t in tasks]
        for label, stem in others.items()
        for score, pick in (("mAP50-95", of_task), (f1, f1_of_task))
    }
    sentences = []
    for (label, score), rows in found.items():
        ahead, count = those(rows, lambda gap: gap.low > 0)
        behind, _ = those(rows, lambda gap: gap.high < 0)
        if count:
            sentences.append(
                f"Where {1 - WHOLE_IMAGES:.0%} of the images have lost {1 - KEPT_BOXES:.0%} of "
                f"their boxes, declaring them partial is, in {score}, better than {label} on "
                f"{len(ahead)} of {count} tasks{named(ahead)}, worse on "
                f"{len(behind)}{named(behind)}."
            )
    drawn = {
        label: [
            replace(row, what=f"{row.what}, {score}")
            for score in ("mAP50-95", f1)
            for row in found[label, score]
        ]
        for label in others
    }
    return Answer(
        12,
        tuple(sentences),
        tuple(
            compared(rows, f"Against {label}", ("declared partial", label), better, score=score)
            for (label, score), rows in found.items()
        ),
        Bars(
            "Labels that are there in part",
            {
                "declared partial": lefts(drawn["declared complete"]),
                **{label: rights(rows) for label, rows in drawn.items()},
            },
            "points",
        ),
        {
            f"{label}, {score}": [row.as_dict() for row in rows]
            for (label, score), rows in found.items()
        },
        holes(ledger, 12),
    )
