"""The study's answers about the one network trained another way: oversampled, weighted, longer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from oneglance.models.training.study.planner import (
    LONGER,
    ONE,
    OVERSAMPLED,
    TASK_WEIGHTED,
    single_task,
)
from oneglance.models.training.study.sets import (
    balancing,
    together,
    trained_tasks,
)
from oneglance.models.training.study.statistics import (
    Ledger,
    holes,
    of_task,
)
from oneglance.models.training.study.tables import (
    Answer,
    Bars,
    better,
    compare,
    compared,
    lefts,
    named,
    rights,
    those,
    within_a_point,
)


def answer_oversampling(ledger: Ledger) -> Answer:
    oversample = {name: often for name, often in balancing(ledger.sets).items() if often > 1}
    if not oversample:
        return Answer(8, (), (), None, {}, ("no task has far fewer images than another",))
    often = ", ".join(f"{name} {times} times" for name, times in oversample.items())
    variant = _Variant(
        8,
        OVERSAMPLED,
        what=f"Oversampling the images of tasks that have few ({often} an epoch, in about "
        "as many steps)",
        labels=("oversampled", "each image once"),
        single_task_model="single-task model, which sees each image once an epoch,",
        title="Oversampling of rare tasks",
    )
    found = _otherwise(ledger, variant)
    return replace(found, facts={"oversample": oversample} | found.facts)


def answer_loss_weights(ledger: Ledger) -> Answer:
    variant = _Variant(
        9,
        TASK_WEIGHTED,
        what="Giving every task the same loss weight, not every box,",
        labels=("every task the same", "every box the same"),
        single_task_model="single-task model",
        title="Loss weights",
    )
    return _otherwise(ledger, variant)


def answer_longer(ledger: Ledger) -> Answer:
    times = together(ledger.sets)
    variant = _Variant(
        10,
        LONGER,
        what=f"Training it {times:.1f} times as long, which is as long as a network for each task "
        "together,",
        labels=("as long as all together", "as long as each"),
        single_task_model="single-task model",
        title="How long the one network is trained",
        steps=f"{times:.1f} times the steps",
    )
    return _otherwise(ledger, variant)


@dataclass(frozen=True, slots=True)
class _Variant:
    """The one network trained another way, the arm ``stem``. ``what``: the way, as a sentence
    begins; ``labels``: of it and of the usual one; ``steps``: how many it takes beside that."""

    question: int
    stem: str
    what: str
    labels: tuple[str, str]
    single_task_model: str
    title: str
    steps: str = "The same number of steps"


def _otherwise(ledger: Ledger, variant: _Variant) -> Answer:
    """What the variant brings, and how near to a task's single-task model, where there are some."""
    stem, labels = variant.stem, variant.labels
    tasks = trained_tasks(ledger.sets)
    if len(tasks) == 1:
        return Answer(variant.question, (), (), None, {}, ("there is one task only",))
    against_one = [compare(ledger, t.value, (stem, ONE), of_task(t)) for t in tasks]
    against_own = [compare(ledger, t.value, (stem, single_task(t)), of_task(t)) for t in tasks]
    ahead, count = those(against_one, lambda gap: gap.low > 0)
    behind, _ = those(against_one, lambda gap: gap.high < 0)
    close, of = those(against_own, lambda gap: gap.value >= -0.01)
    brings = (
        f"{variant.what} makes the one network better on {len(ahead)} of {count} "
        f"tasks{named(ahead)}, worse on {len(behind)}{named(behind)}."
    )
    sentences = [brings]
    tables = [compared(against_one, variant.steps, labels, better)]
    if of:
        sentences.append(
            f"It is then within a point of a task's {variant.single_task_model} on {len(close)} "
            f"of {of} tasks{named(close)}."
        )
        beside = (labels[0], "single-task model")
        tables.append(compared(against_own, "Against a task's own", beside, within_a_point))
    return Answer(
        variant.question,
        tuple(sentences) if count else (),
        tuple(tables),
        Bars(
            variant.title,
            {
                labels[0]: lefts(against_one),
                labels[1]: rights(against_one),
                "single-task model": rights(against_own),
            },
        ),
        {
            "one": [row.as_dict() for row in against_one],
            "own": [row.as_dict() for row in against_own],
        },
        holes(ledger, variant.question),
    )
