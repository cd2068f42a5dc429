"""The accuracy gate: its bounds, its figures, and what a quantised file says of the outcome.

The figures are measured by ``training.evaluation.gate``; here they are judged, without any of its
libraries, for ``auto`` reads them where a model runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from oneglance.models.metadata import Metadata
from oneglance.models.tasks import Task

QUANTIZATION, GATE = "quantization", "gate"
"""Where the outcome stands among a file's training facts."""

_MOST_PROBLEMS = 3


@dataclass(frozen=True, slots=True)
class Gate:
    """What a quantised model may lose: mAP50-95 and F1 in 0..1, and how far the mean confidence
    may move, up or down."""

    map_loss: float = 0.005
    f1_loss: float = 0.01
    confidence_shift: float = 0.02

    def problems(self, row: GateRow) -> tuple[str, ...]:
        """What of ``row`` is out of bounds, in words; empty where it passes."""
        found = [
            f"{name} {loss:+.2f} points (at most {-100 * bound:+.2f})"
            for name, loss, bound in (
                ("mAP50-95", -100 * row.map_loss, self.map_loss),
                ("F1", -100 * row.f1_loss, self.f1_loss),
            )
            if not loss >= -100 * bound  # not a number fails too
        ]
        if not abs(row.shift) <= self.confidence_shift:
            found.append(f"mean confidence {row.shift:+.3f} (at most ±{self.confidence_shift:g})")
        return tuple(found)

    def judge(self, rows: Sequence[GateRow]) -> tuple[str, ...]:
        """The problems of all ``rows``, each with its set and task; empty where all pass."""
        return tuple(
            f"{row.set_name} {row.task.value}: {problem}"
            for row in rows
            for problem in self.problems(row)
        )


@dataclass(frozen=True, slots=True)
class GateRow:
    """One task of one set: figures of the original and of the quantised model, all in 0..1.

    ``shift``: how much surer the quantised one is, on average, of what the original shows.
    ``boxes``: labelled ones.
    """

    set_name: str
    task: Task
    boxes: int
    map50_95: float
    map50_95_quantised: float
    f1: float
    f1_quantised: float
    shift: float

    @property
    def map_loss(self) -> float:
        """What is lost of mAP50-95; below 0 where it has risen."""
        return self.map50_95 - self.map50_95_quantised

    @property
    def f1_loss(self) -> float:
        """What is lost of F1 at the default confidence."""
        return self.f1 - self.f1_quantised

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, figures with five digits."""
        content = asdict(self) | {"set": self.set_name, "task": self.task.value}
        del content["set_name"]
        return {k: round(v, 5) if isinstance(v, float) else v for k, v in content.items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> GateRow:
        """What ``as_dict`` gave.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        figures = ("map50_95", "map50_95_quantised", "f1", "f1_quantised", "shift")
        return cls(
            str(content["set"]),
            Task(content["task"]),
            int(content["boxes"]),
            **{name: float(content[name]) for name in figures},
        )


def record(gate: Gate, rows: Sequence[GateRow]) -> dict[str, Any]:
    """The outcome as a file keeps it."""
    return {
        "passed": bool(rows) and not gate.judge(rows),
        "bounds": asdict(gate),
        "rows": [row.as_dict() for row in rows],
    }


def gate_problem(metadata: Metadata) -> str:
    """What speaks against a quantised file by its own words: that it did not pass the gate, was
    never held to it, or that its record cannot be read; "" where it passed, or says nothing of
    being quantised."""
    how = metadata.training.get(QUANTIZATION)
    if how is None:
        return ""
    try:
        outcome = how.get(GATE)
        if not outcome or not outcome["rows"]:
            return "says that it was never held to the accuracy gate"
        rows = [GateRow.from_dict(row) for row in outcome["rows"]]
        problems = Gate(**outcome["bounds"]).judge(rows)
        # Figures in the file are rounded: where it has a verdict, that counts.
        passed = outcome.get("passed", not problems)
    except (AttributeError, KeyError, TypeError, ValueError):
        return "has a record of the accuracy gate that cannot be read"
    if passed is True:
        return ""
    more = len(problems) - _MOST_PROBLEMS
    words = [*problems[:_MOST_PROBLEMS], *([f"{more} more"] if more > 0 else [])]
    return f"says that it did not pass the accuracy gate ({'; '.join(words) or 'no figures'})"
