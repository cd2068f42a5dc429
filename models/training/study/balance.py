"""The study's answer about the balance of the tasks: ways to train the one network against its
single-task models, for as many epochs and for as much compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from oneglance.models.tasks import Task
from oneglance.models.training.study.arms import Arm, images_of, step_cost
from oneglance.models.training.study.planner import (
    BORN_AGAIN,
    BORN_AGAIN_HALF_WEIGHTED,
    EQUAL_COMPUTE,
    HALF_WEIGHTED,
    ONE,
    OVERSAMPLED,
    TASK_WEIGHTED,
    same_compute,
    single_oversampled,
    single_task,
)
from oneglance.models.training.study.sets import together, trained_tasks
from oneglance.models.training.study.statistics import Estimate, Ledger, holes, of_task
from oneglance.models.training.study.tables import (
    MINUS,
    Answer,
    Bars,
    Row,
    Table,
    compare,
    lefts,
    named,
    points,
    rights,
    signed,
    those,
)

LABELS = {
    ONE: "every box the same",
    HALF_WEIGHTED: "half-way",
    TASK_WEIGHTED: "every task the same",
    "one-uncertainty": "uncertainty",
    "one-pcgrad": "PCGrad",
    "one-task-branches": "task branches",
    OVERSAMPLED: "oversampled",
    BORN_AGAIN: "born-again",
    BORN_AGAIN_HALF_WEIGHTED: "born-again half-way",
}
"""What the arms are called, by their stem."""

BEHIND = 0.003
"""A task is behind its single-task model from so much mAP50-95 on."""

Rows = Mapping[str, list[Row]]
"""By the balance's label, a row for each task: the one network and the single-task model."""


def answer_balance(ledger: Ledger) -> Answer:
    tasks = trained_tasks(ledger.sets)
    if len(tasks) == 1:
        return Answer(11, (), (), None, {}, ("there is one task only",))
    equal_epochs = _against_single(ledger, {label: stem for stem, label in LABELS.items()})
    equal_compute = _against_single(
        ledger, {LABELS[stem]: same_compute(stem) for stem in EQUAL_COMPUTE}
    )
    alike = _alike(ledger)
    sentences = [
        *_sentences("as many epochs", equal_epochs),
        *_sentences("as much compute as the single-task models together", equal_compute),
    ]
    for trained, rows in alike.items():
        ahead, count = those(rows, lambda gap: gap.value > 0)
        if count:
            sentences.append(
                f"Against single-task models that are oversampled alike, the oversampled one "
                f"network trained for {trained} is ahead on {len(ahead)} of {count} "
                f"tasks{named(ahead)}."
            )
    if sentences:
        sentences.append(_what_it_costs(ledger))
    singles = {row.what: row.right for rows in equal_epochs.values() for row in rows if row.right}
    tables = [
        _table("As many epochs", equal_epochs, singles),
        _table("As much compute as the single-task models together", equal_compute, singles),
    ]
    if any(row.right for rows in alike.values() for row in rows):
        oversampled = {row.what: row.right for rows in alike.values() for row in rows if row.right}
        title = "Oversampled, against single-task models that are oversampled alike"
        tables.append(_table(title, alike, oversampled))
    return Answer(
        11,
        tuple(sentences),
        tuple(tables),
        Bars(
            "Balance of the tasks, as many epochs",
            {label: lefts(rows) for label, rows in equal_epochs.items()}
            | {"single-task model": rights(next(iter(equal_epochs.values())))},
        ),
        {
            "equal_epochs": _facts(equal_epochs),
            "equal_compute": _facts(equal_compute),
            "oversampled_alike": _facts(alike),
            "cost_of_all_single_task_models": together(ledger.sets),
            "cost": {LABELS[stem]: cost for stem, cost in _costs(ledger).items()},
        },
        holes(ledger, 11),
    )


def _against_single(ledger: Ledger, stems: Mapping[str, str]) -> Rows:
    tasks: tuple[Task, ...] = trained_tasks(ledger.sets)
    return {
        label: [compare(ledger, t.value, (stem, single_task(t)), of_task(t)) for t in tasks]
        for label, stem in stems.items()
    }


def _alike(ledger: Ledger) -> Rows:
    """The oversampled one network against single-task models that are oversampled as it is."""
    trained = {"as many epochs": OVERSAMPLED, "as much compute": same_compute(OVERSAMPLED)}
    return {
        label: [
            compare(ledger, t.value, (stem, single_oversampled(t)), of_task(t))
            for t in trained_tasks(ledger.sets)
        ]
        for label, stem in trained.items()
    }


def _sentences(trained: str, found: Rows) -> list[str]:
    sentences = []
    for label, rows in found.items():
        ahead, count = those(rows, lambda gap: gap.value > 0)
        surely, _ = those(rows, lambda gap: gap.low > 0)
        behind, _ = those(rows, lambda gap: gap.value < -BEHIND)
        if count:
            sentences.append(
                f"Balanced as '{label}' and trained for {trained}, the one network is ahead of a "
                f"task's single-task model on {len(ahead)} of {count} tasks{named(ahead)}, surely "
                f"on {len(surely)}, and more than {100 * BEHIND:g} points behind on "
                f"{len(behind)}{named(behind)}."
            )
    return sentences


def _costs(ledger: Ledger) -> dict[str, float]:
    """By the stem of an arm at equal epochs: its compute in those of the plain one network."""
    first = ledger.options.seeds[0]
    by_name = {arm.name: arm for arm in ledger.arms}
    arms = {stem: by_name.get(f"{stem}.s{first}") for stem in LABELS}
    taught = together(ledger.sets)  # the teachers, trained for it
    return {
        stem: step_cost(arm) * _steps(ledger, arm) + (taught if arm.teachers else 0)
        for stem, arm in arms.items()
        if arm is not None
    }


def _steps(ledger: Ledger, arm: Arm) -> float:
    """Of an arm in those of the plain one network; oversampling has epochs of its own length."""
    plain = replace(arm, oversample=None)
    epochs = arm.epochs / ledger.options.epochs
    return epochs * images_of(arm, ledger.sets) / images_of(plain, ledger.sets)


def _what_it_costs(ledger: Ledger) -> str:
    costs = _costs(ledger)
    sentence = (
        f"At equal epochs the single-task models together take {together(ledger.sets):.1f} times "
        "the compute of the plain one network"
    )
    if costs:
        each = ", ".join(f"{LABELS[stem]} {cost:.1f}" for stem, cost in costs.items())
        sentence += f"; the one network takes, its teachers included: {each}"
    if any(arm.teachers for arm in ledger.arms):
        sentence += (
            ". Born-again takes more than its teachers alone, so it is not among those of equal "
            "compute"
        )
    return f"{sentence}."


def _table(title: str, found: Rows, singles: Mapping[str, Estimate]) -> Table:
    columns = (f"one network {MINUS} single-task model, points", "single-task model", *found)
    by_task = zip(*found.values(), strict=True)
    rows = tuple(
        (
            row[0].what,
            points(singles.get(row[0].what)),
            *(signed(one.difference) for one in row),
        )
        for row in by_task
    )
    return Table(title, columns, rows)


def _facts(found: Rows) -> dict[str, list[dict[str, object]]]:
    return {label: [row.as_dict() for row in rows] for label, rows in found.items()}
