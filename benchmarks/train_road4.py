"""road4-n from its data to a scored file, in one command that can be stopped and goes on.

    python -m benchmarks.train_road4 --out runs/road4 --epochs 6 --seeds 0,1
    python -m benchmarks.train_road4 --out runs/road4 --device 0 --batch 64 --minutes 12
    python -m benchmarks.train_road4 --out runs/road4-960 --size 960x576 \\
        --base runs/road4/boxes/seed-0/model.pt

Each arm is trained once for each seed (before ``born-again`` the four of one task that teach it),
its trainings averaged, exported and scored, on all sets of
``road4.SETS`` that are there: ``OUT/ARM/model.onnx`` and ``OUT/results.json``. With ``--minutes``
what is not yet trained shares the time that is left, each with as many epochs as fit, so that the
learning rate comes down; ``--in-pieces`` stops where it is instead, and the same command goes on.
To go on on another machine, carry ``OUT/state.zip.0`` and on, of 15 MiB each (``--carry-mib``):
see ``training_state``.

On a machine without network and without the data: pack here (``benchmarks.pack_training``), there
give ``--packed road4.zip road4.1.zip``. Figures to publish come from the originals: carry the
state back and score it with ``--score-only``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Before ultralytics is imported: it would look for the network, and wait for it.
os.environ.setdefault("YOLO_OFFLINE", "true")

from benchmarks import facts, road4
from benchmarks.labelling import beyond, tight
from benchmarks.labelling.machine_labels import pretrained
from benchmarks.labelling.upright import upright_only
from benchmarks.options import in_words
from benchmarks.pack_training import unpack
from benchmarks.road4 import SETS, parse_size
from benchmarks.training_state import restore_state, save_state
from oneglance.models.tasks import Task
from oneglance.models.training.execution import Amp, Cache, Execution
from oneglance.models.training.recipe import Recipe, training_facts
from oneglance.streams.errors import DataError, OneglanceError, UsageError
from oneglance.streams.outputs import write_file

LEFT_FOR_SCORES_MIN = 1.0
"""Minutes of --minutes that are kept for averaging, export and scores, a quarter at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, checked. ``scored``: the sets with their own labels.
    ``ends_at``: monotonic seconds, None for never."""

    out: Path
    base: Path
    data: Mapping[str, Path]
    scored: Mapping[str, Path]
    arms: Sequence[str]
    seeds: Sequence[int]
    recipes: Mapping[str, Recipe]
    device: str
    workers: int
    amp: Amp
    ends_at: float | None
    in_pieces: bool
    carry_bytes: int
    packed: bool
    upright: bool
    tight: bool
    beyond: bool
    score_only: bool
    pretrained_share: float


def main(words: Sequence[str] | None = None) -> int:
    """Train and score; 0 when all is done, 3 when time was over before, 2 on a mistake."""
    started = time.monotonic()
    options = _parser().parse_args(words)
    try:
        asked = _asked(options, started)
        if options.plan:
            _show_plan(asked)
            return 0
        done = run(asked)
    except (OneglanceError, OSError) as error:
        print(f"train_road4: {in_words(error)}", file=sys.stderr)
        return 2
    print(f"results: {asked.out / 'results.json'}")
    if not done:
        print("time was over before all was trained: the same command goes on")
    return 0 if done else 3


def run(asked: Asked) -> bool:
    """Train what is not trained, score every arm that has weights; whether all was done."""
    asked.out.mkdir(parents=True, exist_ok=True)
    restore_state(asked.out)
    every = [(arm, seed) for arm in asked.arms for seed in asked.seeds]
    left = [] if asked.score_only else every
    complete = not asked.score_only or all(_trained(asked, arm, seed) for arm, seed in every)
    for number, (arm, seed) in enumerate(left):
        complete &= _train(asked, arm, seed, share=len(left) - number)
    results: dict[str, Any] = {"how": _how(asked), "complete": complete, "arms": {}}
    for arm in asked.arms:
        if (model := _export(asked, arm)) is not None:
            results["arms"][arm] = {
                "training": training_facts(_weights_of(asked, arm)),
                "scores": _scores(asked, arm, model),
            }
    write_file(asked.out / "results.json", json.dumps(results, indent=2) + "\n")
    save_state(asked.out, asked.carry_bytes)
    return complete


def _train(asked: Asked, arm: str, seed: int, *, share: int) -> bool:
    """One training, with its ``share``th of the time that is left; whether it is finished."""
    from oneglance.models.training.fit.finetune import finetune

    folder = asked.out / arm / f"seed-{seed}"
    teachers = road4.SINGLE if arm == road4.BORN_AGAIN else ()
    if not all(_trained(asked, one, seed) for one in teachers):
        return False  # what they teach would change
    minutes = None
    if asked.ends_at is not None:
        minutes = (asked.ends_at - time.monotonic()) / 60 / share
        if minutes <= 0:
            return _trained(asked, arm, seed)
    execution = Execution(
        device=asked.device,
        workers=asked.workers,
        amp=asked.amp,
        minutes=minutes,
        shorten=minutes is not None and not asked.in_pieces,
        cache=Cache.DISK,
        cache_folder=asked.out / "cache",
    )
    weights = finetune(
        [asked.data[name] for name in _sets(asked.data, arm)],
        base=asked.base,
        recipe=_seeded(asked.recipes[arm], seed),
        out=folder,
        classes=road4.classes_of(arm),
        execution=execution,
        teachers=[asked.out / one / f"seed-{seed}" / "model.pt" for one in teachers],
    )
    save_state(asked.out, asked.carry_bytes)
    return "stopped" not in training_facts(weights)


def _sets(data: Mapping[str, Path], arm: str) -> list[str]:
    """The sets that ``arm`` trains on: those that label something of it."""
    from oneglance.models.training.data.datasets import read_dataset

    tasks = {cls.task for cls in road4.classes_of(arm)}
    return [
        name
        for name, file in data.items()
        if SETS[name].oversample and tasks & read_dataset(file).labelled_tasks
    ]


def _trained(asked: Asked, arm: str, seed: int) -> bool:
    weights = asked.out / arm / f"seed-{seed}" / "model.pt"
    return weights.is_file() and "stopped" not in training_facts(weights)


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    return Recipe.from_dict(recipe.as_dict() | {"seed": seed})


def _weights_of(asked: Asked, arm: str) -> Path:
    is_average = len(asked.seeds) > 1 or asked.pretrained_share > 0
    return asked.out / arm / ("average" if is_average else f"seed-{asked.seeds[0]}") / "model.pt"


def _export(asked: Asked, arm: str) -> Path | None:
    """Average and export what the arm has; None where a seed has no weights yet."""
    from oneglance.models.training.data.datasets import read_dataset
    from oneglance.models.training.export import export
    from oneglance.models.training.fit.averaging import average
    from oneglance.models.training.fit.light_colours import fit_colours
    from oneglance.streams.rendered.reference import reference_images

    folders = [asked.out / arm / f"seed-{seed}" for seed in asked.seeds]
    if not all((folder / "model.pt").is_file() for folder in folders):
        return None
    weights = _weights_of(asked, arm)
    if weights.parent not in folders:
        share = asked.pretrained_share
        start = road4.BASE if share else None
        average(folders, out=weights.parent, start=start, alpha=1 - share)
    coloured = [read_dataset(asked.data[name]) for name in road4.COLOURS_FROM if name in asked.data]
    has_lights = any(cls.task is Task.LIGHT for cls in road4.classes_of(arm))
    model = asked.out / arm / "model.onnx"
    export(
        weights,
        model,
        name=f"road4-n-{arm}",
        size=asked.recipes[arm].size,
        training=training_facts(weights),
        only=tuple(cls for cls in road4.EXPORTED if cls in road4.classes_of(arm)),
        colours=fit_colours(coloured) if coloured and has_lights else None,
        reference_images=reference_images(asked.recipes[arm].size),
    )
    return model


def _scores(asked: Asked, arm: str, model: Path) -> dict[str, Any]:
    """By set whose val images have a box of a task of ``arm``, what ``evaluate`` says of it."""
    from oneglance.models.training.data.datasets import read_dataset
    from oneglance.models.training.evaluation.coco import evaluate_file

    scores: dict[str, Any] = {}
    tasks = {cls.task for cls in road4.classes_of(arm)}
    for name, file in asked.scored.items():
        dataset = read_dataset(file)
        if not SETS[name].scored or "val" not in dataset.folders:
            continue
        boxes = dataset.count_boxes(dataset.images("val"))
        if any(boxes.get(task) for task in tasks):
            scores[name] = evaluate_file(model, file).as_dict()
            figures = ", ".join(
                f"{task} {one['map50']:.3f}" for task, one in scores[name]["tasks"].items()
            )
            figures += "".join(
                f" {task} recall {one['recall']:.3f}"
                for task, one in scores[name]["partial"].items()
            )
            print(f"{model.parent.name}, {name}: {figures}")
    return scores


def _how(asked: Asked) -> dict[str, Any]:
    return {
        "command": facts.command(),
        "commit": facts.commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "scored_on": facts.device(),
        "precision": "ONNX Runtime fp32",
        "sets": list(asked.data),
        "packed": asked.packed,
        "without_upside_down": asked.upright,
        "tight": asked.tight,
        "beyond": asked.beyond,
    }


def _show_plan(asked: Asked) -> None:
    from oneglance.models.training.running.plan import plan_training

    data = [file for name, file in asked.data.items() if SETS[name].oversample]
    recipe = asked.recipes[asked.arms[0]]
    execution = Execution(device=asked.device, workers=asked.workers, amp=asked.amp)
    plan = plan_training(data, recipe=recipe, execution=execution)
    trainings = len(asked.arms) * len(asked.seeds)
    print(
        f"{trainings} trainings of {plan.steps} steps ({plan.images} images an epoch) at "
        f"{recipe.size[0]}x{recipe.size[1]}\n"
        f"{plan.bytes_per_image / 1e6:.0f} MB an image, {plan.bytes_per_batch / 1e9:.1f} GB a "
        f"batch of {recipe.batch}; {plan.free_bytes / 1e9:.1f} GB free on {plan.device}\n"
        f"{plan.seconds_per_image:.4f} s an image: about {trainings * plan.minutes:.0f} min in all"
    )


def _asked(options: argparse.Namespace, started: float) -> Asked:
    minutes = options.minutes
    Execution(device=options.device, workers=options.workers, amp=options.amp, minutes=minutes)
    if options.packed:
        data = unpack(options.packed, options.out / "data")
    else:
        data = {name: one.file for name, one in SETS.items() if one.file.is_file()}
    for name in options.without:
        if name not in SETS:
            raise UsageError(f"no set '{name}' (sets: {', '.join(SETS)})")
        data = {other: file for other, file in data.items() if other != name}
    if not any(SETS[name].oversample for name in data):
        raise DataError(
            f"none of the sets is there: {', '.join(str(s.file) for s in SETS.values())}"
        )
    try:
        seeds = [int(word) for word in options.seeds.split(",")]
    except ValueError:
        raise UsageError(f"--seeds is a list of numbers, like 0,1, not '{options.seeds}'") from None
    if not 0 <= options.pretrained_share < 1:
        raise UsageError(
            f"--pretrained-share is at least 0 and below 1, not {options.pretrained_share:g}"
        )
    scored, data = data, _labelled_anew(data, options)
    changed = {"alpha": options.alpha, "learning_rate": options.learning_rate}
    arms = road4.in_order(options.arms.split(","))
    recipes = {
        arm: road4.recipe(
            arm,
            epochs=options.epochs,
            size=parse_size(options.size),
            batch=options.batch,
            oversample=tuple(SETS[name].oversample for name in _sets(data, arm)),
            **{key: value for key, value in changed.items() if value is not None},
        )
        for arm in arms
    }
    kept = 0 if minutes is None else min(LEFT_FOR_SCORES_MIN, minutes / 4)
    return Asked(
        out=options.out,
        base=options.base,
        data=data,
        scored=scored,
        arms=arms,
        seeds=seeds,
        recipes=recipes,
        device=options.device,
        workers=options.workers,
        amp=options.amp,
        ends_at=None if minutes is None else started + 60 * (minutes - kept),
        in_pieces=options.in_pieces,
        carry_bytes=round(options.carry_mib * 2**20),
        packed=bool(options.packed),
        upright=options.upright,
        tight=options.tight,
        beyond=options.beyond,
        score_only=options.score_only,
        pretrained_share=options.pretrained_share,
    )


def _labelled_anew(data: Mapping[str, Path], options: argparse.Namespace) -> dict[str, Path]:
    """The sets as they are trained on: some with other labels, or fewer images."""
    found = dict(data)
    if options.upright and "lights" in found:
        found["lights"] = upright_only(found["lights"], options.out / "upright")
    if options.tight and "lights" in found:
        answers = pretrained(road4.BASE, tight.INPUT, confidence=tight.CONFIDENCE)
        found["lights"] = tight.tight(found["lights"], options.out / "tight" / "lights", answers)
    if options.beyond:
        answers = pretrained(road4.BASE, beyond.INPUT, confidence=beyond.CONFIDENCE)
        for name in [name for name in road4.WITHOUT_PEOPLE if name in found]:
            found[name] = beyond.beyond(found[name], options.out / "beyond" / name, answers)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--base", "--from", type=Path, default=road4.BASE, help="weights to start from")
    add("--size", default="640x384")
    add("--epochs", type=int, default=100)
    add("--seeds", default="0")
    known = ", ".join([*road4.ARMS, road4.BORN_AGAIN, *road4.SINGLE])
    add("--arms", default="boxes", help=f"of {known}")
    add("--without", nargs="+", default=[], metavar="SET")
    add("--upright", action="store_true", help="without the upside-down copies among lights")
    add("--tight", action="store_true", help="boxes of lights as the pretrained network draws them")
    of_what = "label people and cars by the pretrained network at twice the size, where none are"
    add("--beyond", action="store_true", help=of_what)
    add("--score-only", action="store_true", help="what was trained elsewhere, on this data")
    add("--packed", nargs="+", type=Path, default=[], metavar="FILE")
    add("--minutes", type=float)
    add("--in-pieces", action="store_true")
    add("--device", default="auto")
    add("--batch", type=int, default=16)
    add("--workers", type=int, default=8)
    add("--amp", type=Amp, choices=list(Amp), default=Amp.AUTO)
    add("--learning-rate", type=float)
    add("--alpha", type=float)
    of_what = "of the pretrained weights in the average, for a --base that was trained before"
    add("--pretrained-share", type=float, default=0.0, help=of_what)
    add("--carry-mib", type=float, default=15)
    add("--plan", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
