"""Recordings in a world of broken copies, full disks and wrong names.

``video("a.mp4", frames=25)`` is one second at 25 frames a second; frame i shows number i.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import pytest

from media import UNKNOWN_TO_LIBAV, cut, index_of, odd_sampling
from oneglance.streams import (
    Frame,
    SourceBroken,
    SourceUnreadable,
    StreamError,
    open_stream,
)
from playing import play_until
from waiting import within

MakeVideo = Callable[..., Path]

# Frames that do not wait for later ones, a key frame every fifth: what is there can be decoded.
PLAIN = {"bf": "0", "g": "5"}
FRONT = {"movflags": "faststart"}  # the index before the images, as cameras and phones do not

CUTTABLE = [
    ("a.mp4", "libx264", FRONT),
    ("a.mov", "libx264", FRONT),
    ("a.mp4", "libx265", FRONT),
    ("a.mp4", "mpeg4", FRONT),
    ("a.mkv", "libx264", {}),
    ("a.mkv", "libx265", {}),
    ("a.avi", "libx264", {}),
    ("a.avi", "mpeg4", {}),
    ("a.avi", "mjpeg", {}),
]
cuttable = pytest.mark.parametrize(
    ("name", "codec", "container"), CUTTABLE, ids=[f"{c}-{n[2:]}" for n, c, _ in CUTTABLE]
)


def shown(frames: list[Frame]) -> list[int]:
    return [index_of(frame.image) for frame in frames]


def plain(video: MakeVideo, name: str, codec: str, container: dict[str, str]) -> Path:
    return video(
        name,
        codec=codec,
        container_options=container,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        options={"x265-params": "log-level=none:bframes=0:keyint=5:min-keyint=5"}
        if codec == "libx265"
        else {}
        if codec == "mjpeg"
        else PLAIN,
    )


def packets_before(path: Path, end: int) -> int:
    """How many of the video's packets lie whole before byte ``end``."""
    with av.open(str(path)) as container:
        return sum(
            packet.pos is not None and packet.pos >= 0 and packet.pos + packet.size <= end
            for packet in container.demux(video=0)
            if packet.size
        )


def overwritten(packet: bytes, *, after: float = 0.0) -> bytes:
    """A packet of which nothing is left from that share of it on."""
    kept = int(len(packet) * after)
    return packet[:kept] + b"\xff" * (len(packet) - kept)


def damage(path: Path, *, packet: int, spoil: Callable[[bytes], bytes] = overwritten) -> Path:
    """Spoil a video's packet of that number in decoding order."""
    with av.open(str(path)) as container:
        packets = [bytes(found) for found in container.demux(video=0) if found.size]
    broken = spoil(packets[packet])
    content = path.read_bytes()
    assert content.count(packets[packet]) == 1
    assert len(broken) == len(packets[packet])
    path.write_bytes(content.replace(packets[packet], broken))
    return path


@cuttable
@pytest.mark.parametrize("keep", [0.35, 0.5, 0.8])
def test_a_video_truncated_in_the_middle_gives_every_intact_frame_and_says_where_it_broke(
    video: MakeVideo, name: str, codec: str, container: dict[str, str], keep: float
) -> None:
    path = plain(video, name, codec, container)
    size = path.stat().st_size
    whole = packets_before(path, int(size * keep))
    cut(path, keep=keep)
    frames, message = play_until(SourceBroken, open_stream(path))
    assert 0 < whole < 25
    assert shown(frames) == list(range(whole))
    assert [frame.timestamp_s for frame in frames] == [i / 25 for i in range(whole)]
    of = "" if name.endswith("mkv") else " of 25"
    assert message.startswith(f"{path} broke after {whole}{of} frames, at {whole / 25:.2f} s: ")
    assert "bytes are missing: copy it again" in message
    assert message.endswith("; the frames before are good")


