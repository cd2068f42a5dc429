"""The study's answers about amounts: how many layers to train, and whether there is enough data."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from oneglance.models.tasks import Task
from oneglance.models.training.recipe import TrainableLayers
from oneglance.models.training.study.arms import images_of, labelled_images
from oneglance.models.training.study.curves import LEAST_POINTS, Extrapolation, extrapolate
from oneglance.models.training.study.planner import (
    CURVE_SHARES,
    LAYER_SHARES,
    TRAINABLE,
    part,
)
from oneglance.models.training.study.sets import (
    trained_tasks,
)
from oneglance.models.training.study.statistics import (
    Estimate,
    Ledger,
    Pick,
    drawn_means,
    estimate,
    holes,
    of_all,
    of_task,
    samples,
)
from oneglance.models.training.study.tables import (
    MINUS,
    Answer,
    Curves,
    Lines,
    Table,
    points,
    signed,
)


def answer_layers(ledger: Ledger) -> Answer:
    tasks = trained_tasks(ledger.sets)
    counts = {share: _images(ledger, share) for share in LAYER_SHARES}
    columns = ("layers", *(f"{s:.0%}: {counts[s]:.0f} images" for s in LAYER_SHARES))

    def grid(pick: Pick) -> dict[TrainableLayers, list[Estimate | None]]:
        return {
            layers: [estimate(samples(ledger, part(layers, s), pick)) for s in LAYER_SHARES]
            for layers in TRAINABLE
        }

    grids = {"all tasks": grid(of_all(tasks))} | {t.value: grid(of_task(t)) for t in tasks}
    tables = tuple(
        Table(
            f"mAP50-95 in points, {'mean of the tasks' if name == 'all tasks' else name}",
            columns,
            tuple((layers.value, *map(points, row)) for layers, row in found.items()),
        )
        for name, found in grids.items()
    )
    whole = grids["all tasks"]
    sentences = []
    for place, share in enumerate(LAYER_SHARES):
        scored = {d: e.value for d, row in whole.items() if (e := row[place]) is not None}
        if len(scored) == len(TRAINABLE):
            best = max(scored, key=scored.__getitem__)
            sentences.append(
                f"With {share:.0%} of the images ({counts[share]:.0f}) training '{best}' scores "
                f"best: {100 * scored[best]:.1f} points."
            )
    lines = {
        f"trains {layers.value}": [
            (counts[s], e) for s, e in zip(LAYER_SHARES, row, strict=True) if e is not None
        ]
        for layers, row in whole.items()
    }
    facts = {
        name: {
            d.value: {
                f"{s:g}": None if e is None else e.as_dict()
                for s, e in zip(LAYER_SHARES, row, strict=True)
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


def answer_amounts(ledger: Ledger) -> Answer:
    measured: dict[str, list[tuple[float, Estimate]]] = {}
    laws: dict[str, Extrapolation] = {}
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
        law = extrapolate(list(scores), np.array([e.value for e in scores.values()]), whole)
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


def _law(law: Extrapolation) -> str:
    a, b, c = law.law
    floor = f" + {c:.2f}" if c >= 0.005 else ""
    return f"{a:.2f} · n^{MINUS}{b:.2f}{floor}"
