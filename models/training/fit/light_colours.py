"""Fit the classifier of the colours of lights (``models.colours``) to labelled ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from oneglance.models.light_colours import FEATURES, Floats, LightColours, features
from oneglance.models.tasks import LIGHT_COLOURS
from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.evaluation.coco import Truth, truths
from oneglance.streams.errors import DataError

SHIFTED = 3
"""How often a light is looked at again in a box that is not quite right, as found ones are."""

SHIFT = 0.08
"""How far its edges move then, as a share of its sides: the standard deviation."""

SHRINK = 1e-3
"""Weight of the squared weights in the loss."""

Ints = npt.NDArray[np.int64]


def fit_colours(datasets: Sequence[Dataset]) -> LightColours:
    """Softmax regression on the lights of a labelled colour in ``datasets``' training images.

    Rare colours have more loss weight, by the root of how much rarer they are.

    Raises:
        DataError: fewer than two colours are labelled, or a set cannot be read.
    """
    random = np.random.default_rng(0)
    rows: list[Floats] = []
    names: list[str] = []
    for dataset in datasets:
        for truth in truths(dataset, "train", dataset.images("train")):
            for name, box in _lights(truth, random):
                rows.append(features(truth.image, box))
                names.append(name)
    classes = tuple(cls for cls in LIGHT_COLOURS if cls.name in names)
    if len(classes) < 2:
        files = ", ".join(str(dataset.file) for dataset in datasets)
        raise DataError(f"no two colours of lights are labelled in the training images of {files}")
    order = {cls.name: k for k, cls in enumerate(classes)}
    colours = np.array([order[name] for name in names], np.int64)
    return LightColours(classes, _regress(np.array(rows), colours, len(classes)))


def _lights(
    truth: Truth, random: np.random.Generator
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    colours = {cls.name for cls in LIGHT_COLOURS}
    for cls, (left, top, width, height) in truth.boxes:
        if cls.name not in colours:
            continue
        box = np.array((left, top, left + width, top + height))
        sides = np.array((width, height, width, height))
        yield cls.name, box.astype(np.float32)
        for shift in random.normal(0, SHIFT, (SHIFTED, 4)):
            yield cls.name, (box + shift * sides).astype(np.float32)


def _regress(rows: Floats, colours: Ints, count: int) -> Floats:
    weight = 1 / np.sqrt(np.bincount(colours, minlength=count))[colours]
    weight /= weight.sum()
    target = np.eye(count)[colours]
    inputs = np.column_stack((rows, np.ones(len(rows))))

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(count, FEATURES + 1)
        scores = inputs @ weights.T
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        penalty = SHRINK * np.square(weights[:, :-1]).sum() / len(rows)
        slope = ((np.exp(logs) - target) * weight[:, None]).T @ inputs
        slope[:, :-1] += 2 * SHRINK * weights[:, :-1] / len(rows)
        return float(penalty - (weight[:, None] * target * logs).sum()), slope.ravel()

    found = minimize(
        loss,
        np.zeros(count * (FEATURES + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000},
    )
    weights: Floats = found.x.reshape(count, FEATURES + 1)
    return weights
