"""mAP of files as ``oneglance eval`` finds it, with what resampling the images says of it.

Images that a set given beside them trains on are left out, as a study leaves them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oneglance.models.detector import Detector
from oneglance.models.engines.loading import DEFAULT_ENGINE, DEFAULT_PRECISION
from oneglance.models.tasks import Task
from oneglance.models.training.audit.audit import set_names
from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.evaluation.coco import EVALUATION_CONFIDENCE
from oneglance.models.training.evaluation.scores import scores_on
from oneglance.models.training.study.results import Score
from oneglance.models.training.study.statistics import Estimate, Sample, difference, estimate, mean

SPLIT = "val"


def scores_of(
    model: Path,
    datasets: Sequence[Dataset],
    *,
    engine: str = DEFAULT_ENGINE,
    precision: str = DEFAULT_PRECISION,
) -> tuple[Score, ...]:
    """A score for each set and each task that it labels and the model does.

    The draws are the same images for every model, so that models are compared draw by draw.

    Raises:
        DataError, ModelError: as ``evaluate`` and ``Detector.load`` do.
    """
    detector = Detector.load(
        model, confidence=EVALUATION_CONFIDENCE, engine=engine, precision=precision
    )
    served = {cls.task for cls in detector.classes}
    trained = {i.resolve() for d in datasets if "train" in d.folders for i in d.images("train")}
    found: list[Score] = []
    for name, dataset in zip(set_names(datasets), datasets, strict=True):
        if SPLIT in dataset.folders and dataset.labelled_tasks & served:
            known = {i for i in dataset.images(SPLIT) if i.resolve() in trained}
            if len(known) < len(dataset.images(SPLIT)):
                found += scores_on(detector, dataset, name, without=known)
    return tuple(found)


def middle(scores: Sequence[Score], task: Task) -> Sample | None:
    """mAP50-95 of a task, the mean over the sets that score it; None where none does."""
    return mean([Sample(s.map50_95, s.draws) for s in scores if s.task is task])


def interval(one: Sample) -> Estimate:
    """A score and where 95 % of its draws lie."""
    found = estimate({0: one})
    assert found is not None
    return found


def paired(one: Sample, other: Sample) -> Estimate:
    """``one`` less ``other`` on the same draws of images."""
    found = difference({0: one}, {0: other})
    assert found is not None
    return found
