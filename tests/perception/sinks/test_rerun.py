from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from oneglance.perception.plugins import SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.sinks.rerun import RerunSink, open_rerun
from oneglance.perception.testing import SinkTests, results
from oneglance.streams.errors import UsageError
from rerun_server import rerun_program

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
    assert copy.stat().st_size > 1000
    rrd("verify", copy, home=tmp_path)


@pytest.mark.parametrize("target", ["", "run.mcap", "run.rrd?image=png", "run.rrd?images=none"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(UsageError):
        open_rerun(target, SinkContext())
