"""Runs read back, from files that are not what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from oneglance.models.tasks import ModelClass, Task
from oneglance.perception.plugins import SinkContext
from oneglance.perception.replay.runs import read_run
from oneglance.perception.testing import results
from oneglance.streams.errors import DataError

CLASSES = tuple(ModelClass(task.value, task) for task in Task)


@pytest.mark.parametrize("wrong", [None, b"\x00", b"\xff"])
def test_a_damaged_run_in_an_mcap_file_is_read_whole_or_refused_in_a_sentence(
    wrong: bytes | None, tmp_path: Path
) -> None:
    pytest.importorskip("foxglove", reason="needs the extra mcap")
    from oneglance.perception.sinks.mcap import open_mcap

    file = tmp_path / "run.mcap"
    sink = open_mcap(f"{file}?format=ros2&image=copy", SinkContext())
    for result in results(8):
        sink.write(result)
    sink.close()
    content, refused = file.read_bytes(), list[str]()
    for place in range(0, len(content), max(len(content) // 150, 1)):
        spoilt = content[:place]
        if wrong is not None:
            spoilt += wrong * 24 + content[place + 24 :]
        file.write_bytes(spoilt)
        try:
            run = read_run(file, classes=CLASSES, source=None)
        except DataError as error:
            refused.append(str(error))
        else:
            assert len(run.frames) == 8
    assert len(refused) > 50
    assert "\n" not in "".join(refused)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_line_that_never_ends_is_none_of_a_run() -> None:
    with pytest.raises(DataError, match=r"line 1: no result of 'oneglance run'"):
        read_run(Path("/dev/zero"), classes=CLASSES, source=None)
