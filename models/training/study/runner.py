"""The study: many trainings that differ in one thing each, scored on the same images.

Every arm is trained, exported to ONNX and scored from that file through the Detector users run.
A study that was stopped goes on where it was; an arm that failed is tried again by the next run.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneglance.models.detector import Detector
from oneglance.models.training.audit.audit import set_names
from oneglance.models.training.checkpoints import checkpoint_bytes, read_checkpoint
from oneglance.models.training.data import merging
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.data.fingerprint import fingerprint
from oneglance.models.training.evaluation.coco import EVALUATION_CONFIDENCE
from oneglance.models.training.evaluation.scores import scores_on
from oneglance.models.training.export import export
from oneglance.models.training.fit.finetune import finetune
from oneglance.models.training.fit.heads import with_new_last_layer
from oneglance.models.training.recipe import Recipe, training_facts
from oneglance.models.training.study.arms import Arm, StudyOptions, cost, images_of
from oneglance.models.training.study.planner import plan
from oneglance.models.training.study.report import write_report
from oneglance.models.training.study.results import (
    ArmResult,
    Outcome,
    Score,
    begin,
    keep,
    keep_failure,
    read,
)
from oneglance.models.training.study.sets import SetFacts, trained_tasks
from oneglance.models.training.study.statistics import Ledger
from oneglance.streams.errors import DataError, OneglanceError, SinkError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import real_path

MEASURED_BATCHES = 4
"""How many batches are trained to measure a step's time."""

Say = Callable[[str], None]

_merging_logger = logging.getLogger(merging.__name__)


@dataclass(frozen=True, slots=True)
class Study:
    """A study as it was asked for: see ``open_study``. ``fingerprints``: of each set, by name."""

    datasets: tuple[Dataset, ...]
    sets: tuple[SetFacts, ...]
    base: Path
    base_sha256: str
    out: Path
    options: StudyOptions
    arms: tuple[Arm, ...]
    fingerprints: Mapping[str, str]

    def folder(self, arm: Arm) -> Path:
        """Where the arm is trained and its result lies."""
        return self.out / "arms" / arm.name

    def outcomes(self) -> dict[str, Outcome]:
        """By the arm's name, what is known so far."""
        return {arm.name: read(self.folder(arm)) for arm in self.arms}


def open_study(data: Sequence[Path], *, base: Path, out: Path, options: StudyOptions) -> Study:
    """Read the sets and plan the arms; nothing is trained or written.

    Raises:
        DataError, ModelError, UsageError: a set, the weights or the options cannot be used.
        SinkError: ``out`` holds anything but a study of ours.
    """
    datasets = tuple(read_dataset(file) for file in data)
    read_checkpoint(base)
    folders = (
        folder for dataset in datasets for part in dataset.folders.values() for folder in part
    )
    for dataset in datasets:
        dataset.refuse_output(out)
    OutputFolder(out, "study").check([base, *data, *folders])
    trained = _trained(datasets)
    sets = tuple(
        _facts(name, dataset, trained)
        for name, dataset in zip(set_names(datasets), datasets, strict=True)
    )
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    held = {s.name: fingerprint(dataset) for s, dataset in zip(sets, datasets, strict=True)}
    return Study(datasets, sets, base, digest, out, options, plan(sets, options), held)


def run(study: Study, *, say: Say, seconds_per_image: float | None = None) -> Path:
    """Train and score every arm not yet done and write the report; returns ``report.md``.

    ``say`` gets a line as each arm begins. The report is written again after every arm, so a
    study may be stopped and read at any moment.

    Raises:
        DataError: the folder holds another study; or arms failed, after everything else is done.
    """
    place = OutputFolder(study.out, "study")  # ours alone for as long as it is named
    place.claim()
    for arm in study.arms:
        if study.folder(arm).is_dir():
            begin(study.folder(arm), _asked(study, arm))
    outcomes = study.outcomes()  # a damaged folder is named before hours of work
    with _mended_labels_logged_once():
        failed = _run_arms(study, outcomes, say, seconds_per_image=seconds_per_image)
    report = _report(study)
    if failed:
        raise DataError(
            f"{len(failed)} of {len(study.arms)} arms failed ({', '.join(failed)}): {report} has "
            "holes that say why; run again to try them again"
        )
    return report


