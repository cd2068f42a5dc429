from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from oneglance.models.training.data.image_cache import ImageCache, read_at
from oneglance.streams.errors import DataError
from present import present


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(0)
    found = []
    for number, (width, height) in enumerate([(64, 48), (40, 80), (96, 96)]):
        file = tmp_path / f"{number}.jpg"
        cv2.imwrite(str(file), random.integers(0, 256, (height, width, 3), np.uint8))
        found.append(file)
    return found


def test_cached_images_are_those_that_ultralytics_would_load(
    files: list[Path], tmp_path: Path
) -> None:
    data = pytest.importorskip("ultralytics.data.dataset", reason="needs the 'train' extra")
    theirs = data.YOLODataset(
        img_path=str(tmp_path), imgsz=64, augment=False, data={"names": {0: "a"}}
    )
    cache = ImageCache(tmp_path / "cache", files, 64)
    assert len(cache) == 3
    for index in range(3):
        image, own, here = theirs.load_image(index)
        mine, mine_own, mine_here = cache.image(index)
        assert (mine_own, mine_here) == (own, here)
        assert np.array_equal(mine, image)
        assert mine.flags.writeable


def test_a_cache_is_made_once_and_shared_by_who_has_the_same_images(
    files: list[Path], tmp_path: Path
) -> None:
    first = ImageCache(tmp_path / "cache", files, 64)
    stamp = first.file.stat().st_mtime_ns
    again = [file.rename(file.with_stem(f"again{file.stem}")) for file in files]
    second = ImageCache(tmp_path / "cache", [*again, again[0]], 64)
    assert second.file == first.file
    assert first.file.stat().st_mtime_ns == stamp
    assert np.array_equal(second.image(3)[0], second.image(0)[0])


AT_ONCE = """
import sys
from pathlib import Path
from oneglance.models.training.data.image_cache import ImageCache
folder, *files = map(Path, sys.argv[1:])
for line in sys.stdin:
    cache = ImageCache(folder / line.strip(), files, 64)
    print(sum(int(cache.image(index)[0].sum()) for index in range(len(cache))), flush=True)
"""


def test_trainings_that_begin_at_the_same_moment_share_it(
    files: list[Path], tmp_path: Path
) -> None:
    expected = sum(int(read_at(file, 64)[0].sum()) for file in files)
    with ExitStack() as stack:
        trainings = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", AT_ONCE, str(tmp_path / "caches"), *map(str, files)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        for number in range(30):
            for training in trainings:
                present(training.stdin).write(f"{number}\n")
                present(training.stdin).flush()
            sums = [int(present(training.stdout).readline()) for training in trainings]
            assert sums == [expected, expected]
            left = sorted(file.suffix for file in (tmp_path / "caches" / str(number)).iterdir())
            assert left == [".bin", ".json"]


def test_changed_images_and_another_size_get_a_cache_of_their_own(
    files: list[Path], tmp_path: Path
) -> None:
    first = ImageCache(tmp_path / "cache", files, 64)
    cv2.imwrite(str(files[0]), np.zeros((48, 64, 3), np.uint8))
    changed = ImageCache(tmp_path / "cache", files, 64)
    assert changed.image(0)[0].max() == 0
    assert len({first.file, changed.file, ImageCache(tmp_path / "cache", files, 96).file}) == 3


@pytest.mark.parametrize("damage", ["short", "index", "no index"])
def test_a_cache_that_is_not_whole_is_made_again(
    files: list[Path], tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = ImageCache(tmp_path / "cache", files, 64)
    expected = first.image(2)[0]
    index = first.file.with_suffix(".json")
    if damage == "short":
        with first.file.open("r+b") as opened:
            opened.truncate(100)
    elif damage == "index":
        index.write_text("[1, 2")
    else:
        index.unlink()
    with caplog.at_level(logging.WARNING):
        again = ImageCache(tmp_path / "cache", files, 64)
    assert np.array_equal(again.image(2)[0], expected)
    assert ("made again" in caplog.text) == (damage != "no index")


def test_a_damaged_image_is_read_from_its_source(
    files: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ImageCache(tmp_path / "cache", files, 64)
    with cache.file.open("r+b") as opened:
        opened.write(b"damage")
    with caplog.at_level(logging.WARNING):
        image, own, _ = cache.image(0)
    expected, expected_own = read_at(files[0], 64)
    assert np.array_equal(image, expected)
    assert own == expected_own
    assert "image 0 is damaged" in caplog.text


def test_a_loading_process_gets_no_copy_of_all_pixels(files: list[Path], tmp_path: Path) -> None:
    cache = ImageCache(tmp_path / "cache", files, 64)
    expected = cache.image(1)[0]
    sent = pickle.dumps(cache)
    assert len(sent) < 3000
    assert np.array_equal(pickle.loads(sent).image(1)[0], expected)


def test_what_is_no_image_is_named_and_leaves_nothing_behind(
    files: list[Path], tmp_path: Path
) -> None:
    files[1].write_bytes(files[1].read_bytes()[:300])
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cannot read image .*bad.jpg"):
        ImageCache(tmp_path / "cache", [files[0], bad], 64)
    assert not list((tmp_path / "cache").glob("images-*"))
