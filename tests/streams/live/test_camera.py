"""Cameras: what is said of those that are not there, and a real one where the machine has one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path

import pytest

from nobody import as_nobody, public_folder
from oneglance.streams import (
    ConnectOptions,
    SourceNotFound,
    SourceUnreadable,
    StreamError,
    UsageError,
    open_stream,
)
from oneglance.streams.live.camera import Camera

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="cameras are named by Linux's rules"
)


def cameras() -> list[str]:
    return sorted(str(path) for path in Path("/dev").glob("video*"))


@pytest.mark.parametrize("uri", [987, "987", "/dev/video987", Path("/dev/video987")])
def test_a_camera_that_is_not_there_is_reported_with_those_that_are(uri: int | str | Path) -> None:
    with pytest.raises(SourceNotFound) as caught:
        open_stream(uri)
    there = ", ".join(cameras()) or "none"
    assert str(caught.value) == f"no camera /dev/video987 (cameras here: {there})"


def test_a_negative_number_is_no_camera() -> None:
    with pytest.raises(SourceNotFound, match="no camera /dev/video-1"):
        open_stream(-1)


def test_a_file_named_like_a_camera_is_refused_with_how_to_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "987").write_bytes(b"a file")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceNotFound, match=r"for the path of that name write \./987"):
        open_stream("987")


@pytest.mark.parametrize("device", ["a file", "/dev/null", "/dev/zero"])
def test_a_device_that_is_no_camera_is_reported_by_its_name(tmp_path: Path, device: str) -> None:
    name = device
    if device == "a file":
        name = str(tmp_path / "video0")
        Path(name).write_bytes(b"not a camera")
    with pytest.raises(SourceUnreadable) as caught:
        Camera(name, ConnectOptions(timeout_s=5))
    assert str(caught.value) == f"cannot use camera {name}: inappropriate ioctl for device"


@pytest.mark.parametrize("closed", ["camera", "folder"])
def test_a_camera_without_permission_is_reported(closed: str) -> None:
    with public_folder() as folder:
        device = folder / "dev" / "video0"
        device.parent.mkdir()
        device.write_bytes(b"")
        (device if closed == "camera" else device.parent).chmod(0)
        with as_nobody(), pytest.raises(SourceUnreadable) as caught:
            Camera(str(device), ConnectOptions(timeout_s=5))
    assert str(caught.value) == f"cannot use camera {device}: permission denied"


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_a_time_out_of_nothing_is_refused_before_the_camera_is_looked_for(
    timeout_s: float,
) -> None:
    with pytest.raises(UsageError, match="time-out must be above 0 s"):
        Camera(987, ConnectOptions(timeout_s=timeout_s))


def test_a_real_camera_plays_live() -> None:
    before = time.monotonic()
    with real_camera() as stream:
        assert stream.live
        assert stream.frame_count is None
        frames = list(islice(stream, 10))
    assert [frame.index for frame in frames] == list(range(10))
    assert before < frames[0].timestamp_s
    assert all(one.timestamp_s < next_.timestamp_s for one, next_ in pairwise(frames))
    assert {frame.source for frame in frames} == {stream.source}


@contextmanager
def real_camera() -> Iterator[Camera]:
    """The first camera of this machine that plays."""
    for name in cameras():
        try:
            stream = Camera(name, ConnectOptions(timeout_s=5))
        except StreamError:  # an output, a metadata node, or in use
            continue
        with stream:
            yield stream
            return
    pytest.skip("no camera at /dev/video*")
