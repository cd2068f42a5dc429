"""Times of frames that are counted from those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from drives import clip
from oneglance.streams.decoding.times.counted import CountedTimes, TimedPacket
from oneglance.streams.files.layout import Wrong
from present import present

Times = tuple[int, int]


def given(
    path: Path, change: Callable[[int, Times], tuple[Times | None, Wrong] | None]
) -> tuple[dict[int, int | None], dict[int, Times]]:
    """When each frame is shown, by its number in decoding order, once some say it no more or are
    gone; and the times of all."""
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        packets = [packet for packet in opened.demux(stream) if packet.size]
        counted, numbers, true, got = CountedTimes(stream), {}, {}, {}

        def frames() -> Iterator[TimedPacket]:
            for number, packet in enumerate(packets):
                numbers[id(packet)] = number
                true[number] = present(packet.pts), present(packet.dts)
                changed = change(number, true[number])
                if changed is not None:
                    times, wrong = changed
                    packet.pts = packet.dts = None
                    yield from counted.enters(TimedPacket(packet, wrong, times))
            yield from counted.rest()

        for frame in frames():
            got[numbers[id(frame.packet)]] = frame.packet.pts
    return got, true


@pytest.mark.parametrize("coding", ["h264", "h264 b-frames", "h265 b-frames"])
def test_one_in_five_says_when_all_are_shown(tmp_path: Path, coding: str) -> None:
    path = clip(tmp_path, "a.ts", coding)
    got, true = given(path, lambda n, times: (None if n % 5 else times, Wrong.NOTHING))
    assert got == {number: pts for number, (pts, _) in true.items()}


@pytest.mark.parametrize("coding", ["h264", "h264 b-frames", "h265 b-frames"])
def test_what_is_behind_a_loss_is_counted_from_what_follows(tmp_path: Path, coding: str) -> None:
    def change(number: int, times: Times) -> tuple[Times | None, Wrong] | None:
        if 6 <= number < 9:
            return None
        lost = Wrong.LAYOUT | Wrong.GAP if number == 9 else Wrong.NOTHING
        return None if number % 5 else times, lost

    got, true = given(clip(tmp_path, "a.ts", coding), change)
    assert got == {number: pts for number, (pts, _) in true.items() if number in got}
    assert len(got) == len(true) - 3


def test_a_time_that_stands_alone_is_wrong_and_a_clock_that_was_set_is_none(tmp_path: Path) -> None:
    path, far = clip(tmp_path, "a.ts", "h264"), 90_000 * 60
    got, true = given(
        path,
        lambda n, t: ((t[0] + far * (n == 7), t[1] + far * (n == 7)), Wrong.NOTHING),
    )
    assert got == {number: pts for number, (pts, _) in true.items()}
    got, true = given(
        path, lambda n, t: ((t[0] + far * (n >= 7), t[1] + far * (n >= 7)), Wrong.NOTHING)
    )
    assert got == {number: pts + far * (number >= 7) for number, (pts, _) in true.items()}