@cuttable
def test_a_video_truncated_anywhere_is_never_taken_for_a_finished_one(
    video: MakeVideo, name: str, codec: str, container: dict[str, str]
) -> None:
    # Wherever the copy stopped, until nothing but what follows the last image is missing.
    path = plain(video, name, codec, container)
    content = path.read_bytes()
    for keep in range(20):
        end = len(content) * keep // 20 + 13
        whole = packets_before_in(content, path, end)
        path.write_bytes(content[:end])
        with pytest.raises((SourceBroken, SourceUnreadable)) as caught:
            list(open_stream(path))
        assert str(path) in str(caught.value)
        assert (type(caught.value) is SourceBroken) == (whole > 0), (keep, str(caught.value))


def packets_before_in(content: bytes, path: Path, end: int) -> int:
    path.write_bytes(content)
    return packets_before(path, end)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_a_recording_that_was_never_finished_is_reported_as_without_its_index(
    video: MakeVideo, name: str
) -> None:
    # Recorders write the index last: the power failed before.
    path = cut(video(name), keep=0.6)
    with pytest.raises(SourceUnreadable) as caught:
        open_stream(path)
    message = str(caught.value)
    assert f"{path} lacks its index (the moov box)" in message
    assert "the recording was never finished, or the copy is truncated" in message


def test_a_fragmented_recording_truncated_in_the_middle_plays_and_says_where_it_broke(
    video: MakeVideo,
) -> None:
    how = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = video("a.mp4", options=PLAIN, container_options=how)
    whole = packets_before(path, int(path.stat().st_size * 0.5))
    frames, message = play_until(SourceBroken, open_stream(cut(path, keep=0.5)))
    assert shown(frames) == list(range(len(frames)))
    assert whole - 5 <= len(frames) <= whole
    assert "bytes are missing: copy it again" in message


def test_frames_that_wait_for_later_ones_come_in_order_when_those_are_truncated(
    video: MakeVideo,
) -> None:
    path = video("a.mp4", options={"bf": "3", "g": "25"}, container_options=FRONT)
    frames, _ = play_until(SourceBroken, open_stream(cut(path, keep=0.6)))
    numbers = shown(frames)
    assert len(numbers) > 5
    assert numbers == sorted(set(numbers))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [round(frame.timestamp_s * 25) for frame in frames] == numbers


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [case for case in CUTTABLE if case[1] != "libx265"],
    ids=[f"{c}-{n[2:]}" for n, c, _ in CUTTABLE if c != "libx265"],
)
def test_damaged_bytes_in_the_middle_cost_their_own_frames_and_are_reported(
    video: MakeVideo, name: str, codec: str, container: dict[str, str]
) -> None:
    path = damage(plain(video, name, codec, container), packet=12)
    frames, message = play_until(SourceBroken, open_stream(path))
    numbers = shown(frames)
    # Frame 12 is gone, perhaps those that build upon it up to the next key frame (15); no other.
    assert 12 not in numbers
    assert [n for n in numbers if not 12 < n < 15] == [*range(12), *range(15, 25)]
    assert message.startswith(f"{path}: ")
    assert "damaged and " in message
    assert "at index 12, 0.48 s" in message
    by_number = dict(zip(numbers, frames, strict=True))
    assert by_number[20].timestamp_s == 20 / 25
    assert by_number[20].index == 20


@pytest.mark.parametrize("name", ["a.avi", "a.mov", "a.mkv"])
@pytest.mark.parametrize("spoil", UNKNOWN_TO_LIBAV, ids=lambda spoil: spoil.__name__)
def test_a_frame_of_a_coding_that_libav_lacks_costs_itself_alone(
    video: MakeVideo, name: str, spoil: Callable[[bytes], bytes]
) -> None:
    path = damage(plain(video, name, "mjpeg", {}), packet=12, spoil=spoil)
    frames, message = play_until(SourceBroken, open_stream(path))
    assert shown(frames) == [*range(12), *range(13, 25)]
    assert [frame.index for frame in frames] == [*range(12), *range(13, 25)]
    assert "1 frame is damaged and was left out at index 12, 0.48 s; the 24 others" in message


