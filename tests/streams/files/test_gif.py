from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drives import Played, play
from oneglance.streams.files.gif import GifSplitter

IMAGES, SIZE, SECTOR, TABLE = 5, (64, 48), 512, 800
CONTROL = b"!\xf9\x04"
COMMENT = b"!\xfe\x05hello\x00"


def gif(**options: object) -> bytes:
    written = io.BytesIO()
    # Of noise, nothing is left out as equal to what was before.
    noise = np.random.default_rng(1).integers(0, 255, (IMAGES, SIZE[1], SIZE[0], 3), np.uint8)
    images = [Image.fromarray(each) for each in noise]
    images[0].save(written, "GIF", save_all=True, append_images=images[1:], **options)
    return written.getvalue()


def played(folder: Path, content: bytes) -> Played:
    file = folder / "a.gif"
    file.write_bytes(content)
    return play(file)


def count_wrong(found: Played, whole: Played) -> int:
    pairs = zip(found.frames, whole.frames, strict=False)
    return sum(not np.array_equal(frame.image, other.image) for frame, other in pairs)


def test_images_without_a_control_block_are_shown_each_for_the_usual_time(tmp_path: Path) -> None:
    content, timed = gif(), gif(duration=50)
    assert CONTROL not in content
    found, known = played(tmp_path, content), played(tmp_path, timed)
    assert [frame.timestamp_s for frame in found.frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [frame.index for frame in found.frames] == list(range(IMAGES))
    assert count_wrong(found, known) == 0
    assert found.message == ""


def test_images_with_and_without_a_control_block_keep_their_times(tmp_path: Path) -> None:
    found = played(tmp_path, gif(duration=[0, 500, 0, 200, 0]))
    assert [frame.timestamp_s for frame in found.frames] == pytest.approx([0, 0.1, 0.6, 0.7, 0.9])


def test_a_comment_behind_the_last_image_is_none(tmp_path: Path) -> None:
    found = played(tmp_path, gif(duration=50)[:-1] + COMMENT + b";")
    assert (len(found.frames), found.produced, found.message) == (IMAGES, IMAGES, "")


def test_what_follows_the_end_is_passed_over(tmp_path: Path) -> None:
    found = played(tmp_path, gif(duration=50) + b"appended by a web server")
    assert (len(found.frames), found.produced, found.message) == (IMAGES, IMAGES, "")


@pytest.mark.parametrize("options", [{}, {"duration": 50}])
def test_a_gif_that_is_cut_says_so_and_gives_its_whole_images(
    tmp_path: Path, options: dict[str, object]
) -> None:
    content = gif(**options)
    whole = played(tmp_path, content)
    for end in [*range(1000, len(content), len(content) // 40), len(content) - 2]:
        found = played(tmp_path, content[:end])
        assert count_wrong(found, whole) == 0, end
        assert len(found.frames) + found.damaged == found.produced <= IMAGES, end
        assert "missing or damaged" in found.message or not found.frames, end
        assert found.message, end
        assert " of " not in found.message, end  # it declares no number


@pytest.mark.parametrize("options", [{}, {"duration": 50}])
def test_a_gif_that_lacks_nothing_but_its_trailer_is_whole_as_a_jpeg_without_an_end_marker_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, object]
) -> None:
    content = gif(**options)
    whole, found = played(tmp_path, content), played(tmp_path, content[:-1])
    assert (len(found.frames), found.damaged, found.message) == (IMAGES, 0, "")
    assert count_wrong(found, whole) == 0
    assert ["lacks the last byte of a GIF" in each.message for each in caplog.records] == [True]


@pytest.mark.parametrize("options", [{}, {"duration": 50}])
def test_a_lost_sector_ends_a_gif_and_no_image_with_it_passes_for_whole(
    tmp_path: Path, options: dict[str, object]
) -> None:
    content = gif(**options)
    whole = played(tmp_path, content)
    begin = 0
    for image in GifSplitter().feed(content):
        # Zeros in its table of colours may be what was meant.
        for at in range(begin + TABLE, begin + len(image.content) - SECTOR, SECTOR):
            found = played(tmp_path, content[:at] + bytes(SECTOR) + content[at + SECTOR :])
            assert (count_wrong(found, whole), bool(found.message)) == (0, True), at
        begin += len(image.content)


@pytest.mark.parametrize("options", [{}, {"duration": 50}])
@pytest.mark.parametrize("pieces", [lambda _: 1, lambda size: size // 3, lambda size: size])
def test_images_are_the_same_however_their_bytes_come(
    options: dict[str, object], pieces: Callable[[int], int]
) -> None:
    content = gif(**options) + b"more"
    splitter, step = GifSplitter(), pieces(len(content))
    images = []
    for at in range(0, len(content), step):
        images += splitter.feed(content[at : at + step])
    assert len(images) == IMAGES
    assert b"".join(image.content for image in images) + b";more" == content
    assert images[0].hides_all
    assert (splitter.is_complete, splitter.rest()) == (True, None)
