"""What was found, as a data set that COCO's own tools read."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.perception.result import Result
from oneglance.perception.sinks.coco import CocoSink
from oneglance.streams import SinkError


def test_pycocotools_reads_it(result: Callable[..., Result], tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    file = tmp_path / "out.json"
    sink = CocoSink(file, classes=("pedestrian", "car"))
    sink.write(result(0.0, index=0))
    sink.write(result(0.04, index=1, found=[("car", 0.5, (1.0, 2.0, 11.0, 5.0), 7)]))
    sink.close()
    with contextlib.redirect_stdout(io.StringIO()):
        found = coco.COCO(file)
    (box,) = found.loadAnns(found.getAnnIds())
    assert box["bbox"] == [1.0, 2.0, 10.0, 3.0]
    assert (box["image_id"], box["score"], box["track_id"], box["area"]) == (2, 0.5, 7, 30.0)
    assert found.loadCats(box["category_id"])[0]["name"] == "car"
    assert [image["frame"] for image in found.loadImgs([1, 2])] == [0, 1]


def test_a_file_that_cannot_be_written_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="no folder"):
        CocoSink(tmp_path / "gone" / "out.json")
