"""The study's report: one page anyone can read, its plots, and the same numbers as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oneglance.models.cpus import available_cpus
from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.tasks import Task
from oneglance.models.training.study.answers import answers
from oneglance.models.training.study.arms import Arm, images_of
from oneglance.models.training.study.results import ArmResult, Failure, Outcome
from oneglance.models.training.study.statistics import Ledger
from oneglance.models.training.study.tables import NONE, Answer, Table
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import output_error

LIBRARIES = ("torch", "ultralytics", "onnxruntime", "faster-coco-eval", "numpy", "opencv-python")

HOW = (
    "Arms differ in one thing each: all else, the pretrained weights too, is the same.",
    (
        "An arm trains on the sets that label one of its tasks; so a single-task model sees every "
        "image that teaches it as often as the one network does. Arms with a share of the images "
        "show them more often, so that they take as many steps."
    ),
    (
        "All arms are scored on the same val images, from the exported ONNX file, by COCO's "
        "mAP50-95. No val image is trained on."
    ),
    (
        "F1: twice the true detections over all detections and labels, true from an IoU of 0.5 "
        f"on, of confidence {DEFAULT_CONFIDENCE:g} and more, which is what `oneglance run` shows. "
        "mAP asks only in which order a network puts its detections, not how sure it is."
    ),
    (
        "A score is the mean over seeds of the mean over the sets that label the task. Brackets "
        "hold 95 % of 1000 draws with replacement of the val images and, where there are several, "
        "of the seeds. Differences are drawn in pairs, the same images and seeds for both. "
        "'better' and 'worse': the intervals leave out 0."
    ),
)

SILENT = (
    (
        "how much another seed would change, where there is one; few seeds show it roughly (each "
        "seed's value is in report.json)"
    ),
    "networks trained to the end: steps are few, and from scratch gains most from more",
    "roads, cameras and weather other than those of the val images",
    "labels made by machine are judged as if they were right",
    "latency: see `oneglance benchmark`; cost here means pixels of the input",
    "what augmented copies of one image add: they count as images of their own",
)

_ROOT = Path(__file__).resolve().parents[3]


def write_report(folder: Path, ledger: Ledger, *, base: str) -> Path:
    """Write ``report.md``, ``report.json`` and the plots into ``folder``; returns the page.

    Raises:
        SinkError: the folder cannot be written.
    """
    found, facts = answers(ledger), _facts(ledger, base)
    try:
        place = OutputFolder(folder, "study")
        place.claim()
        plots = _draw(found, folder)
        content = {
            "facts": facts,
            "how": HOW,
            "does_not_show": SILENT,
            "sets": [_set(s) for s in ledger.sets],
            "answers": {
                str(a.question): {
                    "title": a.title,
                    "sentences": a.sentences,
                    "holes": a.holes,
                    **a.facts,
                }
                for a in found
            },
            "arms": [_arm(arm, ledger.outcomes.get(arm.name)) for arm in ledger.arms],
        }
        place.write("report.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return place.write("report.md", page(ledger, found, facts, plots=plots))
    except OSError as error:
        raise output_error(folder / "report.md", error) from None


def page(
    ledger: Ledger,
    found: Sequence[Answer],
    facts: Mapping[str, Any],
    *,
    plots: Mapping[int, str],
) -> str:
    """The report in Markdown. ``plots``: by question, the file of its plot."""
    done = sum(isinstance(ledger.outcomes.get(arm.name), ArmResult) for arm in ledger.arms)
    lines = ["# Study", ""]
    if done < len(ledger.arms):
        lines += [f"**Not complete: {done} of {len(ledger.arms)} arms are there.**", ""]
    lines += ["## In short", ""]
    for answer in found:
        lines += [
            f"- {sentence}" for sentence in answer.sentences or (f"{answer.title} No answer.",)
        ]
    lines += ["", *markdown(_facts_table(facts)), ""]
    for answer in found:
        lines += [f"## {answer.question}. {answer.title}", ""]
        lines += [f"- {sentence}" for sentence in answer.sentences]
        lines += [""] if answer.sentences else []
        if answer.question in plots:
            lines += [f"![{answer.title}]({plots[answer.question]})", ""]
        for table in answer.tables:
            lines += [f"**{table.title}**", "", *markdown(table), ""]
        if answer.holes:
            lines += ["Holes:", "", *(f"- {hole}" for hole in answer.holes), ""]
    lines += ["## Data", "", *markdown(_sets_table(ledger)), ""]
    lines += ["## Every arm", "", *markdown(_arms_table(ledger)), ""]
    lines += [
        "mAP50 / mAP50-95 / F1 in points, by set and task:",
        "",
        *markdown(_scores(ledger)),
        "",
    ]
    lines += ["## How", "", *(f"- {sentence}" for sentence in HOW), ""]
    lines += ["What these numbers do not show:", "", *(f"- {gap}" for gap in SILENT)]
    return "\n".join(lines) + "\n"


def markdown(table: Table) -> list[str]:
    """The table's lines, for Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "| --- |" + " --- |" * (len(table.columns) - 1)
    return [line(table.columns), rule, *map(line, table.rows)]


