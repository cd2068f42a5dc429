"""What a playlist says, and where its holes are: pure logic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.live.hls.playlist import (
    Coverage,
    Hole,
    Playlist,
    Segment,
    parse_playlist,
    rest_of,
)

PERIOD_S = 0.04


def playlist(count: int = 5, *, splices_s: tuple[float, ...] = ()) -> Playlist:
    """So many segments of a second."""
    segments = tuple(Segment(f"http://h/{n}.ts", float(n), 1.0) for n in range(count))
    return Playlist(segments, splices_s, is_finished=True)


def covered(times_s: list[float], plan: Playlist, *, head_s: float = 0.0) -> list[Hole]:
    coverage = Coverage(plan, period_s=PERIOD_S, head_s=head_s)
    for time_s in times_s:
        coverage.place(time_s)
    return coverage.holes()


def shape(holes: list[Hole]) -> list[tuple[float, float]]:
    return [(round(hole.begin_s, 2), round(hole.end_s, 2)) for hole in holes]


def test_parts_of_a_file_follow_each_other_where_they_do_not_say_where_they_begin() -> None:
    found = parse_playlist(
        "#EXTM3U\n#EXT-X-VERSION:4\n"
        "#EXTINF:1.5,title\n#EXT-X-BYTERANGE:100@50\nall.ts?k=v\n"
        "#EXTINF:1.5,\n#EXT-X-BYTERANGE:10\nall.ts?k=v\n#EXT-X-DISCONTINUITY\n"
        "#EXTINF:2,\nhttps://other/x.ts\n#EXT-X-ENDLIST\n",
        "http://h/a/list.m3u8?token=1",
    )
    assert [s.address for s in found.segments] == ["http://h/a/all.ts?k=v"] * 2 + [
        "https://other/x.ts"
    ]
    assert [s.bytes for s in found.segments] == [(50, 100), (150, 10), None]
    assert found.splices_s == (3.0,)
    assert found.duration_s == 5.0
    assert found.is_finished
    assert not found.is_rounded


def test_the_rest_of_a_playlist_may_lie_anywhere() -> None:
    text = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n"
        '#EXT-X-KEY:METHOD=AES-128,URI="key?t=1"\n#EXT-X-MAP:URI="init.mp4",BYTERANGE="9@0"\n'
        "#EXTINF:1.5,\n#EXT-X-BYTERANGE:10@9\nall.mp4\n#EXTINF:1.5,\n#EXT-X-BYTERANGE:20\nall.mp4\n"
        "#EXTINF:1,\nb.mp4\n#EXT-X-ENDLIST\n"
    )
    whole = parse_playlist(text, "http://h/a/list")
    rest = rest_of(text, whole, 1, "http://h/a/list")
    assert rest.splitlines() == [
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:8",
        '#EXT-X-KEY:METHOD=AES-128,URI="http://h/a/key?t=1"',
        '#EXT-X-MAP:URI="http://h/a/init.mp4",BYTERANGE="9@0"',
        "#EXTINF:1.5,",
        "#EXT-X-BYTERANGE:20@19",
        "http://h/a/all.mp4",
        "#EXTINF:1,",
        "http://h/a/b.mp4",
        "#EXT-X-ENDLIST",
    ]
    assert [s.address for s in parse_playlist(rest, "data:").segments] == [
        s.address for s in whole.segments[1:]
    ]


def test_renditions_are_reported_by_size_and_then_by_rate() -> None:
    found = parse_playlist(
        '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="a,b"\nsound\n'
        "#EXT-X-STREAM-INF:RESOLUTION=640x360,BANDWIDTH=3\nsmall\n"
        "#EXT-X-STREAM-INF:RESOLUTION=1280x720,BANDWIDTH=2\nlow\n"
        "#EXT-X-STREAM-INF:RESOLUTION=1280x720,BANDWIDTH=5\nhigh\n",
        "http://h/",
    )
    assert [r.address.rsplit("/", 1)[1] for r in found.renditions] == [
        "high",
        "low",
        "small",
        "sound",
    ]


@pytest.mark.slow
@given(
    st.text(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                "#EXTINF:1e999,",
                "#EXTINF:nan",
                "#EXTINF:-1,",
                "#EXT-X-BYTERANGE:x@y",
                "a[",
                "http://[",
                "#EXT-X-STREAM-INF:RESOLUTION=0x,BANDWIDTH=",
                "#EXT-X-ENDLIST",
            ]
        )
    ).map("\n".join)
)
def test_no_text_is_too_odd_to_be_a_playlist(text: str) -> None:
    found = parse_playlist(text, "http://h/x")
    assert all(0 <= segment.duration_s < 1e9 for segment in found.segments)


@pytest.mark.parametrize("count", [1, 5])
def test_a_playlist_that_came_whole_has_no_hole(count: int) -> None:
    assert covered([n * PERIOD_S for n in range(25 * count)], playlist(count)) == []


def test_the_frames_of_one_segment_are_missed() -> None:
    times_s = [n * PERIOD_S for n in range(125) if n // 25 != 3]
    assert shape(covered(times_s, playlist())) == [(3.0, 4.0)]


def test_the_end_of_one_segment_is_missed() -> None:
    times_s = [n * PERIOD_S for n in range(125) if n not in {47, 48, 49}]
    assert shape(covered(times_s, playlist())) == [(1.88, 2.0)]


def test_frames_that_an_encoder_left_out_are_not_missed() -> None:
    times_s = [n * PERIOD_S for n in range(125) if n not in {20, 60, 61, 62, 99}]
    assert covered(times_s, playlist()) == []


def test_a_beginning_that_cannot_be_had_is_missed_and_times_are_those_of_the_playlist() -> None:
    coverage = Coverage(playlist(), period_s=PERIOD_S, head_s=2.0)
    times_s = [coverage.place(n * PERIOD_S) for n in range(75)]
    assert times_s[0] == 2.0
    assert shape(coverage.holes()) == [(0.0, 2.0)]


def test_a_beginning_that_sound_of_its_own_list_fills_is_missed_once() -> None:
    times_s = [2.0 + n * PERIOD_S for n in range(75)]
    assert shape(covered(times_s, playlist(), head_s=2.0)) == [(0.0, 2.0)]


def test_an_end_that_never_came_is_missed() -> None:
    assert shape(covered([n * PERIOD_S for n in range(100)], playlist())) == [(4.0, 5.0)]


def test_frames_that_come_as_they_like_are_not_missed() -> None:
    gaps_s = [0.04, 0.1, 0.2, 0.07, 0.3, 0.04]
    times_s, time_s = [], 0.0
    while time_s < 4.9:
        times_s.append(time_s)
        time_s += gaps_s[len(times_s) % len(gaps_s)]
    assert covered([*times_s, 4.95], playlist()) == []
    assert shape(covered([t for t in [*times_s, 4.95] if not 2 <= t < 3], playlist())) != []


def test_durations_in_whole_seconds_may_promise_too_much() -> None:
    text = "".join(f"#EXTINF:10,\n{n}.ts\n" for n in range(30)) + "#EXT-X-ENDLIST\n"
    plan = parse_playlist(text, "http://h/")
    coverage = Coverage(plan, period_s=0.1)
    for index in range(30 * 96):  # 9.6 s each
        coverage.place(index * 0.1)
    assert coverage.holes() == []
    assert shape(coverage.holes(is_truncated=True)) == [(288.0, 300.0)]


@pytest.mark.parametrize("leap_s", [-2.0, -1.0, -0.2, 0.2, 0.5, 1.0, 1000.0])
def test_a_clock_that_leaps_at_a_splice_is_no_hole(leap_s: float) -> None:
    plan = playlist(splices_s=(2.0,))
    coverage = Coverage(plan, period_s=PERIOD_S)
    times_s = [coverage.place(n * PERIOD_S + (leap_s if n >= 50 else 0.0)) for n in range(125)]
    assert times_s == pytest.approx([n * PERIOD_S for n in range(125)])
    assert coverage.holes() == []


@pytest.mark.parametrize("lost_s", [0.4, 1.0])
def test_what_is_lost_behind_a_splice_is_missed_in_the_end(lost_s: float) -> None:
    times_s = [n * PERIOD_S for n in range(125) if not 2.0 <= n * PERIOD_S < 2.0 + lost_s]
    holes = covered(times_s, playlist(splices_s=(2.0,)))
    assert sum(hole.duration_s for hole in holes) == pytest.approx(lost_s, abs=PERIOD_S)