def _run_arms(
    study: Study,
    outcomes: dict[str, Outcome],
    say: Say,
    *,
    seconds_per_image: float | None,
) -> list[str]:
    """Run what is not done, the outcomes noted in ``outcomes``; returns the arms that failed."""
    failed: list[str] = []
    _report(study)
    for number, arm in enumerate(study.arms, 1):
        if isinstance(outcomes[arm.name], ArmResult):
            continue
        left = _left(study, outcomes, seconds_per_image, after=failed)
        work = (
            "is trained, to be scored" if _trained_before(study, arm) else describe(arm, study.sets)
        )
        say(f"[{number}/{len(study.arms)}] {arm.name}: {work}; {left}")
        try:
            with _quiet():
                keep(study.folder(arm), _run_arm(study, arm))
            _tidy(study.folder(arm))
        except (OneglanceError, MemoryError, OSError, RuntimeError) as error:  # torch: RuntimeError
            reason = str(error) or type(error).__name__
            keep_failure(study.folder(arm), reason)
            failed.append(arm.name)
            say(f"{arm.name} failed: {reason}")
        outcomes[arm.name] = read(study.folder(arm))
        _report(study)
    return failed


def describe(arm: Arm, sets: Sequence[SetFacts]) -> str:
    """An arm's work in a few words."""
    if not arm.epochs:
        return "scored as it is"
    count = images_of(arm, sets)
    epochs = "1 epoch" if arm.epochs == 1 else f"{arm.epochs} epochs"
    return f"{count} images, {epochs}, {arm.size[0]}x{arm.size[1]}, trains {arm.trainable}"


def estimate_seconds(study: Study, seconds_per_image: float) -> dict[str, float]:
    """By the arm's name: about how long it trains, at ``seconds_per_image`` through all layers."""
    return {a.name: seconds_per_image * cost(a, study.sets, study.options) for a in study.arms}


def measure_seconds_per_image(study: Study) -> float:
    """Train a few steps on real images and time them: loading, augmenting, there and back."""
    wanted = MEASURED_BATCHES * study.options.batch
    total = sum(s.train for s in study.sets)
    recipe = Recipe(
        epochs=2,
        size=study.options.size,
        batch=study.options.batch,
        share=min(1.0, wanted / total),
    )
    tasks = trained_tasks(study.sets)
    classes = tuple(cls for cls in study.arms[0].classes if cls.task in tasks)
    files = [s.file for s in study.sets if s.train]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        out = Path(folder)
        finetune(files, base=study.base, recipe=recipe, out=out, classes=classes)
        facts = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
        lines = (out / "results.csv").read_text(encoding="utf-8").splitlines()
    # The second epoch alone: the first one warms up.
    first, second = (float(line.split(",")[1]) for line in lines[1:3])
    return (second - first) / int(facts["train_images"])


def _left(
    study: Study,
    outcomes: Mapping[str, Outcome],
    seconds_per_image: float | None,
    *,
    after: Sequence[str],
) -> str:
    """How long all that is not done will take, by what the arms done took."""
    costs = {arm.name: cost(arm, study.sets, study.options) for arm in study.arms}
    work, minutes = 0.0, 0.0
    for name, outcome in outcomes.items():
        if isinstance(outcome, ArmResult) and outcome.minutes and costs[name]:
            work, minutes = work + costs[name], minutes + outcome.minutes
    if work:
        seconds_per_image = 60 * minutes / work
    if seconds_per_image is None:
        return "how long all takes shows after the first arm"
    open_work = sum(
        costs[arm.name]
        for arm in study.arms
        if not isinstance(outcomes[arm.name], ArmResult)
        and arm.name not in after
        and not _trained_before(study, arm)
    )
    if not open_work:
        return "nothing is left to train"
    return f"about {duration(seconds_per_image * open_work)} left for all"


def _trained_before(study: Study, arm: Arm) -> bool:
    """Whether ``finetune`` would return at once, as when there are other sets to score on."""
    return arm.epochs > 0 and (study.folder(arm) / "model.pt").is_file()


def duration(seconds: float) -> str:
    """In the unit people would say.

    >>> duration(40), duration(1500), duration(20000)
    ('1 min', '25 min', '5.6 h')
    """
    if seconds < 90 * 60:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h"


def _asked(study: Study, arm: Arm) -> dict[str, Any]:
    files = {s.name: str(s.file.resolve()) for s in study.sets}
    held = study.fingerprints
    return arm.as_dict() | {
        "data": [files[name] for name in arm.sets],
        "data_sha256": [held[name] for name in arm.sets],
        "scored_on": [files[s.name] for s in study.sets if s.val],
        "scored_on_sha256": [held[s.name] for s in study.sets if s.val],
        "base_sha256": study.base_sha256 if arm.pretrained else None,
        "batch": study.options.batch,
        "learning_rate": study.options.learning_rate,
    }


