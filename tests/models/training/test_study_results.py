"""An arm's folder: what is kept comes back, what does not fit is refused."""

import json

import numpy as np
import pytest

from oneglance.models.tasks import Task
from oneglance.models.training.study_results import (
    ArmResult,
    Failure,
    Score,
    begin,
    keep,
    keep_failure,
    read,
)
from oneglance.streams.errors import DataError

SCORES = (
    Score(
        set_name="road",
        task=Task.SIGN,
        map50=0.8,
        map50_95=0.5,
        f1=0.6,
        boxes=30,
        images=12,
        draws=np.array([0.4, 0.5, np.nan]),
        f1_draws=np.array([0.5, 0.6, 0.7]),
    ),
    Score(
        set_name="road",
        task=Task.CAR,
        map50=0.9,
        map50_95=0.7,
        f1=0.8,
        boxes=40,
        images=12,
        draws=np.array([0.6, 0.7, 0.8]),
        f1_draws=np.array([0.8, np.nan, 0.9]),
    ),
)


def test_a_result_comes_back_as_it_was_kept(tmp_path):
    begin(tmp_path / "arm", {"name": "one"})
    keep(tmp_path / "arm", ArmResult(SCORES, {"minutes": 3.5}))
    found = read(tmp_path / "arm")
    assert found.scores == SCORES
    assert found.minutes == 3.5
    for score, kept in zip(found.scores, SCORES, strict=True):
        assert score.draws == pytest.approx(kept.draws, nan_ok=True)
        assert score.f1_draws == pytest.approx(kept.f1_draws, nan_ok=True)


def test_a_failure_is_told_until_there_is_a_result(tmp_path):
    assert read(tmp_path / "arm") is None
    keep_failure(tmp_path / "arm", "no space")
    assert read(tmp_path / "arm") == Failure("no space")
    keep(tmp_path / "arm", ArmResult(SCORES, {}))
    assert isinstance(read(tmp_path / "arm"), ArmResult)
    assert not (tmp_path / "arm" / "failed.json").exists()


def test_a_result_from_before_f1_was_scored_is_scored_again(tmp_path):
    keep(tmp_path, ArmResult(SCORES, {}))
    file = tmp_path / "result.json"
    content = json.loads(file.read_text())
    for entry in content["scores"]:
        del entry["f1"]
    file.write_text(json.dumps(content))
    assert read(tmp_path) is None


def test_an_arm_without_anything_to_score_is_kept_too(tmp_path):
    keep(tmp_path, ArmResult((), {}))
    assert read(tmp_path) == ArmResult((), {})


def test_an_arm_made_another_way_is_not_gone_on_with(tmp_path):
    begin(tmp_path / "arm", {"epochs": 3, "size": [64, 32]})
    begin(tmp_path / "arm", {"epochs": 3, "size": [64, 32]})
    with pytest.raises(DataError, match=r"different epochs\): give another --out"):
        begin(tmp_path / "arm", {"epochs": 4, "size": [64, 32]})


@pytest.mark.parametrize("name", ["result.json", "draws.npy"])
def test_a_damaged_result_is_named(tmp_path, name):
    keep(tmp_path, ArmResult(SCORES, {}))
    (tmp_path / name).write_text("{ not")
    with pytest.raises(DataError, match=r"damaged.*delete"):
        read(tmp_path)
