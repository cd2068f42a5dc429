"""The study's answers, from its numbers: tables, sentences and what to draw. No files here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import THRESHOLDS
from oneglance.models.training.recipe import TAUGHT_TASKS, TrainableLayers
from oneglance.models.training.study.arms import (
    ABSENT,
    BALANCED,
    CURVE_SHARES,
    DEPTH_SHARES,
    DEPTHS,
    DISTILLED,
    LONGER,
    ONE,
    SCRATCH,
    UNTRAINED,
    WEIGHED,
    balancing,
    fair,
    fair_size,
    groups,
    images_of,
    labelled_images,
    only,
    own,
    part,
    part_of_boxes,
    partly_labelled,
    together,
    trained_tasks,
)
from oneglance.models.training.study.curves import LEAST_POINTS, Outlook, outlook
from oneglance.models.training.study.statistics import (
    Estimate,
    Ledger,
    Pick,
    at_iou,
    drawn_means,
    estimate,
    f1_of_set,
    f1_of_task,
    holes,
    of_all,
    of_set,
    of_task,
    samples,
)
from oneglance.models.training.study.tables import (
    MINUS,
    Answer,
    Bars,
    Curves,
    Lines,
    Row,
    Table,
    better,
    compare,
    compared,
    lefts,
    named,
    points,
    rights,
    signed,
    those,
    within_a_point,
)

TAUGHT = {task.value for task in TAUGHT_TASKS}

FITS = (0, 5, 8)
"""Of ``THRESHOLDS`` 0.5, from which a thing counts as found, 0.75, and 0.9, which only boxes
that fit tightly reach."""


def answers(ledger: Ledger) -> tuple[Answer, ...]:
    """An answer to each question asked, with holes where arms are missing."""
    return tuple(_ANSWERS[question](ledger) for question in sorted(set(ledger.options.questions)))


def _one_or_four(ledger: Ledger) -> Answer:
    tasks = trained_tasks(ledger.sets)
    twins = [compare(ledger, t.value, (ONE, own(t)), of_task(t)) for t in tasks]
    equals = [compare(ledger, t.value, (ONE, fair(t)), of_task(t)) for t in tasks]
    good, count = those(twins, lambda gap: gap.value >= -0.01)
    short, _ = those(twins, lambda gap: gap.value < -0.01)
    ahead, of = those(equals, lambda gap: gap.low > 0)
    size = ledger.options.size
    width, height = fair_size(size, len(tasks))
    share = width * height / (size[0] * size[1])
    alike = (
        f"The one network is within a point of a task's own network of the same size on "
        f"{len(good)} of {count} tasks{named(good)}, further behind on {len(short)}"
        f"{named(short)}, and does the work of {len(tasks)}."
    )
    fairly = (
        f"At equal cost ({len(tasks)} networks of {width}x{height}, each {share:.0%} of the "
        f"one's pixels) the one network is better on {len(ahead)} of {of} tasks{named(ahead)}."
    )
    fits = {
        t.value: [compare(ledger, t.value, (ONE, own(t)), at_iou(t, level)) for level in FITS]
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
            compared(twins, "Same size", ("one network", "own network"), within_a_point),
            Table(
                "The same by how well a box must fit",
                (
                    f"one network {MINUS} own network, points",
                    *(f"IoU {THRESHOLDS[level]:g}" for level in FITS),
                ),
                tuple((n, *(signed(row.difference) for row in rows)) for n, rows in fits.items()),
            ),
            compared(equals, "Same cost", ("one network", "own small network"), better),
        ),
        Bars(
            "One network against one for each task",
            {
                "one network": lefts(twins),
                "own network, same size": rights(twins),
                "own small networks, same cost": rights(equals),
            },
        ),
        {
            "same_size": [row.as_dict() for row in twins],
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


def _layers(ledger: Ledger) -> Answer:
    tasks = trained_tasks(ledger.sets)
    counts = {share: _images(ledger, share) for share in DEPTH_SHARES}
    columns = ("layers", *(f"{s:.0%}: {counts[s]:.0f} images" for s in DEPTH_SHARES))

    def grid(pick: Pick) -> dict[TrainableLayers, list[Estimate | None]]:
        return {
            depth: [estimate(samples(ledger, part(depth, s), pick)) for s in DEPTH_SHARES]
            for depth in DEPTHS
        }

    grids = {"all tasks": grid(of_all(tasks))} | {t.value: grid(of_task(t)) for t in tasks}
    tables = tuple(
        Table(
            f"mAP50-95 in points, {'mean of the tasks' if name == 'all tasks' else name}",
            columns,
            tuple((depth.value, *map(points, row)) for depth, row in found.items()),
        )
        for name, found in grids.items()
    )
    whole = grids["all tasks"]
    sentences = []
    for place, share in enumerate(DEPTH_SHARES):
        scored = {d: e.value for d, row in whole.items() if (e := row[place]) is not None}
        if len(scored) == len(DEPTHS):
            best = max(scored, key=scored.__getitem__)
            sentences.append(
                f"With {share:.0%} of the images ({counts[share]:.0f}) training '{best}' scores "
                f"best: {100 * scored[best]:.1f} points."
            )
    lines = {
        f"trains {depth.value}": [
            (counts[s], e) for s, e in zip(DEPTH_SHARES, row, strict=True) if e is not None
        ]
        for depth, row in whole.items()
    }
    facts = {
        name: {
            d.value: {
                f"{s:g}": None if e is None else e.as_dict()
                for s, e in zip(DEPTH_SHARES, row, strict=True)
            }
            for d, row in found.items()
        }
        for name, found in grids.items()
    }
    plot = Lines("Which layers to train, mean of the tasks", lines)
    return Answer(3, tuple(sentences), tables, plot, facts, holes(ledger, 3))


def _images(ledger: Ledger, share: float, task: Task | None = None) -> float:
    """Training images of a share, that label ``task``: the mean over seeds, equal in practice."""
    names = {f"{part(TrainableLayers.ALL, share)}.s{seed}" for seed in ledger.options.seeds}
    counts = [
        images_of(arm, ledger.sets) if task is None else labelled_images(arm, ledger.sets, task)
        for arm in ledger.arms
        if arm.name in names
    ]
    return float(np.mean(counts)) if counts else 0.0


def _masked_or_absent(ledger: Ledger) -> Answer:
    partly = partly_labelled(ledger.sets)
    if not partly:
        return Answer(4, (), (), None, {}, ("every image labels every task: nothing is missing",))
    tasks = trained_tasks(ledger.sets)
    labels, f1 = ("left out", "taken for absent"), f"F1 at confidence {DEFAULT_CONFIDENCE:g}"
    order, shown = (
        [compare(ledger, t.value, (ONE, ABSENT), pick(t)) for t in tasks]
        for pick in (of_task, f1_of_task)
    )
    order_by_set, shown_by_set = (
        _set_by_set(ledger, (ONE, ABSENT), pick) for pick in (of_set, f1_of_set)
    )
    sentences = []
    for score, rows in (("mAP50-95", order), (f1, shown)):
        on_partly = [row for row in rows if row.what in {task.value for task in partly}]
        ahead, count = those(on_partly, lambda gap: gap.low > 0)
        behind, _ = those(on_partly, lambda gap: gap.high < 0)
        if count:
            sentences.append(
                f"Leaving out what an image does not label is better than taking it for absent, "
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


def _curve(ledger: Ledger) -> Answer:
    measured: dict[str, list[tuple[float, Estimate]]] = {}
    laws: dict[str, Outlook] = {}
    rows, sentences, missing = [], [], list(holes(ledger, 5))
    for task in trained_tasks(ledger.sets):
        found = {
            _images(ledger, share, task): by_seed
            for share in CURVE_SHARES
            if (by_seed := samples(ledger, part(TrainableLayers.ALL, share), of_task(task)))
        }
        scores = {n: e for n, by_seed in found.items() if (e := estimate(by_seed)) is not None}
        measured[task.value] = list(scores.items())
        if len(scores) < LEAST_POINTS:
            missing.append(f"{task}: no curve, it has {len(scores)} numbers of images, not 3")
            continue
        drawn = np.stack([drawn_means(by_seed) for by_seed in found.values()], axis=1)
        whole = drawn[np.isfinite(drawn).all(axis=1)]
        law = outlook(list(scores), np.array([e.value for e in scores.values()]), whole)
        laws[task.value] = law
        gain = Estimate(law.gain, law.low, law.high, ())
        rows.append((task.value, f"{law.images:.0f}", _law(law), signed(gain), law.verdict))
        sentences.append(
            f"{task}: twice the images would bring {signed(gain)} points: {law.verdict}."
        )
    columns = (
        "task",
        "images that label it",
        "error",
        "twice as many bring (points)",
        "so there is",
    )
    facts = {
        "points": {
            name: [{"images": n, **e.as_dict()} for n, e in found]
            for name, found in measured.items()
        },
        "laws": {name: asdict(law) | {"verdict": law.verdict} for name, law in laws.items()},
    }
    return Answer(
        5,
        tuple(sentences),
        (Table("The law through each task's points", columns, tuple(rows)),) if rows else (),
        Curves("Score against training images", measured, laws),
        facts,
        tuple(missing),
    )


def _law(law: Outlook) -> str:
    a, b, c = law.law
    floor = f" + {c:.2f}" if c >= 0.005 else ""
    return f"{a:.2f} · n^{MINUS}{b:.2f}{floor}"


def _distilled(ledger: Ledger) -> Answer:
    partly = partly_labelled(ledger.sets)
    if not partly:
        return Answer(6, (), (), None, {}, ("every image labels every task: nothing is missing",))
    tasks = trained_tasks(ledger.sets)
    against_one, against_untrained = (
        [compare(ledger, t.value, (DISTILLED, other), of_task(t)) for t in tasks]
        for other in (ONE, UNTRAINED)
    )
    by_set = _set_by_set(ledger, (DISTILLED, ONE), of_set)
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


def _balanced(ledger: Ledger) -> Answer:
    repeats = {name: often for name, often in balancing(ledger.sets).items() if often > 1}
    if not repeats:
        return Answer(8, (), (), None, {}, ("no task has far fewer images than another",))
    often = ", ".join(f"{name} {times} times" for name, times in repeats.items())
    variant = _Variant(
        8,
        BALANCED,
        what=f"Showing the images of tasks that have few more often ({often} an epoch, in about "
        "as many steps)",
        labels=("shown more often", "each image once"),
        own_network="own network, which is shown each image once an epoch,",
        title="How often rare tasks are shown",
    )
    found = _otherwise(ledger, variant)
    return replace(found, facts={"oversample": repeats} | found.facts)


def _weighed(ledger: Ledger) -> Answer:
    variant = _Variant(
        9,
        WEIGHED,
        what="Letting every task weigh the same in the loss, not every box,",
        labels=("every task the same", "every box the same"),
        own_network="own network",
        title="What weighs the same in the loss",
    )
    return _otherwise(ledger, variant)


def _longer(ledger: Ledger) -> Answer:
    times = together(ledger.sets)
    variant = _Variant(
        10,
        LONGER,
        what=f"Training it {times:.1f} times as long, which is as long as a network for each task "
        "together,",
        labels=("as long as all together", "as long as each"),
        own_network="own network",
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
    own_network: str
    title: str
    steps: str = "The same number of steps"


def _otherwise(ledger: Ledger, variant: _Variant) -> Answer:
    """What the variant brings, and how near to a task's own network, where there are some."""
    stem, labels = variant.stem, variant.labels
    tasks = trained_tasks(ledger.sets)
    if len(tasks) == 1:
        return Answer(variant.question, (), (), None, {}, ("there is one task only",))
    against_one = [compare(ledger, t.value, (stem, ONE), of_task(t)) for t in tasks]
    against_own = [compare(ledger, t.value, (stem, own(t)), of_task(t)) for t in tasks]
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
            f"It is then within a point of a task's {variant.own_network} on {len(close)} of {of} "
            f"tasks{named(close)}."
        )
        beside = (labels[0], "own network")
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
                "own network": rights(against_own),
            },
        ),
        {
            "one": [row.as_dict() for row in against_one],
            "own": [row.as_dict() for row in against_own],
        },
        holes(ledger, variant.question),
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
    3: _layers,
    4: _masked_or_absent,
    5: _curve,
    6: _distilled,
    7: _forgetting,
    8: _balanced,
    9: _weighed,
    10: _longer,
}
