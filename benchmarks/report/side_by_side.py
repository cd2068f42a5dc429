"""One network beside four on one table: what a frame costs and how well each task is found."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.report import results
from benchmarks.report.results import NONE, Claim, Figure, Part, Table
from oneglance.models.tasks import Task

SAME_FILES = ("model sha256", "sha256 of the four", "precision", "input size", "engine of all")
"""Facts in which latency and accuracy must agree to stand on one line."""


def best_setting(part: Part, many: str) -> Figure | None:
    """The setting of ``one`` or ``four`` whose frames were quickest, by its frame times."""
    mine = [
        figure
        for figure in part.figures
        if figure.name.startswith(f"{part.part}.{many}_") and figure.name.endswith(".frame")
    ]
    return min(mine, key=lambda figure: figure.median, default=None)


def beside(part: Part, setting: Figure, quantity: str) -> Figure | None:
    """Another figure of the setting whose frame times ``setting`` is."""
    return results.figure_of(part, f"{setting.name.removesuffix('.frame')}.{quantity}")


def same_files(parts: Mapping[str, Part]) -> bool:
    """Whether the files that were timed are the files that were scored."""
    timed, scored = parts["one_vs_four"].facts, parts["accuracy"].facts
    return all(timed.get(name) == scored.get(name) for name in SAME_FILES)


def table(parts: Mapping[str, Part]) -> Table | None:
    """Latency, memory, bytes and mAP50-95 of the one and of the four; None where not measured."""
    if not {"one_vs_four", "accuracy"} <= set(parts) or not same_files(parts):
        return None
    timed = parts["one_vs_four"]
    settings = {many: best_setting(timed, many) for many in ("one", "four")}
    if any(setting is None for setting in settings.values()):
        return None
    rows = []
    for many, key in (("one", "model bytes"), ("four", "model bytes of the four")):
        setting = settings[many]
        assert setting is not None
        memory = beside(timed, setting, "pss_mb")
        size = timed.facts.get(key)
        rows.append(
            (
                setting.label,
                f"{setting.median:.1f}",
                NONE if memory is None else f"{memory.median:.0f}",
                NONE if size is None else f"{size / 1e6:.1f}",
                *(_score(parts["accuracy"], many, task) for task in Task),
            )
        )
    rows.append(
        (
            "one over four; accuracy: one - four",
            _compared(timed, "latency"),
            _compared(timed, "pss_mb"),
            NONE,
            *(_compared(parts["accuracy"], task.value, signed=True) for task in Task),
        )
    )
    columns = ("networks", "ms a frame", "PSS MB", "files MB", *(f"{t.value} mAP" for t in Task))
    engine = timed.facts.get("engine of all", "onnxruntime fp32")
    note = (
        f"The same files, {timed.facts.get('precision')}, at {timed.facts.get('input size')} in "
        f"{engine}. ms: median at the best setting, decode to boxes of all four tasks. mAP: "
        f"mAP50-95, the mean over sets ({parts['accuracy'].facts.get('data')}). "
        "[ ]: 95 % intervals."
    )
    return Table("Latency and accuracy of the same files", columns, tuple(rows), note)


def _score(part: Part, many: str, task: Task) -> str:
    found = results.figure_of(part, f"accuracy.{many}.{task.value}.map50_95")
    return NONE if found is None else f"{found.median:.3f}"


def _compared(part: Part, name: str, *, signed: bool = False) -> str:
    found = results.claim_of(part, name)
    return NONE if found is None else _written(found, signed=signed)


def _written(claim: Claim, *, signed: bool) -> str:
    form, unit = ("+.3f", "") if signed else (".3f", "×")
    spread = f" [{claim.low:{form}} to {claim.high:{form}}]" if claim.low < claim.high else ""
    return f"{claim.value:{form}}{unit}{spread}"
