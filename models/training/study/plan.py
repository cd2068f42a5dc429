"""What a study would train and how long it would take, before it does."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from oneglance.models.training.study.arms import images_of
from oneglance.models.training.study.results import ArmResult
from oneglance.models.training.study.runner import (
    Study,
    duration,
    estimate_seconds,
    measure_seconds_per_image,
)


def show_plan(study: Study, console: Console, *, seconds_per_image: float | None = None) -> None:
    """Print every arm with its estimated time and the sum of those not yet done.

    Without ``seconds_per_image`` a few steps are trained to measure it.
    """
    if seconds_per_image is None:
        console.print("training a few steps to measure their time …")
        seconds_per_image = measure_seconds_per_image(study)
    seconds = estimate_seconds(study, seconds_per_image)
    outcomes = study.outcomes()
    columns = ("arm", "questions", "images", "epochs", "size", "trains", "about", "")
    table = Table(*columns, box=None)
    left = 0.0
    for arm in study.arms:
        done = isinstance(outcomes[arm.name], ArmResult)
        left += 0.0 if done else seconds[arm.name]
        work: tuple[str, ...] = ("", "0", "", "", "")
        if arm.epochs:
            size = f"{arm.size[0]}x{arm.size[1]}"
            images = str(images_of(arm, study.sets))
            about = duration(seconds[arm.name])
            work = (images, str(arm.epochs), size, arm.trainable.value, about)
        questions = ",".join(map(str, arm.questions))
        table.add_row(arm.name, questions, *work, "done" if done else "")
    console.print(table)
    console.print(
        f"{len(study.arms)} arms, about {duration(left)} left at {seconds_per_image:.3f} s an "
        "image; scoring comes on top"
    )