def test_a_video_of_such_frames_alone_is_reported_with_what_the_decoder_says(
    video: MakeVideo,
) -> None:
    path = plain(video, "a.avi", "mjpeg", {})
    for packet in range(25):
        damage(path, packet=packet, spoil=odd_sampling)
    _, message = play_until(SourceUnreadable, open_stream(path))
    assert message.startswith(f"{path} has no frame that can be decoded (not yet implemented")


def test_damage_inside_an_h265_frame_stays_inside_its_group(video: MakeVideo) -> None:
    # libav patches up such an image without a word, so that it cannot be distinguished from others.
    path = damage(
        plain(video, "a.mp4", "libx265", FRONT), packet=12, spoil=partial(overwritten, after=0.2)
    )
    frames = list(open_stream(path))
    numbers = shown(frames)
    assert numbers[:12] == list(range(12))
    assert numbers[15:] == list(range(15, 25))
    assert [frame.timestamp_s for frame in frames] == [index / 25 for index in range(25)]


def test_damage_inside_an_h265_frame_of_matroska_is_noticed_by_its_cluster_s_checksum(
    video: MakeVideo,
) -> None:
    path = damage(
        plain(video, "a.mkv", "libx265", {}), packet=12, spoil=partial(overwritten, after=0.2)
    )
    frames, message = play_until(SourceBroken, open_stream(path))
    assert shown(frames) == list(range(15, 25))  # a group is a cluster here
    assert [frame.timestamp_s for frame in frames] == [index / 25 for index in range(15, 25)]
    assert "15 frames are damaged and were left out, the first at index 0" in message


def test_a_damaged_frame_that_others_overtake_has_its_own_place(video: MakeVideo) -> None:
    # Decoded in the order 0 1 4 3 2 7 6 5 …: packet 4 is frame 2, read after 3 and 4.
    options = {"x265-params": "log-level=none:bframes=2:b-adapt=0:keyint=25"}
    path = video("a.mp4", codec="libx265", options=options)
    frames, message = play_until(SourceBroken, open_stream(damage(path, packet=4)))
    assert "at index 2, 0.08 s" in message
    assert [frame.index for frame in frames] == [0, 1, *range(3, 25)]
    assert shown(frames) == [0, 1, *range(3, 25)]


def test_a_file_that_shrinks_while_it_is_played_is_reported(video: MakeVideo) -> None:
    path = video("a.mp4", frames=100, size=(320, 240), options=PLAIN, container_options=FRONT)
    stream = open_stream(path)
    frames = iter(stream)
    next(frames)
    os.truncate(path, path.stat().st_size // 2)
    came, message = play_until(SourceBroken, frames)
    assert 20 < len(came) < 80
    assert "bytes are missing" in message


def test_a_file_that_is_deleted_while_it_is_played_plays_on(video: MakeVideo) -> None:
    path = video("a.mp4", frames=25)
    frames = iter(open_stream(path))
    next(frames)
    path.unlink()
    assert len(list(frames)) == 24


def test_another_thread_closing_a_broken_file_ends_it_without_an_error(video: MakeVideo) -> None:
    # Whoever closes does not want to hear of what was still to come.
    path = video("a.mp4", options=PLAIN, container_options=FRONT)
    stream = open_stream(cut(path, keep=0.9))
    playing, closed = threading.Event(), threading.Event()
    endings: list[int | Exception] = []

    def play() -> None:
        count = 0
        try:
            for _ in stream:
                count += 1
                playing.set()
                closed.wait(10)
            endings.append(count)
        except StreamError as error:
            endings.append(error)

    reader = threading.Thread(target=play)
    reader.start()
    assert playing.wait(10)
    with within(1):
        stream.close()
    closed.set()
    reader.join(10)
    assert endings == [1]


def test_libav_names_no_protocol_in_a_file_name(
    video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # "concat:a.mp4|b.mp4" would be one to it.
    path = video("a.mp4", frames=3)
    monkeypatch.chdir(path.parent)
    path.rename(path.parent / "concat:a.mp4")
    assert len(list(open_stream("concat:a.mp4"))) == 3


def test_a_playlist_in_a_file_does_not_reach_into_the_network(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u8"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(SourceUnreadable) as caught:
        list(open_stream(path))
    assert str(path) in str(caught.value)
