from __future__ import annotations

from pathlib import Path

import av
import pytest

from media import make_video
from oneglance.streams.decoding.ffv1 import SliceChecks


def frames(folder: Path, **options: str) -> list[bytes]:
    path = make_video(folder / "a.mkv", codec="ffv1", frames=4, options={"level": "3", **options})
    with av.open(str(path)) as opened:
        return [bytes(packet) for packet in opened.demux(video=0) if packet.size]


@pytest.mark.parametrize("slices", ["4", "9"])
def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path, slices: str) -> None:
    checks = SliceChecks()
    for frame in frames(tmp_path, slicecrc="1", slices=slices):
        assert not checks.is_wrong(frame)
        for at in range(0, len(frame), 37):
            assert checks.is_wrong(frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]), at


def test_a_truncated_frame_is_noticed_and_an_empty_one_is_nothing_to_look_at(
    tmp_path: Path,
) -> None:
    checks = SliceChecks()
    first, second, *_ = frames(tmp_path, slicecrc="1")
    assert not checks.is_wrong(first)
    assert checks.is_wrong(second[: len(second) // 2])
    assert not SliceChecks().is_wrong(b"")


def test_nothing_is_said_of_slices_without_checksums(tmp_path: Path) -> None:
    checks = SliceChecks()
    for frame in frames(tmp_path, slicecrc="0"):
        assert not checks.is_wrong(frame)
        assert not checks.is_wrong(frame[:20] + b"\xff" + frame[21:])
