"""Labels by machine for what a set's val images show and do not label, to score on.

    python -m benchmarks.labelling.machine_labels ../shared/data/lights/data.yaml \
        --base ../shared/weights/yolo26n-coco.pt --out runs/lights-others

The pretrained network answers, at an input larger than any that a study trains at, for the tasks
whose COCO classes mean the same as ours. The new set in OUT links the images and has no training
images: a study that is given it scores on it and trains as without it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.labelling.scoring_sets import Box, check_out, write_scoring_set
from benchmarks.options import in_words
from oneglance.models.detector import Detector
from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.models.training.checkpoints import read_checkpoint, write_checkpoint
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.export import export
from oneglance.models.training.fit.heads import with_new_last_layer
from oneglance.models.training.pretrained import TAUGHT_TASKS
from oneglance.streams.errors import DataError, OneglanceError
from oneglance.streams.files.images import read_image

CONFIDENCE = 0.3
"""As the machine labels of gtsdb were made; see ``../shared/README.md``."""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="the pretrained .pt")
    parser.add_argument("--size", default="832x832", help="of the input; sides multiples of 32")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(words)
    try:
        width, height = map(int, options.size.split("x"))
        dataset = read_dataset(options.data)
        check_out(options.out)
        label(dataset, pretrained(options.base, (width, height)), options.out)
    except (OneglanceError, OSError) as error:
        print(f"machine_labels: {in_words(error)}", file=sys.stderr)
        return 2
    except ValueError:
        print(f"machine_labels: --size is like 832x832, not {options.size}", file=sys.stderr)
        return 2
    return 0


def label(dataset: Dataset, detector: Detector, out: Path) -> None:
    """Write the set into ``out``: links to the val images, YOLO labels and ``data.yaml``."""
    tasks = [task for task in TAUGHT_TASKS if task not in dataset.labelled_tasks]
    if not tasks:
        raise DataError(f"{dataset.file} labels all that the pretrained network can answer for")
    counts = write_scoring_set(
        out, tasks, ((path, _answers(detector, path, tasks)) for path in dataset.images("val"))
    )
    print(", ".join(f"{count} of {task}" for task, count in counts.items()), "in", out)


def _answers(detector: Detector, path: Path, tasks: Sequence[Task]) -> list[tuple[Task, Box]]:
    image = read_image(path)
    if image is None:
        raise DataError(f"cannot read image {path}")
    height, width = image.shape[:2]
    found = detector(image)
    corners = found.xyxy / (width, height, width, height)
    named = zip(map(Task, map(str, found.data["task"])), corners.tolist(), strict=True)
    return [(task, tuple(box)) for task, box in named if task in tasks]


def pretrained(base: Path, size: tuple[int, int], *, confidence: float = CONFIDENCE) -> Detector:
    """What ``base``, a checkpoint, answers at an input of ``size`` (width, height).

    Raises:
        ModelError: ``base`` is no checkpoint, or has no class of ours.
    """
    network = with_new_last_layer(read_checkpoint(base), FOUR_TASKS)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.pt"
        write_checkpoint(network.as_ultralytics(), weights)
        model = weights.with_suffix(".onnx")
        export(weights, model, name="pretrained", size=size, training={})
        return Detector.load(model, confidence=confidence)


if __name__ == "__main__":
    sys.exit(main())
