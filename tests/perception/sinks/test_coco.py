"""What was found, as a data set that COCO's own tools read."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oneglance.perception.result import Result
from oneglance.perception.sinks.coco import CocoSink
from oneglance.streams import Frame, SinkError
from waiting import LONG_S


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


def test_what_was_there_stays_until_the_new_file_is_whole(
    result: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "out.json"
    file.write_text("before")
    sink = CocoSink(file)
    sink.write(result(0.0))
    assert file.read_text() == "before"
    sink.close()
    assert len(json.loads(file.read_text())["images"]) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name is Unix's")
def test_a_pipe_gets_one_data_set(result: Callable[..., Result], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        sink = CocoSink(pipe)
        sink.write(result(0.0))
        sink.close()
        assert len(json.loads(read.result(LONG_S))["images"]) == 1


def test_two_clips_of_one_name_have_their_own_images(
    result: Callable[..., Result], tmp_path: Path
) -> None:
    sink = CocoSink(tmp_path / "out.json")
    sources = ["a/drive.mp4", "b/drive.mp4", "a/drive.mp4", "..", "rendered:?frames=3", "x\ny.mp4"]
    for source in sources:
        given = result(0.0)
        sink.write(dataclasses.replace(given, frame=Frame(given.frame.image, 0, 0.0, source)))
    sink.close()
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    assert [image["file_name"].removesuffix("/000000.jpg") for image in images] == [
        *("drive", "drive~2", "drive", "source", "rendered_frames_3", "x_y"),
    ]
