from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from oneglance.perception.plugins import SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.sinks.rerun import RerunSink, open_rerun
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


def test_what_a_killed_run_wrote_can_be_opened(tmp_path: Path) -> None:
    file, copy = tmp_path / "run.rrd", tmp_path / "copy.rrd"
    sink = RerunSink(file)
    for result in results(5):
        sink.write(result)
    shutil.copyfile(file, copy)  # as the disk has it before the end
    sink.close()
    assert rrd("print", copy, home=tmp_path).count("/camera/image/boxes") == 5


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