def _draw(found: Sequence[Answer], folder: Path) -> dict[int, str]:
    from oneglance.models.training.study.plots import draw

    plots = {}
    for answer in found:
        name = f"question{answer.question}.png"
        if answer.plot is not None and draw(answer.plot, folder / name):
            plots[answer.question] = name
    return plots


def _facts(ledger: Ledger, base: str) -> dict[str, Any]:
    options = ledger.options
    results = [o for o in ledger.outcomes.values() if isinstance(o, ArmResult)]
    trained = [r.training for r in results if r.minutes is not None]
    return {
        "command": shlex.join(["oneglance", *map(_printable, sys.argv[1:])]),
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": f"{_device()}, trained on {_listed(trained, 'device')}",
        "CPUs allowed": str(available_cpus()),
        "libraries": ", ".join(
            [f"python {platform.python_version()}", *(f"{n} {_version(n)}" for n in LIBRARIES)]
        ),
        "precision": f"trained in {_listed(trained, 'precision')}, scored in float32",
        "input size": f"{options.size[0]}x{options.size[1]}",
        "base": base,
        "epochs": f"{options.epochs} of {options.share:.0%} of the training images, "
        f"batch {options.batch}, AdamW, peak rate {options.learning_rate:g}",
        "seeds": ", ".join(map(str, options.seeds)),
        "inside the minutes": "epochs with their checkpoints, one arm after the other; not "
        "reading the sets, exporting and scoring",
        "minutes in all": f"{sum(float(t['minutes']) for t in trained):.0f}",
    }


def _listed(trained: Sequence[Mapping[str, Any]], key: str) -> str:
    return ", ".join(sorted({str(facts[key]) for facts in trained if key in facts})) or NONE


def _facts_table(facts: Mapping[str, Any]) -> Table:
    rows = ((n, f"`{v}`" if n == "command" else str(v)) for n, v in facts.items())
    return Table("", ("fact", "value"), tuple(rows))


def _sets_table(ledger: Ledger) -> Table:
    rows = tuple(
        (
            s.name,
            ", ".join(sorted(s.tasks)),
            str(s.train),
            ", ".join(f"{s.boxes[task]} {task}" for task in Task if s.boxes.get(task)) or NONE,
            str(s.val) if s.val else NONE,
        )
        for s in ledger.sets
    )
    columns = ("set", "labels", "training images", "training boxes", "val images")
    return Table("", columns, rows)


def _arms_table(ledger: Ledger) -> Table:
    rows = []
    for arm in ledger.arms:
        outcome = ledger.outcomes.get(arm.name)
        minutes = outcome.minutes if isinstance(outcome, ArmResult) else None
        rows.append(
            (
                f"`{arm.name}`",
                ", ".join(map(str, arm.questions)),
                ", ".join(arm.tasks),
                str(images_of(arm, ledger.sets)) if arm.epochs else NONE,
                str(arm.epochs),
                f"{arm.size[0]}x{arm.size[1]}",
                arm.trainable.value if arm.epochs else NONE,
                NONE if minutes is None else f"{minutes:.1f}",
                _status(outcome),
            )
        )
    columns = ("arm", "questions", "tasks", "images", "epochs", "size", "trains", "minutes", "")
    return Table("", columns, tuple(rows))


def _status(outcome: Outcome) -> str:
    if isinstance(outcome, Failure):
        return f"**failed**: {outcome.reason.splitlines()[0]}"
    return "**not run yet**" if outcome is None else "done"


def _scores(ledger: Ledger) -> Table:
    by_arm = {
        arm.name: {(s.set_name, s.task): s for s in outcome.scores}
        for arm in ledger.arms
        if isinstance(outcome := ledger.outcomes.get(arm.name), ArmResult)
    }
    keys = list(dict.fromkeys(key for scores in by_arm.values() for key in scores))
    rows = tuple(
        (
            f"`{name}`",
            *(
                " / ".join(f"{100 * v:.1f}" for v in (s.map50, s.map50_95, s.f1))
                if (s := scores.get(k)) is not None
                else NONE
                for k in keys
            ),
        )
        for name, scores in by_arm.items()
    )
    return Table("", ("arm", *(f"{name}: {task}" for name, task in keys)), rows)


def _set(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "labels": sorted(one.tasks),
        "training_images": one.train,
        "training_boxes": dict(one.boxes),
        "val_images": one.val,
    }


def _arm(arm: Arm, outcome: Outcome) -> dict[str, Any]:
    facts = arm.as_dict() | {"questions": list(arm.questions), "status": _status(outcome)}
    if isinstance(outcome, ArmResult):
        facts |= {"training": outcome.training, "scores": [s.as_dict() for s in outcome.scores]}
    return facts


def _printable(word: str) -> str:
    """A path as seen from here, at most from the folder above; no home folder in a report."""
    path = Path(word)
    if not path.is_absolute():
        return word
    near = Path(os.path.relpath(path))
    return f"…/{path.name}" if near.parts[:2] == ("..", "..") else str(near)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} CPUs"


def _commit() -> str:
    """The clone's commit; oneglance's version where it is not run from a clone."""
    words = ("describe", "--always", "--dirty", "--abbrev=12")
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *words],  # noqa: S607
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return f"oneglance {_version('oneglance')}"
    return done.stdout.strip() or f"oneglance {_version('oneglance')}"
