"""What the study concludes from results that are known, and what it says where some are missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oneglance.models.tasks import Task
from oneglance.models.training.data.subsets import Thinned
from oneglance.models.training.recipe import LossWeight
from oneglance.models.training.study.answers import answers
from oneglance.models.training.study.arms import StudyOptions
from oneglance.models.training.study.results import Failure
from oneglance.models.training.study.statistics import (
    Sample,
    difference,
    estimate,
    of_all,
    of_task,
    samples,
)
from oneglance.models.training.study.tables import better, within_a_point
from present import present
from studies import DRAWS, ledger, typical


def answer(found: Any, question: Any) -> Any:
    (one,) = [a for a in answers(found) if a.question == question]
    return one


def options(*questions: Any, seeds: Any = (0,)) -> Any:
    return StudyOptions(seeds=seeds, questions=questions)


def test_a_task_counts_the_mean_of_its_sets_and_all_tasks_the_mean_of_the_tasks() -> None:
    found = ledger(typical, options(1, seeds=(0, 1)))
    by_seed = samples(found, "one", of_task(Task.PEDESTRIAN))
    # 0.40 on the road, 0.38 on the highway; 0.002 more with seed 1.
    assert [by_seed[seed].value for seed in (0, 1)] == pytest.approx([0.39, 0.392])
    both = present(estimate(by_seed))
    assert both.value == pytest.approx(0.391)
    assert both.seeds == pytest.approx((0.39, 0.392))
    # (0.39 + 0.69 + 0.55 + 0.45) / 4
    assert samples(found, "one", of_all(tuple(Task)))[0].value == pytest.approx(0.52)


def test_a_difference_is_surer_than_its_parts_because_both_are_drawn_on_the_same_images() -> None:
    random = np.random.default_rng(0)
    images = random.normal(0, 0.05, 1000)
    left = {0: Sample(0.52, 0.52 + images), 1: Sample(0.54, 0.54 + images)}
    right = {0: Sample(0.50, 0.50 + images), 2: Sample(0.0, images)}
    gap = present(difference(left, right))
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.02, 0.02, 0.02))
    assert len(gap.seeds) == 1  # seed 0 alone is in both
    alone = present(estimate(left))
    assert alone.high - alone.low > 0.15
    assert difference(left, {2: right[2]}) is None


def test_an_interval_holds_what_another_seed_would_say() -> None:
    images = np.random.default_rng(0).normal(0, 0.001, 1000)
    seeds = {0: Sample(0.003, 0.003 + images), 1: Sample(0.036, 0.036 + images)}
    both = present(estimate(seeds))
    assert both.value == pytest.approx(0.0195)
    # Half of the draws of two seeds are of one alone.
    assert (both.low, both.high) == pytest.approx((0.0015, 0.0375), abs=0.0008)
    alone = present(estimate({0: seeds[0]}))
    assert (alone.low, alone.high) == pytest.approx((0.001, 0.005), abs=0.0003)
    # Eight that agree half and half are surer than two.
    many = present(estimate({number: seeds[number % 2] for number in range(8)}))
    assert 0.005 < many.low < 0.012
    assert 0.027 < many.high < 0.034


def test_one_network_is_compared_with_each_tasks_own() -> None:
    found = answer(ledger(typical, options(1)), 1)
    rows = {row["what"]: row["difference"]["value"] for row in found.facts["same_size"]}
    assert rows == pytest.approx(dict.fromkeys(map(str, Task), -0.004))
    fair = {row["what"]: row["difference"]["value"] for row in found.facts["same_cost"]}
    assert fair == pytest.approx(dict.fromkeys(map(str, Task), 0.116))
    assert "within a point" in found.sentences[0]
    assert "on 4 of 4 tasks" in found.sentences[0]
    assert found.facts["fair_size"] == [224, 128]
    assert "27% of the one's pixels" in found.sentences[1]
    assert found.holes == ()


def test_a_task_that_falls_behind_is_named() -> None:
    def signs_suffer(arm: Any, set_name: Any, task: Any) -> Any:
        loss = 0.03 if task is Task.SIGN and len(arm.tasks) > 1 else 0.0
        return typical(arm, set_name, task) - loss

    found = answer(ledger(signs_suffer, options(1)), 1)
    assert "further behind on 1 (sign)" in found.sentences[0]
    # 0.03 and the 0.004 that a network of its own brings, at each overlap.
    assert found.sentences[1].startswith("Where sign falls behind: −3.4")  # noqa: RUF001
    assert found.sentences[1].endswith("It is 30% of the boxes in the one network's loss.")
    assert len(found.sentences) == 3
    assert set(found.facts["same_size_by_iou"]) == {"0.5", "0.75", "0.9"}
    assert [row[0] for row in found.tables[1].rows] == [task.value for task in Task]
    verdicts = {row[0]: row[-1] for row in found.tables[0].rows}
    assert verdicts["sign"] == "**more than a point worse**"
    assert verdicts["car"] == "within a point"


def test_pretraining_the_mask_and_forgetting_are_distinguished() -> None:
    found = ledger(typical, options(2, 4, 7))
    assert "better than from scratch on 4 of 4 tasks" in answer(found, 2).sentences[0]
    in_map, shown = answer(found, 4).sentences
    assert "than taking it for negative, in mAP50-95, on 4 of 4 tasks" in in_map
    assert "than taking it for negative, in F1 at confidence 0.25, on 4 of 4 tasks" in shown
    loss, at_confidence, map_by_set, f1_by_set = answer(found, 4).tables
    assert f1_by_set.columns == at_confidence.columns
    assert [row[0] for row in map_by_set.rows][:2] == [
        "pedestrian on road",
        "pedestrian on highway",
    ]
    by_set = {row["what"]: row for row in answer(found, 4).facts["rows_by_set"]}
    assert by_set.keys() == {row[0] for row in f1_by_set.rows}
    assert by_set["pedestrian on highway"]["left"]["value"] == pytest.approx(0.38)
    assert by_set["pedestrian on highway"]["right"]["value"] == pytest.approx(0.33)
    assert loss.columns[0] == "mAP50-95 in points"
    assert at_confidence.columns[0] == "F1 at confidence 0.25 in points"
    # Signs: (0.55 + 0.1) - (0.55 - 0.05) / 3.
    gaps = {row["what"]: row["difference"]["value"] for row in answer(found, 4).facts["f1_rows"]}
    assert gaps["sign"] == pytest.approx(0.65 - 0.5 / 3)
    gaps = {
        row["what"]: row["difference"]["value"]
        for row in answer(found, 7).facts["pretrained_alone"]
    }
    # Trained elsewhere costs 0.06 of what training brought, 0.05.
    assert gaps["car on highway, after road"] == pytest.approx(-0.01)
    assert "in 5 of 5 cases" in answer(found, 7).sentences[0]


def test_the_pretrained_networks_answers_are_judged_on_what_it_can_answer() -> None:
    found = answer(ledger(typical, options(6)), 6)
    assert "better on 3 of 3 tasks that it answers for" in found.sentences[0]
    gaps = {row["what"]: row["difference"]["value"] for row in found.facts["left_out"]}
    assert gaps == pytest.approx({"pedestrian": 0.03, "car": 0.03, "sign": 0.0, "light": 0.03})


def test_what_oversampling_rare_tasks_brings_stands_apart_from_what_it_costs() -> None:
    def traded(arm: Any, set_name: Any, task: Any) -> Any:
        moved = {Task.SIGN: 0.03, Task.CAR: -0.02}.get(task, 0.0)
        return typical(arm, set_name, task) + moved * arm.name.startswith("one-oversampled")

    alone = answer(ledger(traded, options(8)), 8)
    assert len(alone.sentences) == len(alone.tables) == 1
    assert "(road 4 times, signs 4 times, highway 2 times an epoch" in alone.sentences[0]
    assert "better on 1 of 4 tasks (sign), worse on 1 (car)" in alone.sentences[0]
    beside = answer(ledger(traded, options(1, 8)), 8)
    assert (
        "single-task model, which sees each image once an epoch, on 3 of 4 tasks (pedestrian, "
        "sign, light)"
    ) in beside.sentences[1]


def test_what_weighing_tasks_the_same_brings_is_distinguished_from_what_it_costs() -> None:
    def traded(arm: Any, set_name: Any, task: Any) -> Any:
        moved = {Task.SIGN: 0.03, Task.CAR: -0.02}.get(task, 0.0)
        return typical(arm, set_name, task) + moved * (arm.loss_weight is LossWeight.TASK)

    found = answer(ledger(traded, options(1, 9)), 9)
    assert "better on 1 of 4 tasks (sign), worse on 1 (car)" in found.sentences[0]
    assert "single-task model on 3 of 4 tasks (pedestrian, sign, light)" in found.sentences[1]
    gaps = {row["what"]: row["difference"]["value"] for row in found.facts["own"]}
    # A task's single-task model has 0.004 more.
    assert gaps["sign"] == pytest.approx(0.026)


def test_what_training_as_long_as_all_single_task_models_brings_is_reported_with_its_steps() -> (
    None
):
    def more(arm: Any, set_name: Any, task: Any) -> Any:
        return typical(arm, set_name, task) + 0.03 * arm.name.startswith("one-longer")

    found = answer(ledger(more, options(1, 10)), 10)
    # 60 images label four tasks, 100 two, 200 one.
    assert found.sentences[0].startswith("Training it 1.8 times as long")
    assert "better on 4 of 4 tasks" in found.sentences[0]
    assert "single-task model on 4 of 4 tasks" in found.sentences[1]
    assert found.tables[0].title == "1.8 times the steps"


def test_each_balance_is_told_against_the_single_task_models_at_equal_epochs_and_compute() -> None:
    def traded(arm: Any, set_name: Any, task: Any) -> Any:
        moved = {Task.SIGN: 0.03, Task.CAR: -0.02}.get(task, 0.0)
        long = arm.name.startswith(("one-longer", "one-task-weighted-same-compute"))
        value = typical(arm, set_name, task) + moved * (arm.loss_weight is LossWeight.TASK)
        return value + 0.05 * long + 0.006 * bool(arm.teachers)

    found = answer(ledger(traded, options(11)), 11)
    by_balance = {
        (line.split("'")[1], line.split("trained for ")[1].split(",")[0]): line
        for line in found.sentences[:-3]
    }
    alike = found.sentences[-3:-1]  # a task of one set is not oversampled
    assert all("oversampled alike, the oversampled one network trained" in line for line in alike)
    assert [line.split(" is ahead on ")[1] for line in alike] == ["0 of 3 tasks."] * 2
    epochs, compute = "as many epochs", "as much compute as the single-task models together"
    # A task's own has 0.004 more.
    none = "on 0 of 4 tasks, surely on 0, and more than 0.3 points behind on 4 (pedestrian"
    assert none in by_balance["every box the same", epochs]
    assert none in by_balance["PCGrad", compute]
    assert "on 4 of 4 tasks" in by_balance["born-again", epochs]
    assert ("born-again", compute) not in by_balance
    assert "on 1 of 4 tasks (sign), surely on 1" in by_balance["every task the same", epochs]
    assert "on 4 of 4 tasks" in by_balance["every task the same", compute]
    assert "behind on 0." in by_balance["every box the same", compute]
    # 640 images of 360; PCGrad 1/4 + 4 · 3/4, born-again 1 + 4 · 0.3 and its teachers.
    costs = found.sentences[-1]
    assert "take 1.8 times the compute" in costs
    assert (
        "PCGrad 3.2, task branches 1.0, oversampled 0.9, born-again 4.0, born-again half-way 4.0."
        in costs
    )
    gaps = {row["what"]: row for row in found.facts["equal_epochs"]["every task the same"]}
    assert gaps["sign"]["difference"]["value"] == pytest.approx(0.026)
    table = found.tables[0]
    assert table.columns[1:] == ("single-task model", *found.facts["equal_epochs"])
    assert [row[0] for row in table.rows] == [task.value for task in Task]
    assert len(found.plot.scores) == 10


def test_the_costs_of_balances_are_those_of_what_was_trained() -> None:
    every = {arm.name for arm in ledger(typical, options(11)).arms if arm.name.startswith("one")}
    without = {name.removesuffix(".s0") for name in every} - {"one-half-weighted-same-compute"}
    few = replace(options(11), without=tuple(sorted(without)))
    *found, costs = answer(ledger(typical, few), 11).sentences
    assert len(found) == 1
    assert costs.endswith("take 1.8 times the compute of the plain one network.")


def test_declaring_labels_partial_is_told_against_what_else_could_be_done() -> None:
    def thinned(arm: Any, set_name: Any, task: Any) -> Any:
        lost = {Thinned.NO: 0.0, Thinned.PARTIAL: 0.01, Thinned.COMPLETE: 0.03}[arm.thinned]
        return typical(arm, set_name, task) - lost

    found = answer(ledger(thinned, options(12)), 12)
    assert len(found.sentences) == len(found.tables) == 6
    assert "Where 75% of the images have lost 50% of their boxes" in found.sentences[0]
    assert "in mAP50-95, better than declared complete on 4 of 4 tasks" in found.sentences[0]
    assert "in F1 at confidence 0.25, better than declared complete on 4" in found.sentences[1]
    assert "than all labels on 0 of 4 tasks, worse on 4" in found.sentences[2]
    assert "better than the complete images alone on 4 of 4 tasks" in found.sentences[4]
    gaps = found.facts["declared complete, mAP50-95"]
    assert [row["difference"]["value"] for row in gaps] == pytest.approx([0.02] * 4)


def test_no_difference_is_not_called_one() -> None:
    def equal(arm: Any, set_name: Any, task: Any) -> Any:
        return 0.5

    found = ledger(equal, options(2, 4), own_noise=0.02)
    assert "better than from scratch on 0 of 4 tasks." in answer(found, 2).sentences[0]
    assert {row[-1] for row in answer(found, 4).tables[0].rows} == {"no difference shown"}


def test_the_best_depth_is_found_for_each_amount_of_data() -> None:
    def head_first(arm: Any, set_name: Any, task: Any) -> Any:
        few = arm.share < 0.2
        return 0.5 + {"last": 0.0, "head": 0.05 if few else 0.0, "all": 0.02}[arm.trainable]

    found = answer(ledger(head_first, options(3)), 3)
    assert [s.split("training ")[1].split(" ")[0] for s in found.sentences] == [
        "'head'",
        "'all'",
        "'all'",
    ]
    assert "5% of the images (18)" in found.sentences[0]
    assert found.facts["all tasks"]["head"]["0.05"]["value"] == pytest.approx(0.55)
    assert len(found.tables) == 5


def test_the_learning_curve_counts_images_that_label_the_task() -> None:
    found = answer(ledger(typical, options(5, seeds=(0, 1))), 5)
    # 60 of the road and 200 of the lights; signs on the road's 60 alone.
    assert [point["images"] for point in found.facts["points"]["light"]] == [13, 26, 65, 130, 260]
    assert [point["images"] for point in found.facts["points"]["sign"]] == [3, 6, 15, 30, 60]
    law = found.facts["laws"]["sign"]
    # 0.3 · 100^-0.4 less a 2^-0.4 of it: 0.0475 · 0.242.
    assert law["gain"] == pytest.approx(0.3 * 100**-0.4 * (1 - 2**-0.4), abs=0.003)
    assert law["low"] < law["gain"] < law["high"]
    assert found.holes == ()


@pytest.mark.parametrize("question", range(1, 13))
def test_missing_and_failed_arms_are_holes_and_the_rest_is_answered(question: Any) -> None:
    whole = ledger(typical, options(question))
    mine = [arm.name for arm in whole.arms if arm.name != "one.s0"]
    broken = replace(
        whole, outcomes={**whole.outcomes, mine[0]: Failure("disk full"), mine[-1]: None}
    )
    if mine[0] == mine[-1]:
        broken = replace(whole, outcomes={**whole.outcomes, mine[0]: Failure("disk full")})
    found = answer(broken, question)
    assert f"`{mine[0]}` is missing (failed: disk full)" in found.holes
    assert len(found.holes) >= len({mine[0], mine[-1]})
    nothing = answer(replace(whole, outcomes={}), question)
    assert nothing.sentences == ()
    assert len(nothing.holes) >= len(whole.arms)


def test_verdicts_follow_the_interval() -> None:
    def gap(value: Any, low: Any, high: Any) -> Any:
        return estimate({0: Sample(value, np.linspace(low, high, DRAWS))})

    assert better(gap(0.02, 0.01, 0.03)) == "better"
    assert better(gap(-0.02, -0.03, -0.01)) == "worse"
    assert better(gap(0.01, -0.01, 0.03)) == "no difference shown"
    assert within_a_point(gap(0.0, -0.005, 0.005)) == "within a point"
    assert within_a_point(gap(-0.005, -0.02, 0.01)) == "within a point, not surely"
    assert within_a_point(gap(-0.015, -0.02, 0.0)) == "more than a point, not surely"
    assert within_a_point(gap(-0.03, -0.04, -0.02)) == "**more than a point worse**"
