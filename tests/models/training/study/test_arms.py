"""The plan of the study: which arms, with how many images, at what cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneglance.models.tasks import Task
from oneglance.models.training.data.subsets import Subset, Thinned
from oneglance.models.training.recipe import (
    GradientSurgery,
    LossWeight,
    TrainableLayers,
    Unlabelled,
)
from oneglance.models.training.study.arms import StudyOptions, cost, images_of, labelled_images
from oneglance.models.training.study.planner import plan
from oneglance.models.training.study.sets import (
    SetFacts,
    balancing,
    fair_size,
    groups,
    partly_labelled,
    together,
)
from oneglance.streams.errors import UsageError

ROAD = (Path("road"),)
SETS = (
    SetFacts("others", Path("o"), frozenset({Task.PEDESTRIAN, Task.CAR, Task.LIGHT}), 60, 10, ROAD),
    SetFacts("signs", Path("s"), frozenset({Task.SIGN}), 60, 10, ROAD),
    SetFacts("highway", Path("h"), frozenset({Task.PEDESTRIAN, Task.CAR}), 100, 20, (Path("h"),)),
    SetFacts("lights", Path("l"), frozenset({Task.LIGHT}), 200, 0, (Path("l"),)),
)


def options(**how: Any) -> Any:
    return StudyOptions(**{"epochs": 4, "seeds": (0,), "size": (640, 384), **how})


def named(arms: Any) -> Any:
    return {arm.name: arm for arm in arms}


def test_one_against_four_has_nine_arms_that_differ_in_tasks_and_size_alone() -> None:
    arms = named(plan(SETS, options(questions=(1,))))
    words = ("pedestrian", "car", "sign", "light")
    names = {"one", *words, *(f"{word}-fair" for word in words)}
    assert arms.keys() == {f"{name}.s0" for name in names}
    assert arms["one.s0"].sets == ("others", "signs", "highway", "lights")
    # A set that labels no sign teaches a network of signs nothing.
    assert arms["sign.s0"].sets == ("signs",)
    assert [cls.name for cls in arms["sign.s0"].classes] == ["sign"]
    assert arms["light.s0"].sets == ("others", "lights")
    assert {arm.size for name, arm in arms.items() if "fair" not in name} == {(640, 384)}
    assert arms["car-fair.s0"].size == (320, 192)
    assert {arm.epochs for arm in arms.values()} == {4}


def test_layers_are_trained_with_equal_steps_on_five_twenty_five_and_all_percent() -> None:
    arms = plan(SETS, options(questions=(3,)))
    assert {(arm.trainable, arm.share, arm.epochs) for arm in arms} == {
        (layers, share, epochs)
        for layers in (TrainableLayers.LAST, TrainableLayers.HEAD, TrainableLayers.ALL)
        for share, epochs in ((0.05, 80), (0.25, 16), (1.0, 4))
    }
    assert len(arms) == 9


def test_an_arm_that_answers_several_questions_is_trained_once() -> None:
    arms = plan(SETS, options(questions=(1, 2, 3, 4, 5)))
    assert len({arm.name for arm in arms}) == len(arms)
    # 9 of question 1; untrained, scratch; 8 more of layers and shares; negatives; 10 and 50
    # percent.
    assert len(arms) == 9 + 2 + 8 + 1 + 2
    assert named(arms)["one.s0"].questions == (1, 2, 3, 4, 5)
    assert named(arms)["one-25pc.s0"].questions == (3, 5)


def test_another_seed_adds_the_same_arms_but_the_untrained_one_after_all_of_the_first() -> None:
    one, two = (plan(SETS, options(seeds=seeds)) for seeds in ((0,), (0, 7)))
    assert two[: len(one)] == one
    assert len(two) == 2 * len(one) - 1
    assert {arm.seed for arm in two[len(one) :]} == {7}


def test_pretraining_and_mask_are_the_only_difference_of_their_arms() -> None:
    arms = named(plan(SETS, options(questions=(2, 4))))
    assert [name for name, arm in arms.items() if not arm.pretrained] == ["one-scratch.s0"]
    assert [name for name, arm in arms.items() if arm.unlabelled is Unlabelled.NEGATIVE] == [
        "one-negative.s0"
    ]
    assert (arms["untrained"].epochs, arms["untrained"].sets) == (0, ())


def test_without_anything_missing_there_is_no_arm_that_takes_it_for_negative() -> None:
    whole = [SetFacts("all", Path("a"), frozenset(Task), 10, 5)]
    assert partly_labelled(whole) == ()
    assert [arm.name for arm in plan(whole, options(questions=(4,)))] == ["one.s0"]
    assert partly_labelled(SETS) == tuple(Task)
    # Two sets that label the same images leave nothing of them unlabelled.
    assert partly_labelled(SETS[:2]) == ()


def test_what_is_forgotten_is_seen_on_sets_left_out() -> None:
    arms = named(plan(SETS, options(questions=(7,))))
    # Trained on lights alone: the lights of 'others' are scored. 'highway' alone: people, cars.
    assert arms.keys() == {
        "untrained",
        "one.s0",
        "only-others.s0",
        "only-highway.s0",
        "only-lights.s0",
    }
    assert arms["only-others.s0"].sets == ("others", "signs")
    assert arms["only-highway.s0"].tasks == (Task.PEDESTRIAN, Task.CAR)


def test_rare_tasks_are_shown_as_often_as_others_in_as_many_steps() -> None:
    # Signs are on 60 images, lights on 260: the road's images are shown 4 times.
    assert balancing(SETS) == {"others": 4, "signs": 4, "highway": 2, "lights": 1}
    arms = named(plan(SETS, options(questions=(8,), epochs=16)))
    once, often = arms["one.s0"], arms["one-oversampled.s0"]
    assert arms.keys() == {"one.s0", "one-oversampled.s0"}
    assert often.recipe(options()).oversample == (4, 4, 2, 1)
    assert images_of(often, SETS) == 4 * 60 + 2 * 100 + 200
    assert labelled_images(often, SETS, Task.SIGN) == 4 * 60
    # 16 epochs of 360 images, 9 of 640.
    assert (once.epochs, often.epochs) == (16, 9)
    even = [SetFacts("all", Path("a"), frozenset(Task), 10, 5)]
    assert balancing(even) == {}
    assert [arm.name for arm in plan(even, options(questions=(8,)))] == ["one.s0"]


def test_what_weighs_the_same_is_the_only_difference() -> None:
    arms = named(plan(SETS, options(questions=(9,))))
    assert arms.keys() == {"one.s0", "one-task-weighted.s0"}
    by_task, by_box = (arms[name].as_dict() for name in ("one-task-weighted.s0", "one.s0"))
    assert {key for key in by_task if by_task[key] != by_box[key]} == {"name", "loss_weight"}
    assert arms["one-task-weighted.s0"].recipe(options()).loss_weight is LossWeight.TASK
    lights = [SetFacts("lights", Path("l"), frozenset({Task.LIGHT}), 10, 5)]
    assert [arm.name for arm in plan(lights, options(questions=(9,)))] == ["one.s0"]


def test_the_one_network_can_be_trained_as_long_as_all_the_others_together() -> None:
    # 60 images for four tasks, 100 for two and 200 for one: 640 of 360.
    assert together(SETS) == pytest.approx(640 / 360)
    arms = named(plan(SETS, options(questions=(1, 10), epochs=9)))
    assert arms["one-longer.s0"].epochs == 16
    single_task_models = sum(cost(arms[f"{task}.s0"], SETS, options()) for task in Task)
    assert cost(arms["one-longer.s0"], SETS, options()) == pytest.approx(single_task_models)
    assert "one-longer.s0" not in named(plan(SETS[1:2], options(questions=(10,))))


def test_balances_are_trained_for_as_many_epochs_and_for_as_much_compute_as_single_tasks() -> None:
    arms = named(plan(SETS, options(questions=(11,), epochs=36)))
    singles = [f"{task}.s0" for task in Task]
    equal = {
        "one.s0": (LossWeight.BOX, 1.0, GradientSurgery.NONE),
        "one-half-weighted.s0": (LossWeight.TASK, 0.5, GradientSurgery.NONE),
        "one-task-weighted.s0": (LossWeight.TASK, 1.0, GradientSurgery.NONE),
        "one-uncertainty.s0": (LossWeight.UNCERTAINTY, 1.0, GradientSurgery.NONE),
        "one-pcgrad.s0": (LossWeight.BOX, 1.0, GradientSurgery.PCGRAD),
        "one-task-branches.s0": (LossWeight.BOX, 1.0, GradientSurgery.NONE),
    }
    for name, how in equal.items():
        recipe = arms[name].recipe(options())
        assert (recipe.loss_weight, recipe.balance, recipe.gradient_surgery) == how
        assert recipe.task_branches == ("branches" in name)
    assert {arm.epochs for name, arm in arms.items() if name in {*equal, *singles}} == {36}
    born_again = arms["one-born-again.s0"]
    assert born_again.teachers == tuple(singles)
    both = arms["one-born-again-half-weighted.s0"]
    assert (both.teachers, both.epochs) == (born_again.teachers, 36)
    assert both.recipe(options()).balance == 0.5
    order = list(arms)
    assert all(order.index(single) < order.index("one-born-again.s0") for single in singles)
    # 640 images for the single-task models, 360 for the one network: 64 epochs of it, or 64 / 3.25
    # of PCGrad, which goes once forward and four times back where others go back once.
    same = {name: arm.epochs for name, arm in arms.items() if "same-compute" in name}
    assert arms["one-longer.s0"].epochs == 64
    assert same == {
        "one-half-weighted-same-compute.s0": 64,
        "one-task-weighted-same-compute.s0": 64,
        "one-uncertainty-same-compute.s0": 64,
        "one-pcgrad-same-compute.s0": 20,
        "one-task-branches-same-compute.s0": 64,
        "one-oversampled-same-compute.s0": 36,
    }
    # An epoch of 640 images, not 360.
    assert arms["one-oversampled.s0"].epochs == 20
    assert arms["one-oversampled.s0"].oversample is not None
    alike = {
        name: arm for name, arm in arms.items() if arm.oversample and not name.startswith("one")
    }
    assert {name: arm.oversample for name, arm in alike.items()} == {
        "pedestrian-oversampled.s0": (4, 2),
        "car-oversampled.s0": (4, 2),
        "light-oversampled.s0": (4, 1),
    }
    of_singles = sum(cost(arms[name], SETS, options()) for name in singles)
    for name in same:
        assert cost(arms[name], SETS, options()) == pytest.approx(of_singles, rel=0.02)
    assert cost(born_again, SETS, options()) == pytest.approx(360 * 36 * (1 + 4 * 0.3))
    assert [*named(plan(SETS[1:2], options(questions=(11,))))] == ["one.s0"]


def test_arms_are_left_out_with_every_seed() -> None:
    without = ("one-pcgrad", "one-pcgrad-same-compute")
    every = options(questions=(11,), seeds=(0, 1))
    kept = options(questions=(11,), seeds=(0, 1), without=without)
    left_out = named(plan(SETS, every)).keys() - named(plan(SETS, kept)).keys()
    assert left_out == {f"{stem}.s{seed}" for stem in without for seed in (0, 1)}


@pytest.mark.parametrize(
    ("question", "without", "sentence"),
    [
        (11, ("pcgrad",), "no arm pcgrad to leave out: one, pedestrian, "),
        (11, ("sign",), "sign.s0 cannot be left out: one-born-again.s0 is taught by it"),
        (9, ("one", "one-task-weighted"), "no arm left to train"),
    ],
)
def test_arms_that_cannot_be_left_out_are_named(question: int, without: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        plan(SETS, options(questions=(question,), without=without))


def test_arms_of_older_studies_are_recognised() -> None:
    (one, *_), later = (
        [arm.as_dict() for arm in plan(SETS, options(questions=(q,)))] for q in (1, 12)
    )
    assert later[0] == one
    assert one.keys().isdisjoint({"balance", "gradient_surgery", "thinned", "teachers"})
    assert later[1]["thinned"] == "partial"


def test_labels_in_part_are_declared_or_not_and_left_out_with_their_images() -> None:
    arms = named(plan(SETS, options(questions=(12,), share=0.5)))
    how = {
        name: (arm.recipe(options()).subset, arm.epochs, arm.loss_weight)
        for name, arm in arms.items()
    }
    assert how == {
        "one.s0": (Subset(0.5), 4, LossWeight.BOX),
        "one-labelled-in-part.s0": (Subset(0.5, thinned=Thinned.PARTIAL), 4, LossWeight.BOX),
        "one-in-part-as-complete.s0": (Subset(0.5, thinned=Thinned.COMPLETE), 4, LossWeight.BOX),
        # The images that are whole in those, as often.
        "one-25pc.s0": (Subset(0.125), 16, LossWeight.BOX),
    }


def test_images_of_two_sets_are_counted_once() -> None:
    arms = named(plan(SETS, options(questions=(1, 5))))
    assert [len(group) for group in groups(SETS)] == [2, 1, 1]
    assert images_of(arms["one.s0"], SETS) == 60 + 100 + 200
    assert labelled_images(arms["one.s0"], SETS, Task.LIGHT) == 60 + 200
    assert images_of(arms["one-25pc.s0"], SETS) == 15 + 25 + 50
    assert images_of(arms["sign.s0"], SETS) == 60


def test_cost_counts_images_epochs_pixels_and_frozen_layers() -> None:
    arms = named(plan(SETS, options(questions=(1, 3, 6))))
    how = options()
    assert cost(arms["one.s0"], SETS, how) == 360 * 4
    assert cost(arms["car-fair.s0"], SETS, how) == pytest.approx(160 * 4 / 4)
    assert cost(arms["one-head.s0"], SETS, how) == 360 * 4 / 2
    assert cost(arms["one-distill.s0"], SETS, how) == pytest.approx(360 * 4 * 1.3)
    # A quarter of the images four times as often.
    assert cost(arms["one-25pc.s0"], SETS, how) == 360 * 4


def test_a_share_of_the_whole_study_makes_every_arm_smaller() -> None:
    arms = named(plan(SETS, options(questions=(3,), share=0.1)))
    assert arms["one.s0"].share == 0.1
    assert arms["one-5pc.s0"].share == 0.005
    assert arms["one-5pc.s0"].epochs == 80


@pytest.mark.parametrize("size", [(640, 384), (416, 256), (960, 576), (1280, 736)])
def test_a_quarter_is_a_quarter_within_a_tenth_and_keeps_the_shape(size: Any) -> None:
    width, height = fair_size(size, 4)
    assert width % 32 == height % 32 == 0
    assert 0.9 < 4 * width * height / (size[0] * size[1]) < 1.1
    assert width / height == pytest.approx(size[0] / size[1], rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"questions": (1, 13)}, "questions are 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, not 13"),
        ({"questions": ()}, "not none"),
        ({"seeds": ()}, "needs seeds"),
        ({"seeds": (1, 1)}, "each once"),
        ({"size": (640, 380)}, "multiples of 32"),
        ({"share": 0}, "above 0 and at most 1"),
    ],
)
def test_options_that_cannot_work_are_refused(wrong: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        options(**wrong)


def test_a_study_without_images_to_score_on_is_refused() -> None:
    with pytest.raises(UsageError, match="val images that are not among them"):
        plan([SetFacts("lights", Path("l"), frozenset({Task.LIGHT}), 200, 0)], options())
