"""Real image files of every kind played as a stream."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from media import cut, index_of, numbered_image
from oneglance.streams import SourceBroken, SourceNotFound, SourceUnreadable, UsageError
from oneglance.streams.files.folders import CLIP_SUFFIXES, files_in
from oneglance.streams.files.images import DEFAULT_RATE, IMAGE_SUFFIXES, ImageFiles, read_image
from playing import play_until

WriteImage = Callable[..., Path]

LOSSLESS = [".bmp", ".dib", ".png", ".pnm", ".ppm", ".tif", ".tiff"]
LOSSY = [".avif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".webp"]
GREY = [".pbm", ".pgm"]
WRITTEN_AS = {".dib": ".bmp", ".jfif": ".jpg"}

# Where the white corner of an image goes that is to be shown turned or mirrored as EXIF says.
EXIF_CORNERS = {
    1: (0, 0),
    2: (0, -1),
    3: (-1, -1),
    4: (-1, 0),
    5: (0, 0),
    6: (0, -1),
    7: (-1, -1),
    8: (-1, 0),
}


@pytest.fixture
def write(tmp_path: Path) -> WriteImage:
    """``write("a.png", 3)`` encodes image 3, ``write("a.png", pixels)`` these pixels."""

    def write_image(name: str, content: int | np.ndarray = 0) -> Path:
        pixels = numbered_image(content) if isinstance(content, int) else content
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in GREY and pixels.ndim == 3:
            pixels = pixels[..., 0]
        if path.suffix == ".ppm" and pixels.ndim == 2:
            pixels = np.dstack([pixels] * 3)
        written_as = WRITTEN_AS.get(path.suffix, path.suffix)
        path.write_bytes(cv2.imencode(written_as, pixels)[1].tobytes())
        return path

    return write_image


def images_of(path: Path, *, frame_rate: Fraction = DEFAULT_RATE) -> ImageFiles:
    return ImageFiles(files_in(path), source=str(path), frame_rate=frame_rate)


def names(stream: ImageFiles) -> list[str]:
    return [Path(frame.source).name for frame in stream]


def test_the_kinds_tested_are_the_kinds_played() -> None:
    assert {*LOSSLESS, *LOSSY, *GREY} == IMAGE_SUFFIXES


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
def test_every_kind_of_image_is_played(write: WriteImage, suffix: str) -> None:
    write(f"a{suffix}", 7)
    [frame] = images_of(write(f"b{suffix}", 9).parent / f"a{suffix}")
    assert index_of(frame.image) == 7
    if suffix in LOSSLESS:
        np.testing.assert_array_equal(frame.image, numbered_image(7))


def test_images_come_in_the_order_a_person_would_sort_them(
    write: WriteImage, tmp_path: Path
) -> None:
    in_order = ["a1.png", "A2.png", "a10.png", "b-9-2.png", "b-9-10.png", "b-10-1.png", "z.JPG"]
    for name in reversed(in_order):
        write(name)
    assert names(images_of(tmp_path)) == in_order
    assert names(images_of(tmp_path / "b*")) == in_order[3:6]


def test_a_frame_shows_its_file_its_place_and_its_time(write: WriteImage, tmp_path: Path) -> None:
    paths = [write(f"{number}.png", number) for number in range(4)]
    with images_of(tmp_path, frame_rate=Fraction(30000, 1001)) as stream:
        assert (stream.source, stream.frame_count, stream.live) == (str(tmp_path), 4, False)
        frames = list(stream)
    assert [frame.source for frame in frames] == [str(path) for path in paths]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.timestamp_s for frame in frames] == [i * 1001 / 30000 for i in range(4)]
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-1)])
def test_a_frame_rate_of_nothing_is_refused(tmp_path: Path, rate: Fraction) -> None:
    with pytest.raises(UsageError, match="frame rate of images must be above 0"):
        ImageFiles([tmp_path / "a.png"], source="a.png", frame_rate=rate)


def test_hidden_files_subfolders_and_other_files_are_left_out(
    write: WriteImage, tmp_path: Path
) -> None:
    write("seen.png")
    write(".hidden.png")
    write("._seen.png")  # macOS leaves these beside every file on a memory card
    write("below/too_deep.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    assert names(images_of(tmp_path)) == ["seen.png"]
    assert names(images_of(tmp_path / "*.png")) == ["seen.png"]


def test_a_pattern_reaches_into_subfolders(write: WriteImage, tmp_path: Path) -> None:
    for name in ("2/a.png", "10/a.png", "10/deep/b.png"):
        write(name)
    found = images_of(tmp_path / "**" / "*.png")
    assert [frame.source for frame in found] == [
        f"{tmp_path}/2/a.png",
        f"{tmp_path}/10/a.png",
        f"{tmp_path}/10/deep/b.png",
    ]


def test_a_folder_without_images_is_reported_with_what_an_image_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(SourceUnreadable) as caught:
        images_of(tmp_path)
    assert str(caught.value) == (
        f"folder {tmp_path} has no image in it and no video (images: .avif .bmp .dib .jfif .jp2 "
        ".jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp; videos: "
        f"{' '.join(sorted(CLIP_SUFFIXES))}); it holds notes.txt"
    )


def test_grey_becomes_three_equal_channels(write: WriteImage) -> None:
    grey = numbered_image(5)[:, :, 0]
    for suffix in LOSSLESS:
        np.testing.assert_array_equal(read_image(write(f"a{suffix}", grey)), numbered_image(5))


def test_alpha_is_dropped_and_colour_stays(write: WriteImage) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    alpha = np.random.default_rng(1).integers(0, 256, (48, 64, 1), np.uint8)
    for suffix in (".png", ".tif"):
        image = read_image(write(f"a{suffix}", np.concatenate([colour, alpha], axis=2)))
        np.testing.assert_array_equal(image, colour)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_scaled_to_eight(write: WriteImage, channels: int) -> None:
    # 257 · v is v on a scale of 16 bits; the library may cut or round, so one level may be lost.
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16, 1).repeat(channels, axis=2) * 257
    for suffix in (".png", ".tif"):
        image = read_image(write(f"a{suffix}", levels))
        assert image is not None
        assert image.shape == (16, 16, 3)
        np.testing.assert_allclose(image[..., 0].astype(int), levels[..., 0] // 257, atol=1)


def test_images_of_one_bit_and_of_a_palette_are_played(tmp_path: Path) -> None:
    bits, palette = tmp_path / "bits.png", tmp_path / "palette.png"
    bits.write_bytes(png(8, 1, depth=1, colour=0, row=b"\x0f"))
    colours = bytes([0, 0, 255, 255, 255, 0])
    palette.write_bytes(png(2, 1, depth=8, colour=3, row=b"\0\1", extra=[(b"PLTE", colours)]))
    first, second = read_image(bits), read_image(palette)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first[0, :, 0], [0, 0, 0, 0, 255, 255, 255, 255])
    np.testing.assert_array_equal(second[0], [[255, 0, 0], [0, 255, 255]])  # blue, yellow


@pytest.mark.parametrize("orientation", EXIF_CORNERS)
def test_a_photograph_taken_with_a_turned_phone_comes_upright(
    tmp_path: Path, orientation: int
) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:16, :16] = 255
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    tags = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tags
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg[:2] + struct.pack(">HH", 0xFFE1, len(exif) + 2) + exif + jpeg[2:])
    image = read_image(path)
    assert image is not None
    assert image.shape == ((64, 48, 3) if orientation > 4 else (48, 64, 3))
    corners = {(y, x): int(image[y, x, 0]) for y in (0, -1) for x in (0, -1)}
    assert max(corners, key=lambda at: corners[at]) == EXIF_CORNERS[orientation]


def test_the_smallest_image_is_played(write: WriteImage) -> None:
    [frame] = images_of(write("a.png", np.full((1, 1, 3), 200, np.uint8)))
    assert frame.size == (1, 1)
    assert frame.image.tolist() == [[[200, 200, 200]]]


def test_a_large_image_is_played(write: WriteImage) -> None:
    pixels = np.zeros((6000, 8000, 3), np.uint8)
    pixels[-1, -1] = (1, 2, 3)
    [frame] = images_of(write("a.png", pixels))
    assert frame.size == (8000, 6000)
    assert frame.image[-1, -1].tolist() == [1, 2, 3]


def test_images_of_a_folder_may_differ_in_size(write: WriteImage, tmp_path: Path) -> None:
    write("1.png", numbered_image(0, (70, 50)))
    write("2.png", numbered_image(0, (50, 70)))
    assert [frame.size for frame in images_of(tmp_path)] == [(70, 50), (50, 70)]


def test_every_image_is_writable_and_contiguous(write: WriteImage) -> None:
    [frame] = images_of(write("a.png", numbered_image(0, (71, 53))))
    assert frame.image.flags.c_contiguous
    assert frame.image.flags.writeable


def test_a_name_outside_ascii_is_no_fault(write: WriteImage) -> None:
    [frame] = images_of(write("日本 straße.jpg", 3))
    assert index_of(frame.image) == 3


def test_an_unreadable_image_is_skipped_then_reported(
    write: WriteImage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("1.png", 1)
    (tmp_path / "2.png").write_text("not an image")
    write("3.png", 3)
    stream = images_of(tmp_path)
    frames, message = play_until(SourceBroken, stream)
    assert [(frame.index, index_of(frame.image)) for frame in frames] == [(0, 1), (2, 3)]
    assert [frame.timestamp_s for frame in frames] == [0.0, 0.2]
    assert stream.unreadable == [tmp_path / "2.png"]
    assert caplog.messages == [f"cannot read image {tmp_path / '2.png'}: skipped"]
    assert message == (
        f"1 of 3 images of {tmp_path} could not be read (2.png); every other image was delivered"
    )


def test_a_folder_of_unreadable_images_is_no_broken_source_but_none(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_text("not an image")
    frames, message = play_until(SourceUnreadable, images_of(tmp_path))
    assert frames == []
    assert message == (f"none of the 5 images of {tmp_path} can be read (0.png, 1.png, 2.png, …)")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_one_unreadable_image_is_reported_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    frames, message = play_until(SourceUnreadable, ImageFiles([path], source=str(path)))
    assert frames == []
    assert message == f"{path} is not an image that can be read, or is damaged"


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_half_an_image_is_not_passed_off_as_one(
    write: WriteImage, suffix: str, keep: float
) -> None:
    assert read_image(cut(write(f"a{suffix}"), keep=keep)) is None


def test_a_jpeg_that_holds_a_whole_thumbnail_but_half_an_image_is_truncated(
    write: WriteImage, tmp_path: Path
) -> None:
    # The thumbnail in the header has an end mark of its own.
    jpeg, thumbnail = (
        write("a.jpg", numbered_image(0, (320, 240))).read_bytes(),
        write("b.jpg").read_bytes(),
    )
    header = struct.pack(">HH", 0xFFE1, len(thumbnail) + 2) + thumbnail
    path = tmp_path / "c.jpg"
    path.write_bytes(jpeg[:2] + header + jpeg[2:])
    assert read_image(path) is not None
    path.write_bytes(path.read_bytes()[: len(header) + len(jpeg) // 2])
    assert read_image(path) is None


def test_a_progressive_jpeg_is_played_whole_and_reported_when_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    path.write_bytes(cv2.imencode(".jpg", numbered_image(4), options)[1].tobytes())
    image = read_image(path)
    assert image is not None
    assert index_of(image) == 4
    assert read_image(cut(path, keep=0.7)) is None


def test_a_file_that_vanished_or_leads_nowhere_is_unreadable(
    write: WriteImage, tmp_path: Path
) -> None:
    write("1.png", 1)
    (tmp_path / "2.png").symlink_to(tmp_path / "nowhere.png")
    gone = write("3.png", 3)
    stream = images_of(tmp_path)
    gone.unlink()
    frames, message = play_until(SourceBroken, stream)
    assert len(frames) == 1
    assert "2 of 3 images" in message
    assert "(2.png, 3.png)" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_pipe_named_like_an_image_does_not_block_for_ever(
    write: WriteImage, tmp_path: Path
) -> None:
    write("1.png", 1)
    os.mkfifo(tmp_path / "2.png")
    frames, message = play_until(SourceBroken, images_of(tmp_path))
    assert len(frames) == 1
    assert "(2.png)" in message


def test_images_may_be_played_again(write: WriteImage, tmp_path: Path) -> None:
    write("1.png", 1)
    (tmp_path / "2.png").write_text("not an image")
    stream = images_of(tmp_path)
    for _ in range(2):
        frames, _ = play_until(SourceBroken, stream)
        assert len(frames) == 1
        assert len(stream.unreadable) == 1


def test_closing_shows_nothing_of_images_that_were_not_asked_for(
    write: WriteImage, tmp_path: Path
) -> None:
    (tmp_path / "1.png").write_text("not an image")
    write("2.png", 2)
    write("3.png", 3)
    with images_of(tmp_path) as stream:
        frames = iter(stream)
        assert next(frames).index == 1
        stream.close()
        assert list(frames) == []


def test_a_pattern_without_a_match_is_not_an_empty_stream(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no image or video matches"):
        images_of(tmp_path / "*.png")


def png(
    width: int,
    height: int,
    *,
    depth: int,
    colour: int,
    row: bytes,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> bytes:
    """A PNG of equal rows, written by hand: OpenCV writes neither palettes nor single bits."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress((b"\0" + row) * height)
    chunks = [(b"IHDR", header), *(extra or []), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


@pytest.mark.parametrize("comment", ["", "# a comment\n# another\n"])
def test_a_whole_netpbm_file_is_played_whatever_its_header(tmp_path: Path, comment: str) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(f"P5\n{comment}64 48\n255\n".encode() + bytes([90]) * 64 * 48)
    image = read_image(path)
    assert image is not None
    assert image.mean() == 90
    path.write_bytes(path.read_bytes()[:-1])
    assert read_image(path) is None


def test_an_image_made_of_tiles_is_played_whole(shared: Path) -> None:
    grid = shared / "faults" / "streams" / "images" / "grid.avif"
    [frame] = ImageFiles([grid], source=str(grid))
    assert frame.size == (1024, 576)


def test_a_jpeg_that_lacks_its_end_marker_alone_is_read_as_it_is(tmp_path: Path) -> None:
    whole = cv2.imencode(".jpg", numbered_image(5))[1].tobytes()
    assert whole.endswith(b"\xff\xd9")
    for name, content in (("a.jpg", whole), ("b.jpg", whole[:-2]), ("c.jpg", whole[:-1])):
        (tmp_path / name).write_bytes(content)
    one, two, three = (read_image(tmp_path / f"{name}.jpg") for name in "abc")
    assert one is not None
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)
