"""Times of showing, out of those of decoding."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from drives import clip
from oneglance.streams.decoding.times.ordered import OrderedTimes, ordered_times
from present import present


def decoded(path: Path) -> tuple[OrderedTimes, list[av.Packet[av.VideoStream]], list[int]]:
    """Packets whose times are those of decoding, and the true ones of showing."""
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        packets = [packet for packet in opened.demux(stream) if packet.size]
        shown = [present(packet.pts) for packet in packets]
        first = present(packets[0].dts) - shown[0]
        for packet in packets:
            packet.dts = present(packet.dts) - first
            packet.pts = None
        return present(ordered_times(stream)), packets, shown


@pytest.mark.parametrize("coding", ["h264", "h264 b-frames"])
@pytest.mark.parametrize("lost", [(0, 0), (5, 6), (5, 9), (12, 13), (11, 15)])
def test_a_frame_is_shown_when_as_many_were_decoded(
    tmp_path: Path, coding: str, lost: tuple[int, int]
) -> None:
    times, packets, shown = decoded(clip(tmp_path, "a.mp4", coding))
    begin, end = lost
    given: list[av.Packet[av.VideoStream]] = []
    for number, packet in enumerate(packets):
        if not begin <= number < end:
            given += times.enters(packet, end - begin if number == end else 0)
    given += times.rest()
    kept = [number for number in range(len(packets)) if not begin <= number < end]
    assert [id(packet) for packet in given] == [id(packets[number]) for number in kept]
    assert [packet.pts for packet in given] == [shown[number] for number in kept]


def test_a_container_that_has_times_of_showing_keeps_them(tmp_path: Path) -> None:
    times, packets, shown = decoded(clip(tmp_path, "a.mp4", "h264 b-frames"))
    for packet, pts in zip(packets, shown, strict=True):
        packet.pts = packet.dts = pts
    given = [each for packet in packets for each in times.enters(packet, 0)] + list(times.rest())
    assert [packet.pts for packet in given] == shown
