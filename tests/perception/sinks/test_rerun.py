from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from oneglance.perception.plugins import SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.sinks.rerun import FLUSH_S, MOST_PENDING, RerunSink, open_rerun
from oneglance.perception.testing import SinkTests, results
from oneglance.streams import Frame
from oneglance.streams.errors import SinkError, UsageError
from program import start
from rerun_server import rerun_program
from waiting import LONG_S

rerun = pytest.importorskip("rerun", reason="needs the extra rerun")


def rrd(*words: object, home: Path) -> str:
    """What rerun's own program prints."""
    program, environment = rerun_program(home)
    done = subprocess.run(
        [program, "rrd", *map(str, words)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


class TestRerun(SinkTests):
    def open(self, folder: Path) -> Sink:
        return open_rerun(str(folder / "out.rrd"), SinkContext())

    def open_failing(self, folder: Path) -> Sink | None:
        if not Path("/dev/full").exists():
            return None
        (folder / "out.rrd").symlink_to("/dev/full")
        return self.open(folder)


@pytest.mark.parametrize("with_image", [True, False])
def test_a_file_is_whole_and_holds_images_boxes_and_series(
    tmp_path: Path, with_image: bool
) -> None:
    file = tmp_path / "run.rrd"
    sink = RerunSink(file, with_image=with_image)
    for result in results(5, boxes=4):
        sink.write(result)
    sink.close()
    rrd("verify", file, home=tmp_path)
    text = rrd("print", "-vv", file, home=tmp_path)
    assert "/camera/image/boxes" in text
    assert "/camera/timings_ms/inference" in text
    assert "/camera/lights/light" in text
    assert ("EncodedImage" in text) is with_image
    assert "capture" in text


@pytest.mark.parametrize("time_s", [-1e12, 1e10, 1e18])
@pytest.mark.parametrize("with_image", [True, False])
def test_a_time_that_rerun_cannot_count_is_the_last_that_it_can(
    tmp_path: Path, with_image: bool, time_s: float
) -> None:
    file = tmp_path / "run.rrd"
    sink = RerunSink(file, with_image=with_image)
    for result in results(2):
        frame = result.frame.changed(timestamp_s=time_s + result.frame.index)
        sink.write(dataclasses.replace(result, frame=frame))
    sink.close()
    rrd("verify", file, home=tmp_path)


def test_what_a_killed_run_wrote_can_be_opened(tmp_path: Path) -> None:
    file, copy = tmp_path / "run.rrd", tmp_path / "copy.rrd"
    times = iter([0.0, 0.1, 0.2, 0.3, FLUSH_S, FLUSH_S + 0.1])
    sink = RerunSink(file, clock=lambda: next(times))
    for result in results(5):
        sink.write(result)
    shutil.copyfile(file, copy)  # as the disk has it before the end
    sink.close()
    assert rows_of("/camera/image/boxes", copy, home=tmp_path) == 4  # all but the last second's
    assert rows_of("/camera/image/boxes", file, home=tmp_path) == 5


def rows_of(entity: str, file: Path, *, home: Path) -> int:
    """How often an entity was logged."""
    found = re.findall(rf"with (\d+) rows .* - {entity} ", rrd("print", file, home=home))
    return sum(map(int, found))


@pytest.mark.parametrize("boxes", [(2, 0, 1), (0, 0, 0)])
def test_a_frame_without_boxes_shows_none(tmp_path: Path, boxes: tuple[int, ...]) -> None:
    file = tmp_path / "run.rrd"
    sink = RerunSink(file, with_image=False)
    for index, count in enumerate(boxes):
        (result,) = results(1, boxes=count)
        frame = Frame(result.frame.image, index, index / 25, "camera")
        sink.write(dataclasses.replace(result, frame=frame))
    sink.close()
    rrd("verify", file, home=tmp_path)
    text = rrd("print", "-vvv", "--entity", "/camera/image/boxes", file, home=tmp_path)
    rows = [line for line in text.splitlines() if "row_" in line]
    # Of three lists a row: centres, half sizes and labels of a frame without boxes are empty.
    assert [line.count("[]") >= 3 for line in rows] == [count == 0 for count in boxes]


def test_no_more_results_wait_than_a_second_or_so_many(tmp_path: Path) -> None:
    file, copy = tmp_path / "run.rrd", tmp_path / "copy.rrd"
    sink = RerunSink(file, with_image=False, clock=lambda: 0.0)
    for result in results(MOST_PENDING + 3):
        sink.write(result)
    shutil.copyfile(file, copy)
    sink.close()
    entity = "/camera/timings_ms/inference"
    assert rows_of(entity, copy, home=tmp_path) == MOST_PENDING
    assert rows_of(entity, file, home=tmp_path) == MOST_PENDING + 3


def test_nothing_is_imported_in_the_middle_of_a_run(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from oneglance.perception.sinks.rerun import RerunSink
from oneglance.perception.testing import results
of_a_run = results(3)
sink = RerunSink(Path(sys.argv[1]), with_image=False)
before = set(sys.modules)
for result in of_a_run:
    sink.write(result)
sink.close()
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    run = [sys.executable, "-c", program, str(tmp_path / "run.rrd")]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_disk_that_fills_up_is_an_error_that_says_so(small_disk: Path) -> None:
    sink = RerunSink(small_disk / "run.rrd")

    def fill() -> None:
        noise = np.random.default_rng(0)
        for result in results(1000):
            image = noise.integers(0, 256, (240, 320, 3), np.uint8)
            frame = Frame(image, result.frame.index, 0.0, "camera")
            sink.write(dataclasses.replace(result, frame=frame))

    with pytest.raises(
        SinkError, match=r"the disk is full.* What was written before can be opened"
    ):
        fill()
    sink.close()
    sink.close()


def test_a_run_onto_a_full_disk_ends_in_a_sentence(small_disk: Path, model: Path) -> None:
    (small_disk / "filled").write_bytes(bytes(19_500_000))
    words = ("run", "rendered:?frames=40", "--model", model, "--sink")
    process = start(*words, f"rerun:{small_disk / 'run.rrd'}", stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 2, err
    assert b"the disk is full" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("target", ["", "run.mcap", "run.rrd?image=png", "run.rrd?images=none"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(UsageError):
        open_rerun(target, SinkContext())
