"""How the many boxes of an object become one: which rule finds more.

    python -m benchmarks.suppression road4-n --out benchmarks/results/suppression

Every rule decodes the same outputs of the network. On training images, from which
``models.decode.SUPPRESSION`` was chosen, and on val images, beside ultralytics' rule.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import facts, road4
from benchmarks.options import in_words
from oneglance.models import Detector
from oneglance.models.decode import PLAIN_SUPPRESSION, SUPPRESSION, Suppression
from oneglance.models.engines.engine import Engine
from oneglance.models.engines.loading import load_engine
from oneglance.models.metadata import Metadata
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.evaluation.coco import EVALUATION_CONFIDENCE, evaluate
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import OneglanceError
from oneglance.streams.outputs import check_reachable, write_file

FILES = ("suppression.json", "suppression.md")
RULES = [Suppression(iou, voting) for iou in (0.5, 0.6, 0.7) for voting in (None, 0.6, 0.7, 0.8)]

Output = npt.NDArray[np.float32]
Scores = dict[str, tuple[float, float]]
"""mAP50 and mAP50-95 by set and task."""


class Remembered:
    """An engine that runs its network once over a series of inputs, and then repeats the outputs
    from the first on, as often as it is asked to ``rewind``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outputs: list[Output] = []
        self._next = 0
        self.name, self.precision, self.threads = engine.name, engine.precision, engine.threads
        self.metadata: Metadata = engine.metadata

    def rewind(self) -> None:
        self._next = 0

    def run(self, tensor: Output) -> tuple[Output, float]:
        if self._next == len(self._outputs):
            output, _ = self._engine.run(tensor)
            counted = output[0, 4:].max(axis=0) >= EVALUATION_CONFIDENCE
            self._outputs.append(output[:, :, counted])
        self._next += 1
        return self._outputs[self._next - 1], 0.0


def scores(
    model: Path, sets: Sequence[str], split: str, *, rules: Sequence[Suppression]
) -> list[Scores]:
    """Of each rule the scores on the ``split`` images of those sets."""
    found: list[Scores] = [{} for _ in rules]
    for name in sets:
        dataset = read_dataset(road4.SETS[name].file)
        engine = Remembered(load_engine(model))
        for rule, its in zip(rules, found, strict=True):
            engine.rewind()
            detector = Detector(engine, confidence=EVALUATION_CONFIDENCE, suppression=rule)
            tasks = evaluate(detector, dataset, split=split).tasks
            its |= {f"{name} {task.value}": (a.map50, a.map50_95) for task, a in tasks.items()}
        print(f"{name} {split}: done", flush=True)
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and write ``suppression.json`` and ``suppression.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="of the zoo, or a file")
    parser.add_argument("--out", type=Path, required=True)
    scored = [name for name, source in road4.SETS.items() if source.scored]
    parser.add_argument("--sets", nargs="+", choices=scored, default=scored)
    args = parser.parse_args(words)
    try:
        model = resolve_model(args.model)
        for name in FILES:  # before hours of work
            check_reachable(args.out / name)
        chosen_from = scores(model, args.sets, "train", rules=RULES)
        both = (PLAIN_SUPPRESSION, SUPPRESSION)
        judged = scores(model, args.sets, "val", rules=both)
        content = {
            "facts": _facts(model),
            "train": [_entry(*pair) for pair in zip(RULES, chosen_from, strict=True)],
            "val": [_entry(*pair) for pair in zip(both, judged, strict=True)],
        }
        args.out.mkdir(parents=True, exist_ok=True)
        texts = (json.dumps(content, indent=1), "\n".join(report(content)))
        for name, text in zip(FILES, texts, strict=True):
            write_file(args.out / name, f"{text}\n")
    except (OneglanceError, OSError) as error:
        print(f"suppression: {in_words(error)}", file=sys.stderr)
        return 2
    return 0


def _facts(model: Path) -> dict[str, Any]:
    found = facts.gather(model)
    found.pop("warning", None)  # of a busy machine: nothing is timed here
    return found


def _entry(rule: Suppression, found: Scores) -> dict[str, Any]:
    return {"iou": rule.iou, "voting_iou": rule.voting_iou, "scores": found}


def report(content: dict[str, Any]) -> list[str]:
    """The measurement as markdown."""
    lines = ["# How the many boxes of an object become one", ""]
    lines += [f"- {name}: {value}" for name, value in content["facts"].items()]
    lines += ["", "## Training images: mean over sets and tasks", ""]
    lines += ["| two are one from IoU | voting from IoU | mAP50 | mAP50-95 |", "| --- " * 4 + "|"]
    for each in content["train"]:
        of_rows = [mean(row[k] for row in each["scores"].values()) for k in (0, 1)]
        voting = "none" if each["voting_iou"] is None else f"{each['voting_iou']:g}"
        name = "**" if Suppression(each["iou"], each["voting_iou"]) == SUPPRESSION else ""
        cells = (f"{each['iou']:g}", voting, *(f"{score:.4f}" for score in of_rows))
        lines.append(f"| {' | '.join(f'{name}{cell}{name}' for cell in cells)} |")
    plain, ours = (each["scores"] for each in content["val"])
    lines += ["", "## Val images: mAP50 / mAP50-95", ""]
    lines += ["| set and task | ultralytics' rule | ours |", "| --- " * 3 + "|"]
    lines += [
        f"| {row} | {' | '.join('{:.3f} / {:.3f}'.format(*of[row]) for of in (plain, ours))} |"
        for row in plain
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
