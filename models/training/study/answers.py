"""The study's answers, from its numbers: tables, sentences and what to draw. No files here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import THRESHOLDS
from oneglance.models.training.study.amounts import answer_amounts, answer_layers
from oneglance.models.training.study.balance import answer_balance
from oneglance.models.training.study.planner import (
    ONE,
    SCRATCH,
    UNTRAINED,
    fair,
    only,
    single_task,
)
from oneglance.models.training.study.sets import (
    fair_size,
    groups,
    part_of_boxes,
    trained_tasks,
)
from oneglance.models.training.study.statistics import (
    Ledger,
    at_iou,
    holes,
    of_set,
    of_task,
)
from oneglance.models.training.study.tables import (
    MINUS,
    Answer,
    Bars,
    Row,
    Table,
    better,
    compare,
    compared,
    lefts,
    named,
    rights,
    signed,
    those,
    within_a_point,
)
from oneglance.models.training.study.unlabelled import (
    answer_distillation,
    answer_in_part,
    answer_negatives,
)
from oneglance.models.training.study.variants import (
    answer_longer,
    answer_loss_weights,
    answer_oversampling,
)

FITS = (0, 5, 8)
"""Of ``THRESHOLDS`` 0.5, from which a thing counts as found, 0.75, and 0.9, which only boxes
that fit tightly reach."""


def answers(ledger: Ledger) -> tuple[Answer, ...]:
    """An answer to each question asked, with holes where arms are missing."""
    return tuple(_ANSWERS[question](ledger) for question in sorted(set(ledger.options.questions)))


def _one_or_four(ledger: Ledger) -> Answer:
    tasks = trained_tasks(ledger.sets)
    single = [compare(ledger, t.value, (ONE, single_task(t)), of_task(t)) for t in tasks]
    equals = [compare(ledger, t.value, (ONE, fair(t)), of_task(t)) for t in tasks]
    good, count = those(single, lambda gap: gap.value >= -0.01)
    short, _ = those(single, lambda gap: gap.value < -0.01)
    ahead, of = those(equals, lambda gap: gap.low > 0)
    size = ledger.options.size
    width, height = fair_size(size, len(tasks))
    share = width * height / (size[0] * size[1])
    alike = (
        f"The one network is within a point of a task's single-task model of the same size on "
        f"{len(good)} of {count} tasks{named(good)}, further behind on {len(short)}"
        f"{named(short)}, and does the work of {len(tasks)}."
    )
    fairly = (
        f"At equal cost ({len(tasks)} networks of {width}x{height}, each {share:.0%} of the "
        f"one's pixels) the one network is better on {len(ahead)} of {of} tasks{named(ahead)}."
    )
    fits = {
        t.value: [
            compare(ledger, t.value, (ONE, single_task(t)), at_iou(t, level)) for level in FITS
        ]
        for t in tasks
    }
    where = tuple(
        f"Where {name} falls behind: {signed(found.difference)} points at an IoU of 0.5 (is it "
        f"found?), {signed(tight.difference)} at 0.9 (does the box fit tightly?)."
        f"{_of_boxes(ledger, Task(name))}"
        for name, (found, _, tight) in fits.items()
        if name in short
    )
    return Answer(
        1,
        (alike, *where, fairly) if count or of else (),
        (
            compared(single, "Same size", ("one network", "single-task model"), within_a_point),
            Table(
                "The same by how well a box must fit",
                (
                    f"one network {MINUS} single-task model, points",
                    *(f"IoU {THRESHOLDS[level]:g}" for level in FITS),
                ),
                tuple((n, *(signed(row.difference) for row in rows)) for n, rows in fits.items()),
            ),
            compared(equals, "Same cost", ("one network", "small single-task model"), better),
        ),
        Bars(
            "One network against one for each task",
            {
                "one network": lefts(single),
                "single-task model, same size": rights(single),
                "small single-task models, same cost": rights(equals),
            },
        ),
        {
            "same_size": [row.as_dict() for row in single],
            "same_size_by_iou": {
                f"{THRESHOLDS[level]:g}": [rows[place].as_dict() for rows in fits.values()]
                for place, level in enumerate(FITS)
            },
            "same_cost": [row.as_dict() for row in equals],
            "fair_size": [width, height],
            "fair_cost": share,
        },
        holes(ledger, 1),
    )


def _of_boxes(ledger: Ledger, task: Task) -> str:
    """How much of its loss the one network owes to ``task``; nothing where it is not known."""
    part = part_of_boxes(ledger.sets, task)
    return f" It is {part:.0%} of the boxes in the one network's loss." if part else ""


def _pretrained_or_not(ledger: Ledger) -> Answer:
    tasks = trained_tasks(ledger.sets)
    scratch = [compare(ledger, t.value, (ONE, SCRATCH), of_task(t)) for t in tasks]
    before = [compare(ledger, t.value, (ONE, UNTRAINED), of_task(t)) for t in tasks]
    ahead, count = those(scratch, lambda gap: gap.low > 0)
    sentence = (
        f"With these steps, starting from pretrained weights is better than from scratch on "
        f"{len(ahead)} of {count} tasks{named(ahead)}."
    )
    return Answer(
        2,
        (sentence,) if count else (),
        (
            compared(scratch, "What pretraining brings", ("pretrained", "from scratch"), better),
            compared(before, "What training brings", ("trained", "pretrained alone"), better),
        ),
        Bars(
            "Where training starts",
            {
                "pretrained, trained": lefts(scratch),
                "from scratch": rights(scratch),
                "pretrained alone": rights(before),
            },
        ),
        {
            "from_scratch": [row.as_dict() for row in scratch],
            "pretrained_alone": [row.as_dict() for row in before],
        },
        holes(ledger, 2),
    )


def _forgetting(ledger: Ledger) -> Answer:
    rows = list(_left_out(ledger))
    lost, count = those([row for row, _ in rows], lambda gap: gap.high < 0)
    sentence = (
        f"Training on some sets alone makes the others worse than the pretrained network was in "
        f"{len(lost)} of {count} cases{named(lost)}."
    )
    against = [row for row, _ in rows]
    with_all = [row for _, row in rows]
    return Answer(
        7,
        (sentence,) if count else (),
        (
            compared(against, "Sets left out", ("trained elsewhere", "pretrained alone"), better),
            compared(with_all, "The same", ("trained elsewhere", "trained on all sets"), better),
        ),
        Bars(
            "On sets that were not trained on",
            {
                "trained elsewhere": lefts(against),
                "pretrained alone": rights(against),
                "all sets": rights(with_all),
            },
        ),
        {
            "pretrained_alone": [row.as_dict() for row in against],
            "all_sets": [row.as_dict() for row in with_all],
        },
        holes(ledger, 7),
    )


def _left_out(ledger: Ledger) -> Iterator[tuple[Row, Row]]:
    """On each set left out by an arm: the arm against no training, and against all sets."""
    for group in groups(ledger.sets):
        stem = only(group)
        for other in ledger.sets:
            for task in trained_tasks(group):
                if other not in group and other.val and task in other.tasks:
                    what = f"{task} on {other.name}, after {group[0].name}"
                    pick = of_set(other.name, task)
                    yield (
                        compare(ledger, what, (stem, UNTRAINED), pick),
                        compare(ledger, what, (stem, ONE), pick),
                    )


_ANSWERS: Mapping[int, Callable[[Ledger], Answer]] = {
    1: _one_or_four,
    2: _pretrained_or_not,
    3: answer_layers,
    4: answer_negatives,
    5: answer_amounts,
    6: answer_distillation,
    7: _forgetting,
    8: answer_oversampling,
    9: answer_loss_weights,
    10: answer_longer,
    11: answer_balance,
    12: answer_in_part,
}
