"""An arm's folder: what is kept comes back, what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from oneglance.models.tasks import Task
from oneglance.models.training.study.results import (
    ArmResult,
    Failure,
    Score,
    begin,
    keep,
    keep_failure,
    read,
)
from oneglance.streams.errors import DataError

BY_IOU = tuple(np.linspace(0.4, 0.2, 10).tolist())
SCORES = (
    Score(
        set_name="road",
        task=Task.SIGN,
        map50=0.8,
        map50_95=0.5,
        f1=0.6,
        by_iou=BY_IOU,
        boxes=30,
        images=12,
        by_iou_draws=np.add.outer(BY_IOU, [0.4, 0.5, np.nan]),
        f1_draws=np.array([0.5, 0.6, 0.7]),
    ),
    Score(
        set_name="road",
        task=Task.CAR,
        map50=0.9,
        map50_95=0.7,
        f1=0.8,
        by_iou=BY_IOU,
        boxes=40,
        images=12,
        by_iou_draws=np.add.outer(BY_IOU, [0.1, 0.2, 0.3]),
        f1_draws=np.array([0.8, np.nan, 0.9]),
    ),
)


def test_a_result_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    begin(tmp_path / "arm", {"name": "one"})
    keep(tmp_path / "arm", ArmResult(SCORES, {"minutes": 3.5}))
    found = read(tmp_path / "arm")
    assert isinstance(found, ArmResult)
    assert found.scores == SCORES
    assert found.minutes == 3.5
    for score, kept in zip(found.scores, SCORES, strict=True):
        assert score.by_iou_draws == pytest.approx(kept.by_iou_draws, nan_ok=True)
        assert score.f1_draws == pytest.approx(kept.f1_draws, nan_ok=True)


def test_a_failure_is_reported_until_there_is_a_result(tmp_path: Path) -> None:
    assert read(tmp_path / "arm") is None
    keep_failure(tmp_path / "arm", "no space")
    assert read(tmp_path / "arm") == Failure("no space")
    keep(tmp_path / "arm", ArmResult(SCORES, {}))
    assert isinstance(read(tmp_path / "arm"), ArmResult)
    assert not (tmp_path / "arm" / "failed.json").exists()


def test_map_of_a_draw_is_the_mean_over_overlaps() -> None:
    # The ten overlaps lie around 0.3.
    assert SCORES[1].draws == pytest.approx([0.4, 0.5, 0.6])


@pytest.mark.parametrize("lacking", ["f1", "by_iou"])
def test_a_result_from_before_a_score_was_taken_is_scored_again(
    tmp_path: Path, lacking: str
) -> None:
    keep(tmp_path, ArmResult(SCORES, {}))
    file = tmp_path / "result.json"
    content = json.loads(file.read_text())
    for entry in content["scores"]:
        del entry[lacking]
    file.write_text(json.dumps(content))
    assert read(tmp_path) is None


def test_an_arm_without_anything_to_score_is_kept_too(tmp_path: Path) -> None:
    keep(tmp_path, ArmResult((), {}))
    assert read(tmp_path) == ArmResult((), {})


def test_an_arm_made_another_way_is_not_gone_on_with(tmp_path: Path) -> None:
    begin(tmp_path / "arm", {"epochs": 3, "size": [64, 32]})
    begin(tmp_path / "arm", {"epochs": 3, "size": [64, 32]})
    with pytest.raises(DataError, match=r"different epochs\): give another --out"):
        begin(tmp_path / "arm", {"epochs": 4, "size": [64, 32]})


def test_an_arm_to_be_scored_on_other_sets_loses_its_result_alone(tmp_path: Path) -> None:
    arm = tmp_path / "arm"
    begin(arm, {"epochs": 3, "scored_on": ["a"]})
    (arm / "model.pt").write_text("trained")
    keep(arm, ArmResult(SCORES, {}))
    begin(arm, {"epochs": 3, "scored_on": ["a"]})
    assert isinstance(read(arm), ArmResult)
    begin(arm, {"epochs": 3, "scored_on": ["a", "b"]})
    assert read(arm) is None
    assert (arm / "model.pt").read_text() == "trained"
    assert json.loads((arm / "arm.json").read_text())["scored_on"] == ["a", "b"]
    with pytest.raises(DataError, match=r"different epochs, scored_on\)"):
        begin(arm, {"epochs": 4, "scored_on": ["a"]})


@pytest.mark.parametrize("name", ["result.json", "draws.npy"])
def test_a_damaged_result_is_named(tmp_path: Path, name: str) -> None:
    keep(tmp_path, ArmResult(SCORES, {}))
    (tmp_path / name).write_text("{ not")
    with pytest.raises(DataError, match=r"damaged.*delete"):
        read(tmp_path)
