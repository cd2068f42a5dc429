"""Data to train and to score on: the public door of data set files, labels and staging."""

from oneglance.models.training.checks import check
from oneglance.models.training.datasets import Dataset, read_dataset
from oneglance.models.training.labels import (
    LabelledBox,
    Labels,
    Problem,
    label_file,
    scan_labels,
)
from oneglance.models.training.mappings import MAPPINGS
from oneglance.models.training.staging import known_classes, stage

__all__ = [
    "MAPPINGS",
    "Dataset",
    "LabelledBox",
    "Labels",
    "Problem",
    "check",
    "known_classes",
    "label_file",
    "read_dataset",
    "scan_labels",
    "stage",
]