def _run_arm(study: Study, arm: Arm) -> ArmResult:
    folder = study.folder(arm)
    begin(folder, _asked(study, arm))
    weights = _train(study, arm)
    facts = training_facts(weights)
    model = folder / "model.onnx"
    parity = export(weights, model, name=arm.name, size=arm.size, training=facts)
    training: dict[str, Any] = {
        key: facts[key]
        for key in ("device", "precision", "train_images", "finished", "torch", "ultralytics")
        if key in facts
    }
    training |= {
        "minutes": _minutes(facts, arm),
        "onnx_bytes": model.stat().st_size,
        "onnx_differs_by_score": parity.scores,
    }
    return ArmResult(tuple(_scores(study, arm, model)), training)


def _train(study: Study, arm: Arm) -> Path:
    folder = study.folder(arm)
    if arm.epochs:
        return finetune(
            [s.file for s in study.sets if s.name in arm.sets],
            base=study.base if arm.pretrained else None,
            recipe=arm.recipe(study.options),
            out=folder,
            classes=arm.classes,
            teachers=_teachers(study, arm),
        )
    model = with_new_last_layer(read_checkpoint(study.base), arm.classes, head_init=arm.head_init)
    return OutputFolder(folder, "train").write("model.pt", checkpoint_bytes(model.as_ultralytics()))


def _teachers(study: Study, arm: Arm) -> list[Path]:
    files = [study.out / "arms" / name / "model.pt" for name in arm.teachers]
    for name, file in zip(arm.teachers, files, strict=True):
        if not file.is_file():
            raise DataError(f"its teacher {name} is not trained")
    return files


def _minutes(facts: Mapping[str, Any], arm: Arm) -> float | None:
    """What the training took; of one that was stopped, the last session's pace for all epochs."""
    epochs = facts.get("epochs_of_last_session")
    if not epochs:
        return None
    return round(float(facts["minutes_of_last_session"]) * arm.epochs / int(epochs), 2)


def _scores(study: Study, arm: Arm, model: Path) -> Iterator[Score]:
    detector = Detector.load(model, confidence=EVALUATION_CONFIDENCE)
    trained = _trained(study.datasets)
    for facts, dataset in zip(study.sets, study.datasets, strict=True):
        if not facts.val or not facts.tasks & set(arm.tasks):
            continue
        known = {image for image in dataset.images("val") if real_path(image) in trained}
        yield from scores_on(detector, dataset, facts.name, without=known)


def _facts(name: str, dataset: Dataset, trained: frozenset[Path]) -> SetFacts:
    images = _images(dataset, "train")
    return SetFacts(
        name=name,
        file=dataset.file,
        tasks=dataset.labelled_tasks,
        train=len(images),
        val=sum(real_path(image) not in trained for image in _images(dataset, "val")),
        folders=tuple(real_path(folder) for folder in dataset.folders.get("train", ())),
        boxes=dataset.count_boxes(images),
    )


def _trained(datasets: Sequence[Dataset]) -> frozenset[Path]:
    """Every image that some arm may train on; none of them is scored on."""
    return frozenset(
        real_path(image) for dataset in datasets for image in _images(dataset, "train")
    )


def _images(dataset: Dataset, split: str) -> list[Path]:
    return dataset.images(split) if split in dataset.folders else []


def _report(study: Study) -> Path:
    ledger = Ledger(study.sets, study.options, study.arms, study.outcomes())
    return write_report(study.out, ledger, base=study.base.name)


def _tidy(folder: Path) -> None:
    """The checkpoints and links of a finished arm are of no use, and 50 MB."""
    for name in ("weights", "data"):
        with suppress(SinkError):  # what is not ours stays
            OutputFolder(folder / name, "train").clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """ultralytics' bars and advice would bury the one line for each arm; it prints some of them
    whatever its log level."""
    logger = logging.getLogger("ultralytics")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


class _Once(logging.Filter):
    """Every arm merges the same labels: what was mended in them is logged once."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in self._logged
        self._logged.add(message)
        return new


@contextmanager
def _mended_labels_logged_once() -> Iterator[None]:
    once = _Once()
    _merging_logger.addFilter(once)
    try:
        yield
    finally:
        _merging_logger.removeFilter(once)
