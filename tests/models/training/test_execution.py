from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.execution import Amp, Cache, Execution, Job
from oneglance.models.training.recipe import LossWeight, Recipe, TrainableLayers, Unlabelled
from oneglance.streams.errors import UsageError


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"device": "gpu"}, "numbers of GPUs like 0 or 0,1, not 'gpu'"),
        ({"device": "0,"}, "not '0,'"),
        ({"device": "0,0"}, "names a GPU twice"),
        ({"workers": -1}, "0 or more, not -1"),
        ({"minutes": 0}, "--minutes must be above 0, not 0"),
        ({"minutes": -3}, "above 0, not -3"),
        ({"minutes": float("nan")}, "above 0, not nan"),
        ({"shorten": True}, "--shorten needs the --minutes"),
        ({"device": "cpu", "amp": Amp.FP16}, "needs a GPU"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Execution(**wrong)


def test_a_batch_is_shared_evenly_or_refused() -> None:
    both = Execution(device="0,1")
    both.check_batch(16)
    with pytest.raises(UsageError, match=r"--batch 15 .* 2 devices: give a multiple of 2"):
        both.check_batch(15)


def test_a_job_survives_its_way_to_another_process_as_json() -> None:
    recipe = Recipe(
        size=(160, 96),
        oversample=(2, 1),
        trainable=TrainableLayers.NECK,
        unlabelled=Unlabelled.DISTILL,
        loss_weight=LossWeight.TASK,
    )
    execution = Execution(
        device="cpu,cpu", minutes=3, amp=Amp.OFF, cache=Cache.DISK, cache_folder=Path("there")
    )
    job = Job(
        classes=FOUR_TASKS,
        recipe=recipe,
        execution=execution,
        base=Path("base.pt"),
        teachers=(Path("cars.pt"), Path("signs.pt")),
    )
    assert Job.from_dict(job.as_dict()) == job
