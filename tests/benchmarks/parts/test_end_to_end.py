"""One graph beside the hand-made pipeline: the same boxes, timed alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="makes the graph")

from benchmarks.options import check, parser
from benchmarks.parts import end_to_end
from benchmarks.report.results import Part
from oneglance.models import Detector
from oneglance.streams import open_stream

MODEL = "road4-n-416"


def test_both_are_timed_and_find_the_same(drive: Path, tmp_path: Path) -> None:
    given = ["--clip", str(drive), "--model", MODEL, "--warmup", "1"]
    asked = check(parser(None, rounds=1, frames=3).parse_args(given))
    part = Part(part="end_to_end", title="One graph", timer="a call")
    end_to_end._speed(part, asked, tmp_path)
    assert part.holes == [hole for hole in part.holes if "samples" in hole]
    (table,) = part.tables
    assert [row[0] for row in table.rows] == list(end_to_end.HOWS.values())
    assert abs(int(table.rows[0][-1]) - int(table.rows[1][-1])) <= 1
    assert {claim.name for claim in part.claims} == {
        "end_to_end.intervals_ms",
        "end_to_end.cpu_ms",
    }
    assert all(claim.value > 0 for claim in part.claims)


def test_a_graph_is_a_detector_of_images_of_its_size(drive: Path, tmp_path: Path) -> None:
    with open_stream(drive) as stream:
        image = next(iter(stream)).image
    detector = Detector.load(MODEL)
    size = (image.shape[1], image.shape[0])
    file = end_to_end.export(detector_file(), tmp_path / "graph.onnx", size)
    found = end_to_end.GraphDetector(file, detector.metadata.classes)(image)
    expected = detector(image)
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.xyxy[0], expected.xyxy[0], atol=2)
    assert list(found.data["task"]) == list(expected.data["task"])


def detector_file() -> Path:
    """The file of ``MODEL``."""
    from oneglance.models.zoo import resolve_model

    return resolve_model(MODEL)
