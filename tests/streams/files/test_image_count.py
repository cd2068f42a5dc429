"""Images that move or have pages: played, or the user is told what is left out."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from drives import play
from media import index_of, numbered_image
from oneglance.streams.files.image_count import is_animation, is_damaged_png, others_left_out
from oneglance.streams.opening import open_stream

IMAGES = 6


@pytest.fixture
def animation(tmp_path: Path) -> cv2.Animation:
    found = cv2.Animation()
    found.frames = [numbered_image(index) for index in range(IMAGES)]
    found.durations = [200] * IMAGES
    return found


@pytest.mark.parametrize("name", ["a.avif", "a.png", "a.apng", "a.gif"])
def test_an_animation_is_played_whole(
    tmp_path: Path, animation: cv2.Animation, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / name
    written = tmp_path / name.replace(".apng", ".png")
    assert cv2.imwriteanimation(str(written), animation)
    written.rename(file)
    for source in (file, tmp_path):  # a folder too
        with open_stream(source) as stream:
            frames = list(stream)
        assert [index_of(frame.image) for frame in frames] == list(range(IMAGES))
        assert [frame.timestamp_s for frame in frames] == pytest.approx(np.arange(IMAGES) / 5)
    assert caplog.messages == []


def test_a_png_that_is_cut_says_so_wherever_it_is_cut(
    tmp_path: Path, animation: cv2.Animation
) -> None:
    file = tmp_path / "a.png"
    assert cv2.imwriteanimation(str(file), animation)
    content = file.read_bytes()
    between = [at - 4 for at in range(len(content)) if content.startswith(b"fcTL", at)]
    for end in [*between[1:], *(at + 6 for at in between[1:]), len(content) - 12, len(content) - 1]:
        file.write_bytes(content[:end])
        found = play(file)
        assert [frame.index for frame in found.frames] == list(range(len(found.frames))), end
        assert "missing or damaged" in found.message or not found.frames, end
        assert found.message, end


def test_a_moving_png_is_held_to_its_checksums(tmp_path: Path, animation: cv2.Animation) -> None:
    file = tmp_path / "a.png"
    assert cv2.imwriteanimation(str(file), animation)
    content = file.read_bytes()
    images = [frame.image for frame in play(file).frames]
    for at in range(content.index(b"IDAT") + 8, len(content) - 100, 97):
        file.write_bytes(content[:at] + bytes(64) + content[at + 64 :])
        found = play(file)
        assert found.message, at
        assert all(np.array_equal(frame.image, images[frame.index]) for frame in found.frames), at


def test_of_an_animated_webp_the_first_image_is_read_and_the_user_is_told(
    tmp_path: Path, animation: cv2.Animation, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "a.webp"
    assert cv2.imwriteanimation(str(file), animation)
    with open_stream(file) as stream:
        [frame] = stream
    assert index_of(frame.image) == 0
    assert caplog.messages == [
        f"{file} is an animation, of which only the first image is read: convert it to GIF or MP4"
    ]


def test_of_a_tiff_with_pages_the_first_is_read_and_the_user_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "a.tiff"
    assert cv2.imwritemulti(str(file), [numbered_image(index) for index in range(3)])
    with open_stream(file) as stream:
        [frame] = stream
    assert index_of(frame.image) == 0
    assert caplog.messages == [
        f"{file} has several pages, of which only the first is read: split it (tiffsplit)"
    ]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff", ".avif", ".gif"])
def test_nothing_is_said_of_one_image(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(file), numbered_image(3))
    assert others_left_out(file.read_bytes()) is None
    assert not is_animation(file)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff", ".avif"])
def test_a_file_that_is_cut_anywhere_is_looked_at_without_an_error(
    tmp_path: Path, animation: cv2.Animation, suffix: str
) -> None:
    file = tmp_path / f"a{suffix}"
    if suffix == ".tiff":
        assert cv2.imwritemulti(str(file), animation.frames)
    else:
        assert cv2.imwriteanimation(str(file), animation)
    content = file.read_bytes()
    for end in (*range(64), *range(64, len(content), len(content) // 20)):
        file.write_bytes(content[:end])
        is_animation(file)
        others_left_out(content[:end])


def png(*chunks: tuple[bytes, bytes], length: int | None = None) -> bytes:
    """A PNG of these chunks; ``length``: what its data says instead of its own."""
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        said = length if length is not None and kind == b"IDAT" else len(data)
        content += (
            struct.pack(">I", said) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )
    return content


def header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def rows(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress(bytes((1 + 3 * width) * height))


END = (b"IEND", b"")

PROMISES = {
    "a chunk of 4 GB": png(header(64, 48), rows(64, 48), END, length=0xFF0019FA),
    "a chunk of 2 GB": png(header(64, 48), rows(64, 48), END, length=0x7FFFFFFF),
    "a size that its data cannot fill": png(header(30_000, 30_000), rows(64, 48), END),
    "no end": png(header(64, 48), rows(64, 48)),
}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_png_that_promises_more_than_it_holds_is_damaged_and_takes_no_memory(
    tmp_path: Path, promise: str
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PROMISES[promise])
    code = """
import resource, sys
from pathlib import Path
from oneglance.streams.files.images import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert read_image(Path(sys.argv[1])) is None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000  # kB


def test_a_png_whose_data_is_deflated_as_far_as_can_be_is_whole() -> None:
    assert not is_damaged_png(png(header(4000, 4000), rows(4000, 4000), END))
